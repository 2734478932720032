"""Finding an evaluation by what people call it: a folder, a revision, an experiment, a run."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from dae_aqa.cli.dvc import try_dvc
from dae_aqa.cli.experiments import finished_experiments, try_git
from dae_aqa.errors import EvaluationError
from dae_aqa.files.outputs import cached_file, hashes_in_lock
from dae_aqa.files.whole import copy_file
from dae_aqa.metrics.parts import pooled
from dae_aqa.tables.predictions import HONEST, read_predictions
from dae_aqa.wording import did_you_mean

REPORTS = Path("reports")
FILES = ("predictions.csv", "metrics.json")
_RUN_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What one evaluation wrote.

    Attributes:
        name: as it was asked for.
        place: where it was found, in words.
        protocol: how its epoch was chosen: the key `protocol` of its metrics.
        predictions: its predictions table, one row per sample.
        mean_over_tasks: its rho as papers report that of several tasks; None where there are none.
    """

    name: str
    place: str
    protocol: str
    predictions: pd.DataFrame
    mean_over_tasks: float | None


def find_evaluation(name: str, *, root: Path) -> Evaluation:
    """Return the evaluation `name`.

    Args:
        name: a folder with predictions.csv and metrics.json (or with `reports/`, that holds them),
            a git revision, a DVC experiment, or the id of an MLflow run; the first that fits.
        root: the repository's root.

    Raises:
        EvaluationError: nothing of that name is found; what was tried is told. Or its files are
            missing or damaged.
        TrackingError: the MLflow store cannot be read, or the run was not evaluated.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _read(_with_files(folder), name=name, place=f"folder {name}")
    with TemporaryDirectory() as copies:
        place = _copy_files(name, Path(copies), root=root)
        if place is None:
            raise EvaluationError(_tried(name, root=root))
        try:
            return _read(Path(copies), name=name, place=place)
        except EvaluationError as error:  # a damaged file is called after what was asked for
            text = str(error).replace(f"{copies}/", f"{place}, ")
            raise EvaluationError(text) from error


def _copy_files(name: str, folder: Path, *, root: Path) -> str | None:
    """Copy the files of a revision, an experiment or a run; say where they were, or None."""
    commit = _commit(name, root=root)
    if commit is not None:
        for file in FILES:
            _copy_of_revision(REPORTS / file, commit, name=name, root=root, folder=folder)
        return f"revision {name} ({commit[:7]})"
    if _RUN_ID.fullmatch(name):
        from dae_aqa.tracking.evaluation import fetch_evaluation

        if fetch_evaluation(name, folder, root=root):
            return f"MLflow run {name}"
    return None


def _with_files(folder: Path) -> Path:
    for candidate in (folder, folder / REPORTS):
        if all((candidate / file).is_file() for file in FILES):
            return candidate
    raise EvaluationError(
        f"{folder}: a folder without {' and '.join(FILES)}, and none of these in its {REPORTS}/. "
        "Run `dvc repro evaluate` there, or name a folder that holds both."
    )


def _read(folder: Path, *, name: str, place: str) -> Evaluation:
    predictions = read_predictions(folder / FILES[0])
    path = folder / FILES[1]
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path}: cannot be read as JSON ({error}).") from error
    if not isinstance(metrics, dict):
        raise EvaluationError(f"{path}: expected an object with a figure for each key.")
    mean = metrics.get("mean") if metrics.get("tasks") else None
    rho = mean.get("spearman") if isinstance(mean, dict) else None
    return Evaluation(
        name=name,
        place=place,
        protocol=str(metrics.get("protocol", HONEST)),
        predictions=pooled(predictions),
        mean_over_tasks=rho if isinstance(rho, float) else None,
    )


def _commit(name: str, *, root: Path) -> str | None:
    """Return the commit of a git revision or a DVC experiment; None where there is none."""
    if name.startswith("-"):
        return None
    found = try_git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", root=root)
    return found.strip() if found else finished_experiments(root=root).get(name)


def _copy_of_revision(path: Path, commit: str, *, name: str, root: Path, folder: Path) -> None:
    """Copy an output of the pipeline, as it was in a commit, into `folder`."""
    lock = try_git("show", f"{commit}:./dvc.lock", root=root)
    hashes = {} if lock is None else hashes_in_lock(lock)
    md5 = next((outs[path] for outs in hashes.values() if path in outs), None)
    target = folder / path.name
    if md5 is None:
        tracked = try_git("show", f"{commit}:./{path.as_posix()}", root=root)
        if tracked is None:
            raise EvaluationError(
                f"revision {name} ({commit[:7]}) has no {path}: neither its dvc.lock nor git holds "
                "it. Name a revision at which `dvc repro` had run and dvc.lock was committed."
            )
        target.write_text(tracked, encoding="utf-8")
        return
    cached = cached_file(md5, root=root)
    if cached.is_file():
        copy_file(source=cached, target=target)
        return
    # it may lie in a remote
    source = (str(root), path.as_posix())
    code, output = try_dvc("get", *source, "--rev", commit, "--out", str(target), root=root)
    if code != 0 or not target.is_file():
        reason = [line for line in output.splitlines() if line.startswith("ERROR")]
        raise EvaluationError(
            f"revision {name} ({commit[:7]}): {path} (MD5 {md5}) is not in DVC's cache, and "
            f"`dvc get` could not fetch it ({reason[0] if reason else 'it failed'}). Have whoever "
            "made it run `dvc push`, or check the revision out and run `dvc repro evaluate`."
        )


def _tried(name: str, *, root: Path) -> str:
    if try_git("rev-parse", "--git-dir", root=root) is None:
        revision = f"a git revision or a DVC experiment ({root} is no git repository)"
    else:
        hint = did_you_mean(name, finished_experiments(root=root))
        revision = f"a git revision or a DVC experiment (none of that name{hint})"
    run = (
        "an MLflow run (the store has none with this id)"
        if _RUN_ID.fullmatch(name)
        else "an MLflow run (an id has 32 digits from 0 to f)"
    )
    return (
        f"{name!r} names no evaluation. Tried as a folder (there is none), {revision}, and {run}. "
        "`dvc exp show` lists experiments, `dae-aqa ui` shows runs with their ids."
    )
