"""What a training costs beside other work, with the ways in which idle OpenMP threads may wait.

    python benchmarks/contention.py [--rounds 1] [--ways before ours 1000 4000 passive]

Trainings of three epochs with the shipped parameters on the data of `make repro`: alone, beside a
process that keeps one core busy, and two at once as a queue with two workers has them. Each way to
wait takes its turn within each round, so that a drift of the machine meets all alike. Seconds are
those of the epochs, as the training itself logs them; all ways must give the same model, to the
byte. `before` is libgomp's own default, `ours` what the package sets, a number that many spins.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import yaml

from _common import REPO_ROOT, markdown_table, write_result

SPINS_OF_LIBGOMP = "300000"  # where nothing is set; Source: libgomp/env.c
WAITS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
SITUATIONS = {"alone": 1, "beside a busy process": 1, "two at once": 2}


def settings(way: str) -> dict[str, str]:
    """Return the environment variables that make threads wait in the given way."""
    if way == "ours":
        return {}
    if way == "passive":
        return {"OMP_WAIT_POLICY": "passive"}
    return {"GOMP_SPINCOUNT": SPINS_OF_LIBGOMP if way == "before" else str(int(way))}


def make_project(folder: Path, *, num_epochs: int) -> None:
    """Copy code and parameters, and point to the data of the repository."""
    for name in ("src", "stages"):
        shutil.copytree(REPO_ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc"))
    (folder / "data").symlink_to(REPO_ROOT / "data")
    params = yaml.safe_load((REPO_ROOT / "params.yaml").read_text())
    params["num_epochs"] = num_epochs
    params["train"]["tracking"] = False
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def start(folder: Path, way: str, *, num_epochs: int) -> subprocess.Popen[bytes]:
    """Start the train stage in a folder of its own."""
    make_project(folder, num_epochs=num_epochs)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DVC_", "DAE_", "OMP_")) and name not in WAITS
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.Popen(
        [sys.executable, "stages/train.py"],
        cwd=folder,
        env=environment | {"PYTHONPATH": "src"} | settings(way),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@contextlib.contextmanager
def busy_process(wanted: bool) -> Iterator[None]:
    """Keep one core busy meanwhile."""
    if not wanted:
        yield
        return
    work = f"import os\nwhile os.getppid() == {os.getpid()}: sum(range(10_000))"
    process = subprocess.Popen([sys.executable, "-c", work])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measure(situation: str, way: str, *, num_epochs: int) -> tuple[list[float], set[str]]:
    """Return the seconds of all epochs of each training, and the digests of the models."""
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / str(number) for number in range(SITUATIONS[situation])]
        with busy_process("busy" in situation):
            trainings = [start(folder, way, num_epochs=num_epochs) for folder in folders]
            codes = [training.wait() for training in trainings]
        logs = [(folder / "logs/workspace/train.log").read_text() for folder in folders]
        if any(codes):
            raise SystemExit(f"a training failed:\n{logs[0][-2000:]}")
        epochs = [re.findall(r"epoch_seconds ([\d.e+-]+)", log) for log in logs]
        models = {
            hashlib.sha256((folder / "models/model.pt").read_bytes()).hexdigest()
            for folder in folders
        }
        return [sum(map(float, seconds)) for seconds in epochs], models


def main() -> None:
    """Train in all situations and ways; write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--ways", nargs="+", default=["before", "ours"])
    args = parser.parse_args()
    if not any((REPO_ROOT / "data/frames").glob("*.zip")):
        raise SystemExit("data/frames is empty: run `make repro` or `dvc pull` first")
    seconds: dict[str, dict[str, list[list[float]]]] = {
        way: {situation: [] for situation in SITUATIONS} for way in args.ways
    }
    models: set[str] = set()
    for number in range(args.rounds):
        for situation in SITUATIONS:
            # the first of a round is not always the same
            for way in args.ways if number % 2 == 0 else reversed(args.ways):
                taken, digests = measure(situation, way, num_epochs=args.epochs)
                seconds[way][situation].append(taken)
                models |= digests
                print(f"round {number + 1}, {situation}, {way}: {taken}", flush=True)
    medians = {
        way: {name: median(max(run) for run in runs) for name, runs in found.items()}
        for way, found in seconds.items()
    }
    ratios = {
        way: {name: value / found["alone"] for name, value in found.items()}
        for way, found in medians.items()
    }
    path = write_result(
        "contention",
        {
            "num_epochs": args.epochs,
            "same_model_in_all": len(models) == 1,
            "seconds_of_all_epochs": medians,  # of the slower one, where two train
            "times_as_long_as_alone": ratios,
            "all_seconds": seconds,
        },
    )
    rows = [
        (way, *(f"{medians[way][name]:.1f} s ({ratios[way][name]:.2f})" for name in SITUATIONS))
        for way in args.ways
    ]
    print(markdown_table(("idle threads", *SITUATIONS), rows))
    print("all models equal:", len(models) == 1)
    print(path)


if __name__ == "__main__":
    main()
