"""The pipeline's own consistency: what dvc.yaml, params.yaml and the code say of each other."""

import ast
from pathlib import Path

import pytest
import yaml

from dae_aqa.params import Params, flatten, load_params
from tests.test_architecture import imports_of, modules

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("download", "extract_frames", "make_splits", "train", "evaluate")


@pytest.fixture(scope="module")
def pipeline():
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())


@pytest.fixture(scope="module")
def params():
    return load_params(ROOT / "params.yaml")


def imported_files(script: Path) -> set[str]:
    """Project files that a stage's script imports, directly or not; dvc.yaml's paths."""
    known = modules()
    queue, seen = [script], {script}
    while queue:
        for used in imports_of(queue.pop()):
            # importing a.b.c runs the packages a and a.b as well
            parts = used.split(".")
            for name in (".".join(parts[:n]) for n in range(1, len(parts) + 1)):
                path = known.get(name)
                if path is not None and path not in seen:
                    seen.add(path)
                    queue.append(path)
    return {path.relative_to(ROOT).as_posix() for path in seen}


def covers(dep: str, file: str) -> bool:
    return file == dep or file.startswith(f"{dep}/")


def test_stages_stand_in_the_pipelines_order(pipeline):
    assert tuple(pipeline["stages"]) == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_deps_cover_every_imported_module(pipeline, stage):
    deps = pipeline["stages"][stage]["deps"]
    needed = imported_files(ROOT / "stages" / f"{stage}.py")
    uncovered = {file for file in needed if not any(covers(dep, file) for dep in deps)}
    assert not uncovered


@pytest.mark.parametrize("stage", STAGES)
def test_no_dep_on_a_module_that_is_not_imported(pipeline, stage):
    code = [dep for dep in pipeline["stages"][stage]["deps"] if dep.startswith(("src/", "stages/"))]
    needed = imported_files(ROOT / "stages" / f"{stage}.py")
    idle = [dep for dep in code if not any(covers(dep, file) for file in needed)]
    assert not idle


def tracked(pipeline, stage: str, dataset: str) -> list[str]:
    keys = pipeline["stages"][stage]["params"]
    return [key.replace("${dataset}", dataset) for key in keys]


@pytest.mark.parametrize("dataset", ["simdive", "mtl_aqa", "csv"])
def test_every_leaf_is_tracked_by_a_stage(pipeline, params, dataset):
    """A leaf that no stage tracks would silently change nothing."""
    keys = [key for stage in STAGES for key in tracked(pipeline, stage, dataset)]
    others = [f"datasets.{name}." for name in ("simdive", "mtl_aqa", "csv") if name != dataset]
    leaves = [leaf for leaf in flatten(params) if not leaf.startswith(tuple(others))]
    untracked = [leaf for leaf in leaves if not any(covers_key(key, leaf) for key in keys)]
    assert not untracked


def covers_key(key: str, leaf: str) -> bool:
    return leaf == key or leaf.startswith(f"{key}.")


def params_read(files: set[str]) -> set[str]:
    """Dotted attribute chains that start at a name `params`, e.g. `train.loss`."""
    chains = set()
    for file in files - {"src/dae_aqa/params.py"}:  # the checks look at everything
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            parts = []
            while isinstance(node, ast.Attribute):
                parts.append(node.attr)
                node = node.value
            if parts and isinstance(node, ast.Name) and node.id == "params":
                chains.add(".".join(reversed(parts)))
    return {chain for chain in chains if chain.split(".")[0] in Params.__dataclass_fields__}


@pytest.mark.parametrize("stage", STAGES)
def test_stage_tracks_what_its_code_reads(pipeline, stage):
    """What a stage reads from `params` must make it run again when it changes."""
    keys = tracked(pipeline, stage, "simdive")
    read = params_read(imported_files(ROOT / "stages" / f"{stage}.py"))
    untracked = {
        chain
        for chain in read
        if not any(covers_key(key, chain) or covers_key(chain, key) for key in keys)
    }
    assert read
    assert not untracked
