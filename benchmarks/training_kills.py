"""Kill -9 at random moments of a training: does a rerun end with the same bytes?

    python benchmarks/training_kills.py [--kills 20] [--epochs 8]

The pipeline's own stages, on a small simdive, in a temporary folder. After each kill `train` is
run again to its end, then `evaluate`: the model file, the learning curves and the predictions must
equal those of an undisturbed run byte for byte, and at most one epoch may have been trained twice.
The same predictions are asked of 2 and 4 loader workers, without a kill.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from _common import REPO_ROOT, markdown_table, write_result

LONGEST_WAIT_SECONDS = 0.4  # an epoch of this size takes about as long
RESULTS = ("models/model.pt", "reports/training.csv", "reports/predictions.csv")
SMALL = {
    "train_batch_size": 8,
    "device": "cpu",
    "extract_frames.width": 114,
    "extract_frames.height": 64,
    "make_splits.val_fraction": 0.25,
    "train.clips.num_frames": 16,
    "train.clips.stride": 6,
    "train.clips.crop_px": 64,
    "train.clips.size_px": 32,
    "train.clips.cache": False,
    "train.dropout": 0.2,
    "train.num_threads": 1,
    "train.tracking": False,
    "evaluate.num_bootstrap": 100,
    "evaluate.num_worst": 1,
    "datasets.simdive.num_dives": 96,
    "datasets.simdive.dives_per_video": 12,
    "datasets.simdive.width": 128,
    "datasets.simdive.height": 72,
    "datasets.simdive.replay_probability": 0.0,
    "datasets.simdive.max_gap_seconds": 0.6,
}


class Project:
    """A folder with the stages, small parameters and no history."""

    def __init__(self, folder: Path, *, num_epochs: int) -> None:
        self.folder = folder
        for name in ("src", "stages"):
            shutil.copytree(REPO_ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc"))
        for name in ("data", "models", "reports"):
            (folder / name).mkdir()
        shutil.copy(REPO_ROOT / "params.yaml", folder)
        self.set(SMALL | {"num_epochs": num_epochs})

    def set(self, changes: dict[str, Any]) -> None:
        """Change params.yaml by dotted key."""
        path = self.folder / "params.yaml"
        content = yaml.load(path.read_text(), Loader=yaml.SafeLoader)
        for key, value in changes.items():
            *sections, name = key.split(".")
            target = content
            for section in sections:
                target = target[section]
            target[name] = value
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def start(self, stage: str) -> subprocess.Popen[bytes]:
        """Start a stage."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "DAE_"))}
        environment |= {"PYTHONPATH": "src", "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, f"stages/{stage}.py"],
            cwd=self.folder,
            env=environment,
            stderr=subprocess.DEVNULL,
        )

    def run(self, stage: str) -> float:
        """Run a stage to its end; return its seconds."""
        started = time.perf_counter()
        if self.start(stage).wait() != 0:
            raise SystemExit(f"{stage} failed; see {self.folder}/logs/workspace/{stage}.log")
        return time.perf_counter() - started

    def forget(self) -> None:
        """Remove what training and evaluation left."""
        for name in (*RESULTS, "logs/workspace/train.log"):
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self.folder / ".cache/trainings", ignore_errors=True)

    def results(self) -> dict[str, bytes]:
        """Return the bytes of all results."""
        return {name: (self.folder / name).read_bytes() for name in RESULTS}

    def epochs_seen(self) -> collections.Counter[int]:
        """Return how often each epoch stands in the log as trained to its end."""
        path = self.folder / "logs/workspace/train.log"
        log = path.read_text() if path.exists() else ""
        return collections.Counter(int(found) for found in re.findall(r": epoch (\d+): ", log))


def kill_once(
    project: Project, good: dict[str, bytes], *, epoch: int, wait: float
) -> dict[str, Any]:
    """Kill a training `wait` seconds after it ended `epoch` epochs, run it again, compare."""
    project.forget()
    process = project.start("train")
    while process.poll() is None and sum(project.epochs_seen().values()) < epoch:
        time.sleep(0.01)
    time.sleep(wait)
    was_running = process.poll() is None
    process.kill()
    process.wait()
    before = sum(project.epochs_seen().values())
    project.run("train")
    project.run("evaluate")
    seen = project.epochs_seen()
    return {
        "epochs_before_the_kill": before,
        "was_running": was_running,
        "identical": project.results() == good,
        "epochs_trained_twice": sum(count - 1 for count in seen.values()),
    }


def main() -> None:
    """Kill, repeat, compare; write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        project = Project(Path(name), num_epochs=args.epochs)
        for stage in ("download", "extract_frames", "make_splits"):
            project.run(stage)
        project.run("train")
        project.run("evaluate")
        good = project.results()
        workers = {}
        for count in (2, 4):
            project.forget()
            project.set({"num_workers": count})
            project.run("train")
            project.run("evaluate")
            workers[count] = project.results()["reports/predictions.csv"] == good[RESULTS[-1]]
        project.set({"num_workers": 0})
        kills = []
        for number in range(args.kills):
            epoch, wait = rng.randrange(args.epochs), rng.uniform(0, LONGEST_WAIT_SECONDS)
            kills.append(kill_once(project, good, epoch=epoch, wait=wait))
            print(number + 1, kills[-1], flush=True)
    path = write_result(
        "training_kills",
        {
            "num_kills": len(kills),
            "num_really_killed": sum(kill["was_running"] for kill in kills),
            "num_identical": sum(kill["identical"] for kill in kills),
            "most_epochs_trained_twice": max(kill["epochs_trained_twice"] for kill in kills),
            "same_predictions_with_workers": workers,
            "kills": kills,
        },
    )
    rows = [
        ("kills", len(kills)),
        ("of these while it ran", sum(kill["was_running"] for kill in kills)),
        ("ended with the same bytes", sum(kill["identical"] for kill in kills)),
        ("most epochs trained twice", max(kill["epochs_trained_twice"] for kill in kills)),
        *((f"{count} workers: same predictions", same) for count, same in workers.items()),
    ]
    print(markdown_table(("", ""), rows))
    print(path)


if __name__ == "__main__":
    main()
