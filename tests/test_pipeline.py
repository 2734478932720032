"""The pipeline's own consistency: what dvc.yaml, params.yaml and the code say of each other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from dae_aqa.datasets import DATASETS
from dae_aqa.options import flatten
from dae_aqa.packs.options import FrameOptions
from dae_aqa.params import load_params
from dae_aqa.training.fingerprint import CODE
from dae_aqa.training.options import TrainingOptions
from tests.test_architecture import imports_of, modules

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src/dae_aqa"
WORKING = ("download", "extract_frames", "make_splits", "train", "evaluate")
STAGES = ("check", *WORKING)
# What can change no result of a stage that works: how messages are worded, how params.yaml is
# checked (its values count, as params), how progress, logs and runs are kept.
IDLE = ("__init__.py", "errors.py", "wording.py", "options.py", "params", "running", "tracking")


@pytest.fixture(scope="module")
def pipeline():
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())


@pytest.fixture(scope="module")
def params():
    return load_params(ROOT / "params.yaml")


def covers(dep: str, file: str) -> bool:
    return file == dep or file.startswith(f"{dep}/")


def says_nothing(path: Path) -> bool:
    """Whether a module is a docstring alone, as the `__init__` of most rooms."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return len(body) == 1 and ast.get_docstring(ast.Module(body, [])) is not None


def imported_files(script: Path, *, idle: tuple[str, ...] = ()) -> set[str]:
    """Files of the package that a stage's script imports, not by way of `idle` ones, from src."""
    known = modules()
    queue, seen = [script], set()
    while queue:
        for used in imports_of(queue.pop()):
            # importing a.b.c runs the packages a and a.b as well
            parts = used.split(".")
            for name in (".".join(parts[:n]) for n in range(1, len(parts) + 1)):
                path = known.get(name)
                if path is None or path in seen:
                    continue
                file = path.relative_to(PACKAGE).as_posix()
                if not any(covers(room, file) for room in idle) and not says_nothing(path):
                    seen.add(path)
                    queue.append(path)
    return {path.relative_to(PACKAGE).as_posix() for path in seen}


def code_deps(pipeline, stage: str) -> list[str]:
    deps = pipeline["stages"][stage]["deps"]
    return [dep.removeprefix("src/dae_aqa/") for dep in deps if dep.startswith("src/dae_aqa/")]


def test_stages_stand_in_the_pipelines_order(pipeline):
    assert tuple(pipeline["stages"]) == STAGES


@pytest.mark.parametrize("stage", WORKING)
def test_deps_are_the_rooms_that_can_change_the_result(pipeline, stage):
    """None is missing, and none is listed in vain."""
    deps = code_deps(pipeline, stage)
    needed = imported_files(ROOT / "stages" / f"{stage}.py", idle=IDLE)
    assert {file for file in needed if not any(covers(dep, file) for dep in deps)} == set()
    assert [dep for dep in deps if not any(covers(dep, file) for file in needed)] == []
    assert [dep for dep in deps if any(covers(room, dep) for room in IDLE)] == []


def python(code: str) -> str:
    """Return what `code` prints in a process of its own, at the root of the project."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_check_depends_on_all_that_declares_options(pipeline):
    """A rule, a range or a choice that changes must be applied to the file as it is."""
    code = "import sys, dae_aqa.params.check\nfor name in sys.modules: print(name)"
    loaded = python(code).split()
    files = {path.relative_to(PACKAGE).as_posix(): name for name, path in modules().items()}
    options = {file for file in files if file.endswith("options.py")}
    declare_none = ("__init__.py", "errors.py", "wording.py", "files", "running", "tables")
    needed = {
        file
        for file, name in files.items()
        if name in loaded and not any(covers(room, file) for room in declare_none)
        if not says_nothing(PACKAGE / file)
    }
    assert len(options) > 10
    assert options <= needed
    deps = code_deps(pipeline, "check")
    assert {file for file in needed if not any(covers(dep, file) for dep in deps)} == set()
    assert [dep for dep in deps if not any(covers(dep, file) for file in needed)] == []


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("tracking/record.py", set()),
        ("running/progress.py", set()),
        ("cli/main.py", set()),
        ("report/page.py", {"evaluate"}),
        ("evaluation/stage.py", {"evaluate"}),
        ("extraction/extract.py", {"extract_frames"}),
        ("video/decode.py", {"download", "extract_frames", "evaluate"}),
        ("training/loop.py", {"train", "evaluate"}),
        ("models/losses.py", {"train", "evaluate"}),
        ("params/rules.py", {"check"}),
    ],
)
def test_an_edit_runs_the_stages_that_it_can_change(pipeline, file, stages):
    """As docs/pipeline.md says."""
    assert (PACKAGE / file).is_file()
    named = {
        stage for stage in STAGES if any(covers(dep, file) for dep in code_deps(pipeline, stage))
    }
    assert named == stages


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_its_script(pipeline, stage):
    assert f"stages/{stage}.py" in pipeline["stages"][stage]["deps"]


def test_an_unfinished_training_is_continued_by_the_code_that_train_depends_on(pipeline):
    assert sorted(CODE) == sorted(code_deps(pipeline, "train"))


def test_what_no_stage_reads_makes_none_run_again():
    """The README and the recipes of a dataset lie beside its code, on which stages depend."""
    ignored = Repo(ROOT).dvcignore.is_ignored_file
    beside = [path for path in (PACKAGE / "datasets").rglob("*") if path.suffix in (".md", ".yaml")]
    code = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".css", ".j2")]
    assert len(beside) == 27
    assert len(code) > 100
    assert [str(path) for path in beside if not ignored(str(path))] == []
    assert [str(path) for path in code if ignored(str(path))] == []


def tracked(pipeline, stage: str, dataset: str) -> list[str]:
    keys = pipeline["stages"][stage]["params"]
    return [key.replace("${dataset}", dataset) for key in keys]


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_leaf_is_tracked_by_a_stage(pipeline, params, dataset):
    """A leaf that no stage tracks would silently change nothing."""
    keys = [key for stage in WORKING for key in tracked(pipeline, stage, dataset)]
    others = [f"datasets.{name}." for name in DATASETS if name != dataset]
    leaves = [leaf for leaf in flatten(params) if not leaf.startswith(tuple(others))]
    untracked = [leaf for leaf in leaves if not any(covers_key(key, leaf) for key in keys)]
    assert not untracked


def covers_key(key: str, leaf: str) -> bool:
    return leaf == key or leaf.startswith(f"{key}.")


def params_read(script: Path) -> set[str]:
    """Dotted attribute chains that start at a name `params` in a stage's script."""
    chains = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if parts and isinstance(node, ast.Name) and node.id == "params":
            chains.add(".".join(reversed(parts)))
    sections = {
        "training": {*TrainingOptions.model_fields},
        "dataset_options": {"datasets.${dataset}"},
        "frames": {
            "datasets.${dataset}.frame_numbering",
            *(f"extract_frames.{name}" for name in FrameOptions.model_fields),
        },
        "is_split_users_own": {"dataset"},
        "used": set(),  # for the record alone
    }
    read: set[str] = set()
    for chain in chains:
        first, _, rest = chain.partition(".")
        below = sections.get(first, {first})
        read |= {f"{key}.{rest}" if rest and first != "training" else key for key in below}
    return read


def test_check_tracks_the_whole_file(pipeline):
    """Unknown keys too, and a key that is missing: the check itself names them."""
    assert pipeline["stages"]["check"]["params"] == [{"params.yaml": None}]


@pytest.mark.parametrize("stage", WORKING)
def test_every_stage_waits_for_the_check(pipeline, stage):
    """DVC deletes a stage's outputs before it runs it, and nothing of a stage that waits."""
    (checked,) = pipeline["stages"]["check"]["outs"]
    assert checked in pipeline["stages"][stage]["deps"]


def test_check_imports_nothing_slow():
    code = "import sys, runpy; runpy.run_path('stages/check.py'); import dae_aqa.params.check\n"
    code += "print(*(name for name in ('torch', 'mlflow', 'pandas', 'av') if name in sys.modules))"
    assert python(code).strip() == ""


@pytest.mark.parametrize("stage", WORKING)
def test_stage_tracks_what_its_script_reads(pipeline, stage):
    """What a stage reads from `params` must make it run again when it changes.

    Where the user's frames lie changes no result: the lists of frames in `data/videos` do. What is
    written in capitals is a constant of the dataset's class, which `dataset` names.
    """
    keys = [*pipeline["stages"][stage]["params"], "datasets.${dataset}.frames_root"]
    if "dataset" in keys:
        keys.append("datasets.${dataset}.PERFORMANCES_OF")
    read = params_read(ROOT / "stages" / f"{stage}.py")
    untracked = {
        chain
        for chain in read
        if not any(covers_key(key, chain) or covers_key(chain, key) for key in keys)
    }
    assert read
    assert not untracked
