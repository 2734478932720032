"""What the tests of tracking run in processes of their own."""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing.synchronize import Barrier
from pathlib import Path

from dae_aqa.tracking import start_training_run
from dae_aqa.tracking.store import quiet_mlflow

NUM_EPOCHS = 5


def start_in_a_crowd(number: int, roots: list[Path], barrier: Barrier) -> None:
    """Start and finish a run in each of `roots`, all workers at the same moment."""
    quiet_mlflow()
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401  slow; so that all are quick later

    for root in roots:
        elsewhere = root / f"temporary-copy-{number}"
        elsewhere.mkdir(parents=True)
        os.chdir(elsewhere)
        os.environ["DVC_ROOT"] = str(root)
        barrier.wait(timeout=300)
        tracker = start_training_run(
            root=elsewhere,
            experiment="crowd",
            resume_key=None,
            run_name="r",
            params={"n": number},
            tags={},
        )
        with tracker:
            for epoch in range(NUM_EPOCHS):
                tracker.log_metrics({"loss": epoch + number / 10}, step=epoch)
            note = elsewhere / "note.txt"
            note.write_text(f"worker {number}")
            tracker.log_artifact(note, artifact_dir="")


def train(root: Path, first_epoch: int, last_epoch: int, ending: str) -> None:
    """Train epochs of one and the same training; end as told: finish, kill, fail, ctrl-c, hold."""
    tracker = start_training_run(
        root=root, experiment="e", resume_key="same", run_name="r", params={"lr": 0.1}, tags={}
    )
    with tracker:
        for epoch in range(first_epoch, last_epoch):
            tracker.log_metrics({"loss": epoch / 4}, step=epoch)
        if ending == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if ending == "fail":
            raise ValueError("the loss is not finite")
        if ending == "ctrl-c":
            raise KeyboardInterrupt
        if ending == "hold":
            (root / "holding").touch()
            sys.stdin.close()
            signal.pause()
