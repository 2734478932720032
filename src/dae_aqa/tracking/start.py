"""Starting the MLflow run of a training, or continuing the one that a kill interrupted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dae_aqa.tracking.alive import claim, claim_own, lock_tag, mark_killed_runs
from dae_aqa.tracking.identity import ERROR_TAG, LOCK_TAG, RESUME_TAG, code_tags
from dae_aqa.tracking.mlflow_run import MlflowTracker
from dae_aqa.tracking.store import (
    Store,
    experiment_id,
    explained,
    open_store,
    patiently,
)
from dae_aqa.tracking.tracker import Tracker

if TYPE_CHECKING:
    from mlflow.entities import Run

logger = logging.getLogger(__name__)


def start_training_run(
    *,
    root: Path,
    experiment: str,
    resume_key: str | None,
    params: Mapping[str, object],
    tags: Mapping[str, str],
    run_name: str | None = None,
) -> Tracker:
    """Open the store and start a run, or continue the unfinished one of the same `resume_key`.

    Args:
        root: repository root (in a queued experiment its temporary copy), for the git revision;
            the store lies at `DVC_ROOT` where DVC sets it.
        experiment: name of the MLflow experiment.
        resume_key: fingerprint of params, data and code: an unfinished run that carries it is the
            same training, interrupted, and is continued unless a live process still writes it.
            None always starts a new run.
        params: params of the training; nested ones become dotted keys.
        tags: further tags, such as the DVC hashes of the data.
        run_name: what the UI calls the run; None for a name of MLflow's own making.

    Raises:
        TrackingError: the store cannot be reached or written; nothing has been trained yet.
    """
    store = open_store(root=root)
    identifier = experiment_id(store, name=experiment)
    all_tags = code_tags(root=root) | dict(tags)
    if resume_key is not None:
        all_tags[RESUME_TAG] = resume_key
    with explained(store.uri):
        claimed = None if resume_key is None else claim(root, resume_key)
        run = None if claimed is None else _unfinished(store, identifier, str(resume_key))
        lock = claimed or claim_own(root)
        all_tags[LOCK_TAG] = lock_tag(lock)
        if run is None:
            run = patiently(
                lambda: store.client.create_run(identifier, tags=all_tags, run_name=run_name)
            )
        else:
            _reopen(store, run, lock=lock_tag(lock))
    mark_killed_runs(store)
    tracker = MlflowTracker(store=store, run=run, lock=lock)
    tracker.log_params(params)
    logger.info("MLflow run %r of experiment %r.", run.info.run_name, experiment)
    return tracker


def _reopen(store: Store, run: Run, *, lock: str) -> None:
    logger.info("Continuing the MLflow run %r.", run.info.run_name)
    patiently(lambda: store.client.update_run(run.info.run_id, status="RUNNING"))
    patiently(lambda: store.client.set_tag(run.info.run_id, LOCK_TAG, lock))
    if ERROR_TAG in run.data.tags:
        patiently(lambda: store.client.delete_tag(run.info.run_id, ERROR_TAG))


def _unfinished(store: Store, identifier: str, resume_key: str) -> Run | None:
    runs = store.client.search_runs(
        [identifier],
        filter_string=f"tags.`{RESUME_TAG}` = '{resume_key}' AND attributes.status != 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return runs[0] if runs else None
