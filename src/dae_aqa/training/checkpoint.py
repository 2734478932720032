"""Training checkpoints: written aside and renamed, checked on load, two generations kept.

A checkpoint lies in a work folder outside DVC's outputs, whose name says what determines the
result (see `dae_aqa.training.fingerprint`), so that a rerun of the same training finds it and any
other training does not.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock, Timeout

from dae_aqa.errors import TrainingError
from dae_aqa.files.hashing import file_sha256
from dae_aqa.files.whole import remove_leftovers, written_whole

CURRENT = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"
FINISHED_MODEL = "model.pt"  # kept where other parts are still to be trained
FINISHED_HISTORY = "training.csv"
_FINISHED = "finished.txt"
_DIGEST_BYTES = 32
_ABANDONED_AFTER_SECONDS = 30 * 86_400.0
_PATIENCE_SECONDS = 15.0  # a training that was told to end needs some seconds for that

logger = logging.getLogger(__name__)


def save_checkpoint(state: Mapping[str, Any], work_dir: Path) -> None:
    """Write `state` as the current checkpoint of `work_dir`; the one before becomes the previous.

    A kill at any moment leaves at least one whole checkpoint.

    Raises:
        TrainingError: the disk is full or not writable; what was saved before stays.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    payload = buffer.getbuffer()
    path = work_dir / CURRENT
    try:
        with (
            written_whole(path, synced=True, last_step=lambda _: _keep_as_previous(path)) as part,
            part.open("wb") as file,
        ):
            file.write(hashlib.sha256(payload).digest())
            file.write(payload)
    except OSError as error:
        raise TrainingError(
            f"{path}: the checkpoint of epoch {state.get('epoch')} could not be "
            f"written ({error.strerror}). The one before it is whole: free some space and run the "
            "stage again, it goes on from there."
        ) from error


def _keep_as_previous(current: Path) -> None:
    if current.exists():
        current.replace(current.with_name(PREVIOUS))


def load_checkpoint(work_dir: Path) -> dict[str, Any] | None:
    """Return the newest whole checkpoint of `work_dir`, or None where there is none.

    A damaged one is reported and removed, and the previous one taken.
    """
    for name in (CURRENT, PREVIOUS):
        path = work_dir / name
        if not path.exists():
            continue
        content = path.read_bytes()
        digest, payload = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(payload).digest() == digest:
            state: dict[str, Any] = torch.load(
                io.BytesIO(payload), map_location="cpu", weights_only=True
            )
            return state
        logger.warning("%s is damaged (its checksum does not fit) and is removed", path)
        path.unlink()  # or the next save would let it take the place of the whole one before it
    return None


@contextmanager
def sole_use(work_dir: Path) -> Iterator[None]:
    """Make `work_dir` and keep it from other processes; a kill releases it.

    Two that train the same at once would write each other's checkpoints.

    Raises:
        TrainingError: another process trains the same; the message names it.
    """
    holder = work_dir / "in_use_by.txt"
    lock = _lock_of(work_dir)
    work_dir.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=_PATIENCE_SECONDS)
    except Timeout as error:
        name = holder.read_text(encoding="utf-8") if holder.exists() else "process unknown"
        raise TrainingError(
            f"the same training runs already ({name}). Wait for its end, or end it, and run this "
            f"again: it goes on from the checkpoints in {work_dir}."
        ) from error
    try:
        work_dir.mkdir(exist_ok=True)
        remove_leftovers(work_dir)
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        holder.write_text(
            f"process {os.getpid()} on {socket.gethostname()}, since {started}", encoding="utf-8"
        )
        yield
    finally:
        lock.release()


def _lock_of(work_dir: Path) -> FileLock:
    return FileLock(work_dir.with_name(f"{work_dir.name}.lock"))


def mark_finished(work_dir: Path, *, model_sha256: str) -> None:
    """Note in `work_dir` which model it ended with.

    The folder itself stays until the model has been evaluated: were it removed here, a kill before
    DVC has recorded the outputs would cost the whole training.
    """
    with written_whole(work_dir / _FINISHED) as part:
        part.write_text(model_sha256)


def finished_history(work_dir: Path) -> pd.DataFrame | None:
    """Return the learning curves of a training that is finished and kept its model, else None."""
    marker, model = work_dir / _FINISHED, work_dir / FINISHED_MODEL
    if not marker.is_file() or not model.is_file() or file_sha256(model) != marker.read_text():
        return None
    return pd.read_csv(work_dir / FINISHED_HISTORY)


def remove_finished(trainings_dir: Path, *, model_sha256: str) -> None:
    """Remove the work folders of trainings that ended with this model, if nothing uses them."""
    for marker in trainings_dir.glob(f"*/{_FINISHED}"):
        if marker.read_text() == model_sha256:
            _remove_unused(marker.parent)


def remove_abandoned(trainings_dir: Path) -> None:
    """Remove what trainings left that nothing has written to for a month, if nothing uses it.

    That is a work folder with its lock, or a lock whose folder is gone.
    """
    oldest = time.time() - _ABANDONED_AFTER_SECONDS
    locks = (path.with_suffix("") for path in trainings_dir.glob("*.lock"))
    for work_dir in sorted({*trainings_dir.glob("*/"), *locks}):
        if _last_written(work_dir) < oldest and _remove_unused(work_dir):
            logger.info("removed %s: no training has written to it for a month", work_dir)


def _last_written(work_dir: Path) -> float:
    """Return when a training last wrote to its folder, or took its lock, in seconds since 1970."""
    newest = 0.0
    for path in (work_dir, Path(_lock_of(work_dir).lock_file), *work_dir.glob("*")):
        with suppress(FileNotFoundError):  # a training that runs renames its checkpoints meanwhile
            newest = max(newest, path.stat().st_mtime)
    return newest


def _remove_unused(work_dir: Path) -> bool:
    """Remove a work folder and its lock unless a process uses it; return whether it did."""
    lock = _lock_of(work_dir)
    with suppress(Timeout), lock.acquire(blocking=False):
        shutil.rmtree(work_dir, ignore_errors=True)
        Path(lock.lock_file).unlink(missing_ok=True)
        return True
    return False
