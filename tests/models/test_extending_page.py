"""docs/extending.md: a new method is a file and a line, and so is a backbone; its examples run."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from dae_aqa.errors import ModelError, ParamsError
from dae_aqa.models import backbones, heads
from dae_aqa.models.options import BACKBONES, METHODS
from dae_aqa.options import parse_options
from dae_aqa.params import Params
from dae_aqa.scoring import SCORING_RULES

FILE = re.compile(r"# src/(dae_aqa/models/\S+)/(\w+)\.py\n")
LINE = re.compile(r"# a line of (\w+) in src/(\S+)\.py\n(.*)\n")


@pytest.fixture
def blocks(repo_root: Path) -> list[str]:
    page = (repo_root / "docs/extending.md").read_text()
    return re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def added(
    blocks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, list[str]]]:
    """Put the page's files beside the project's and its lines into the tables; nothing else."""
    files, lines = [], []
    for block in blocks:
        if file := FILE.match(block):
            package = package_of(file[1])
            folder = tmp_path / file[1]
            folder.mkdir(parents=True)
            (folder / f"{file[2]}.py").write_text(block)
            monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
            files.append(f"{package.__name__}.{file[2]}")
        elif line := LINE.match(block):
            module = package_of(line[2])
            ((name, facts),) = eval(f"{{{line[3]}}}", vars(module)).items()
            monkeypatch.setitem(getattr(module, line[1]), name, facts)
            lines.append(name)
    yield {"files": files, "lines": lines}
    for name in files:
        sys.modules.pop(name, None)
    SCORING_RULES.pop("mean_of_panel", None)


def package_of(path: str) -> ModuleType:
    return importlib.import_module(path.replace("/", "."))


def run(blocks: list[str]) -> None:
    """Run what is neither a file nor a line."""
    plain = [block for block in blocks if not block.startswith("# ")]
    assert any("build_model(" in block for block in plain)
    exec(compile("\n".join(plain), "docs/extending.md", "exec"), {"__name__": "page"})


def with_new_names(repo_root: Path) -> dict[str, Any]:
    content = yaml.safe_load((repo_root / "params.yaml").read_text())
    return content | {"model": "log_score", "backbone": "frame_difference"}


def test_a_file_and_a_line_are_all_that_a_method_needs(
    added: dict[str, list[str]],
    blocks: list[str],
    repo_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert added["lines"] == ["log_score", "frame_difference"]
    monkeypatch.chdir(tmp_path)
    run(blocks)
    assert set(added["files"]) <= set(sys.modules)
    assert (tmp_path / "model.pt").is_file()
    params = parse_options(Params, with_new_names(repo_root), source="params.yaml")
    assert (params.model, params.backbone) == ("log_score", "frame_difference")


@pytest.mark.usefixtures("added")
def test_without_its_line_a_method_is_unknown(
    blocks: list[str], repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(METHODS, "log_score")
    with pytest.raises(ParamsError, match="model: 'log_score' is not allowed"):
        parse_options(Params, with_new_names(repo_root), source="params.yaml")
    with pytest.raises(ModelError, match="model: 'log_score' is not allowed"):
        run(blocks)


def test_every_file_has_its_line_and_every_line_its_file() -> None:
    def files(package: ModuleType) -> set[str]:
        return {path.stem for path in Path(package.__path__[0]).glob("*.py")}

    assert files(heads) - {"__init__", "base"} == set(METHODS)
    own = {name for name, facts in BACKBONES.items() if not facts.is_torchvision}
    assert files(backbones) - {"__init__", "base", "torchvision_video"} == own
