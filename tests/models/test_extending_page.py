"""docs/extending.md: its examples run as they stand."""

import re
from pathlib import Path

import pytest

from dae_aqa import scoring
from dae_aqa.models import backbones, build


def test_the_pages_examples_run(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (repo_root / "docs/extending.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    tables = ((backbones, "BACKBONES"), (build, "HEADS"), (scoring, "SCORING_RULES"))
    originals = [(table := getattr(module, name), dict(table)) for module, name in tables]
    try:
        exec(compile("\n".join(blocks), "docs/extending.md", "exec"), {"__name__": "page"})
        assert "frame_difference" in backbones.BACKBONES
    finally:
        for table, original in originals:
            table.clear()
            table.update(original)
