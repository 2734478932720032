"""docs/scoring.md: its example runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.scored_windows import small_trained_model, write_clip


def test_the_example_runs(
    repo_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (repo_root / "docs/scoring.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    small_trained_model().save(tmp_path / "models/model.pt")
    write_clip(tmp_path / "dive.mp4")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(example, "docs/scoring.md", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["dive.mp4", "dive.mp4"]
    assert all(float(line.split()[1]) > 0 for line in lines)
    assert names["low"] < names["score"].mu < names["high"]  # type: ignore[operator,attr-defined]
