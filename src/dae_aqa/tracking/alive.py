"""Which runs have a live process: each holds a file lock, which the system frees with the process.

A killed process cannot say so in its run, which the store would then show as running for ever.
"""

from __future__ import annotations

import logging
import socket
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from dae_aqa.errors import TrackingError
from dae_aqa.running.places import project_root
from dae_aqa.tracking.identity import ERROR_TAG, LOCK_TAG
from dae_aqa.tracking.store import STORE_FOLDER, Store, explained, patiently

if TYPE_CHECKING:
    from mlflow.entities import Run

# another process may look whether a lock is free, and holds it for that moment
_PATIENCE_SECONDS = 2.0
_WITHOUT_A_WORD = "the process ended without a word: SIGKILL, no memory, or the machine went down"

logger = logging.getLogger(__name__)


def claim(root: Path, resume_key: str) -> FileLock | None:
    """Return a lock that lasts as long as this process, or None where another one holds it."""
    lock = FileLock(_locks_folder(root) / f"{resume_key}.lock")
    try:
        lock.acquire(timeout=_PATIENCE_SECONDS)
    except Timeout:
        logger.info("Another process trains the same params: this training gets a run of its own.")
        return None
    return lock


def claim_own(root: Path) -> FileLock:
    """Return a lock that no other process asks for."""
    lock = FileLock(_locks_folder(root) / f"{uuid.uuid4().hex}.lock")
    lock.acquire(blocking=False)
    return lock


def lock_tag(lock: FileLock) -> str:
    """Return where `lock` can be looked at: the machine and the file."""
    return f"{socket.gethostname()}:{lock.lock_file}"


def mark_killed_runs(store: Store) -> None:
    """Give the status KILLED to running runs of this machine whose process is gone.

    Such a run is continued all the same when its training is. A fault of the store is logged only.
    """
    try:
        with explained(store.uri):
            experiments = [found.experiment_id for found in store.client.search_experiments()]
            for run in store.client.search_runs(experiments, "attributes.status = 'RUNNING'"):
                host, _, path = run.data.tags.get(LOCK_TAG, "").partition(":")
                if host == socket.gethostname():
                    _mark_if_free(store, run, FileLock(path))
    except TrackingError as error:
        logger.info("Runs whose process is gone could not be looked for. %s", error)


def _mark_if_free(store: Store, run: Run, lock: FileLock) -> None:
    run_id = run.info.run_id
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    try:
        with lock.acquire(blocking=False):
            # it may have been continued and ended since the search
            if store.client.get_run(run_id).info.status != "RUNNING":
                return
            patiently(lambda: store.client.set_tag(run_id, ERROR_TAG, _WITHOUT_A_WORD))
            ended = _last_sign_of_life(store, run)
            patiently(lambda: store.client.set_terminated(run_id, status="KILLED", end_time=ended))
            logger.info(
                "The MLflow run %r is marked as killed: its process is gone.", run.info.run_name
            )
    except Timeout:
        pass  # its process lives


def _last_sign_of_life(store: Store, run: Run) -> int:
    """Return when the run got its latest metric, or began, in milliseconds since 1970."""
    times = [
        int(point.timestamp)
        for key in run.data.metrics
        for point in store.client.get_metric_history(run.info.run_id, key)
    ]
    return max([int(run.info.start_time), *times])


def _locks_folder(root: Path) -> Path:
    folder = project_root(root) / STORE_FOLDER / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
