"""`dae-aqa doctor`: what stands between this machine and the next run, a line for each question."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from dae_aqa.cli.refresh import own_file_changes
from dae_aqa.errors import DaeAqaError
from dae_aqa.files.outputs import stage_outputs
from dae_aqa.params import load_params
from dae_aqa.params.check import SOURCES, check_project
from dae_aqa.running.places import CACHE_VARIABLE
from dae_aqa.tables.sources import NEXT_STEP, recorded_paths
from dae_aqa.wording import first_few

_GB = 1e9
_LITTLE_DISK_BYTES, _NO_DISK_BYTES = 5 * _GB, 0.5 * _GB  # the shipped run takes 3 GB
_LITTLE_MEMORY_BYTES = 2 * _GB  # the shipped training takes 1.5 GB
_DVC_TIMEOUT_SECONDS = 300.0
_SPLITS = Path("data/splits.csv")


@dataclass(frozen=True)
class Finding:
    """The answer to one question; `text` names the next step where `level` is not ok."""

    level: Literal["ok", "warning", "problem"]
    text: str


def diagnose(*, root: Path) -> Iterator[tuple[str, Finding]]:
    """Yield a name and a finding for each question, as soon as it is answered.

    Args:
        root: the folder where the command runs; outside the repository only the machine is looked
            at.
    """
    questions: dict[str, Callable[[Path], Finding]] = dict(_MACHINE)
    if (root / "dvc.yaml").is_file():
        questions |= _REPOSITORY
    else:
        yield (
            "repository",
            Finding("problem", f"no dvc.yaml in {root}; run the command in the repository's root"),
        )
    for name, question in questions.items():
        try:
            yield name, question(root)
        except (DaeAqaError, OSError, ValueError, KeyError, csv.Error) as error:
            yield name, Finding("problem", str(error))


def _disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free
    text = f"{free / _GB:.1f} GB free at {root}"
    if free < _NO_DISK_BYTES:
        return Finding("problem", f"{text}; free some space, `dvc gc --workspace` helps")
    if free < _LITTLE_DISK_BYTES:
        return Finding("warning", f"{text}; the shipped run takes 3 GB, I3D frames take more")
    return Finding("ok", text)


def _memory(_: Path) -> Finding:
    memory = psutil.virtual_memory()
    text = f"{memory.available / _GB:.1f} of {memory.total / _GB:.1f} GB available"
    if memory.available < _LITTLE_MEMORY_BYTES:
        return Finding("warning", f"{text}; close other programs or raise train.accumulate_steps")
    return Finding("ok", text)


def _device(_: Path) -> Finding:
    import torch  # slow to import

    cores = f"{os.cpu_count()} CPU cores, torch {torch.__version__}"
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
        return Finding("ok", f"cuda: {', '.join(names)}; {cores}")
    if torch.backends.mps.is_available():
        return Finding("ok", f"mps; {cores}")
    return Finding("ok", f"cpu alone; {cores}")


def _ffmpeg(_: Path) -> Finding:
    from dae_aqa.video.ffmpeg import find_ffmpeg

    path = find_ffmpeg()
    done = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=30)
    if done.returncode != 0 or not done.stdout:
        return Finding("problem", f"{path} does not run; remove it from the PATH or mend it")
    return Finding("ok", f"{' '.join(done.stdout.split()[:3])} at {path}")


def _params(root: Path) -> Finding:
    params = check_project(root=root)
    return Finding("ok", f"valid: {params.dataset}, {params.model}, {params.backbone}")


def _own_files(root: Path) -> Finding:
    if not (root / SOURCES).is_file():
        return Finding("ok", "none read yet")
    recorded = recorded_paths(root / SOURCES, root=root)
    if any(path.exists() for path in recorded):  # else the results come from elsewhere
        changes = own_file_changes(load_params(), root=root, read_all=False)
        if changes:
            return Finding("warning", f"{first_few(changes)}; {NEXT_STEP}")
    return Finding("ok", f"{len(recorded)} files, as download read them")


def _splits(root: Path) -> Finding:
    path = root / _SPLITS
    if not path.is_file():
        return Finding("ok", "not made yet")
    with path.open(newline="", encoding="utf-8") as file:
        counts = Counter(row["split"] for row in csv.DictReader(file))
    return Finding("ok", ", ".join(f"{name} {counts[name]}" for name in ("train", "val", "test")))


def _store(root: Path) -> Finding:
    from dae_aqa.tracking.alive import mark_killed_runs
    from dae_aqa.tracking.store import open_existing_store, public_uri

    store = open_existing_store(root=root)
    if store is None:
        return Finding("ok", "none yet; the first training makes it")
    mark_killed_runs(store)
    experiments = store.client.search_experiments()
    text = f"{public_uri(store.uri)}: {len(experiments)} experiments"
    folder = Path(store.uri.removeprefix("sqlite:///")).parent
    if store.uri.startswith("sqlite:///"):
        text += f", {_size_of(folder) / _GB:.2f} GB with all models and artifacts"
    return Finding("ok", text)


def _unfinished(root: Path) -> Finding:
    base = Path(os.environ.get(CACHE_VARIABLE) or root / ".cache")
    trainings = [path.name for path in sorted((base / "trainings").glob("*")) if path.is_dir()]
    leftover = sorted(base.rglob("*.part")) + sorted((root / "data").glob("*/.new"))
    text = f"{_size_of(base) / _GB:.2f} GB in {base}"
    if trainings:
        return Finding(
            "warning",
            f"{len(trainings)} unfinished training(s) in {base / 'trainings'} "
            f"({first_few(trainings)}); `dvc repro` goes on with that of the same params, "
            "the others can be deleted",
        )
    if leftover:
        return Finding(
            "warning",
            f"left by a kill: {first_few(leftover)}; delete them if nothing is running",
        )
    return Finding("ok", f"nothing unfinished; {text}")


def _processes(root: Path) -> Finding:
    scripts = {f"stages/{name}.py" for name in stage_outputs(root)}
    running: list[str] = []
    orphans: list[str] = []
    for process in psutil.process_iter():
        try:
            script = next((word for word in process.cmdline() if word in scripts), None)
            if script is None or not Path(process.cwd()).is_relative_to(root):
                continue
            label = f"{script} (process {process.pid})"
            parents = [" ".join(parent.cmdline()) for parent in process.parents()]
        except psutil.Error:  # it has ended meanwhile, or is not ours to look at
            continue
        (running if any("dvc" in parent for parent in parents) else orphans).append(label)
    if orphans:
        return Finding("warning", f"no dvc waits for {first_few(orphans)}; end them with `kill`")
    return Finding("ok", f"running: {first_few(running)}" if running else "no stage is running")


def _next_run(root: Path) -> Finding:
    command = [sys.executable, "-m", "dvc", "status", "--json"]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=_DVC_TIMEOUT_SECONDS
    )
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()
        return Finding("problem", f"dvc status: {reason[0] if reason else 'failed'}")
    changed = set(json.loads(done.stdout or "{}"))
    stages = [name for name in stage_outputs(root) if name in changed]
    if not stages:
        return Finding("ok", "everything is up to date")
    return Finding("ok", f"`dvc repro` runs {', '.join(stages)} and what their results change")


def _size_of(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


_MACHINE: dict[str, Callable[[Path], Finding]] = {
    "disk": _disk,
    "memory": _memory,
    "device": _device,
    "ffmpeg": _ffmpeg,
}
_REPOSITORY: dict[str, Callable[[Path], Finding]] = {
    "params": _params,
    "own files": _own_files,
    "splits": _splits,
    "MLflow store": _store,
    "unfinished": _unfinished,
    "processes": _processes,
    "next run": _next_run,
}
