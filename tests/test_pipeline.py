"""The pipeline's own consistency: what dvc.yaml, params.yaml and the code say of each other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dae_aqa.options import flatten
from dae_aqa.params import Params, load_params
from tests.test_architecture import imports_of, modules

ROOT = Path(__file__).resolve().parents[1]
WORKING = ("download", "extract_frames", "make_splits", "train", "evaluate")
STAGES = ("check", *WORKING)
CHECKERS = {
    "src/dae_aqa/params/schema.py",
    "src/dae_aqa/params/rules.py",
}  # they look at everything


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
    keys = [key for stage in WORKING for key in tracked(pipeline, stage, dataset)]
    others = [f"datasets.{name}." for name in ("simdive", "mtl_aqa", "csv") if name != dataset]
    leaves = [leaf for leaf in flatten(params) if not leaf.startswith(tuple(others))]
    untracked = [leaf for leaf in leaves if not any(covers_key(key, leaf) for key in keys)]
    assert not untracked


def covers_key(key: str, leaf: str) -> bool:
    return leaf == key or leaf.startswith(f"{key}.")


def params_read(files: set[str]) -> set[str]:
    """Dotted attribute chains that start at a name `params`, e.g. `train.loss`."""
    chains = set()
    for file in files - CHECKERS:
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            parts = []
            while isinstance(node, ast.Attribute):
                parts.append(node.attr)
                node = node.value
            if parts and isinstance(node, ast.Name) and node.id == "params":
                chains.add(".".join(reversed(parts)))
    return {chain for chain in chains if chain.split(".")[0] in Params.__dataclass_fields__}


def test_check_tracks_the_whole_file(pipeline):
    """Unknown keys too, and a key that is missing: the check itself names them."""
    assert pipeline["stages"]["check"]["params"] == [{"params.yaml": None}]


@pytest.mark.parametrize("stage", WORKING)
def test_every_stage_waits_for_the_check(pipeline, stage):
    """DVC deletes a stage's outputs before it runs it, and nothing of a stage that waits."""
    (checked,) = pipeline["stages"]["check"]["outs"]
    assert checked in pipeline["stages"][stage]["deps"]


def test_check_imports_nothing_slow():
    script = "import sys, runpy; runpy.run_path('stages/check.py')\n"
    script += (
        "print(*(name for name in ('torch', 'mlflow', 'pandas', 'av') if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("stage", WORKING)
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
