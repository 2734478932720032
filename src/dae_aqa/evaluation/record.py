"""The evaluation in the MLflow run of the training."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dae_aqa.errors import TrackingError
from dae_aqa.files.hashing import file_sha256
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.metrics.summary import Metrics
from dae_aqa.report import KeptEpoch
from dae_aqa.running.places import project_root
from dae_aqa.tracking import log_evaluation
from dae_aqa.tracking.record import record_restored_training

logger = logging.getLogger(__name__)


def record_evaluation(
    params: Mapping[str, Any],
    trained: TrainedModel,
    metrics: Metrics,
    *,
    kept_epoch: KeptEpoch | None,
    model_path: Path,
    reports_dir: Path,
) -> None:
    """Add the evaluation to the run that trained the model.

    Where DVC restored the model from its cache and the store knows no run of it, one is recorded
    first, so that every experiment can be compared in the store. A store that cannot be reached is
    a warning in the log.

    Args:
        params: all that the run is told, by dotted key.
        trained: the evaluated model.
        metrics: its figures.
        kept_epoch: the epoch of its weights; None where it was not trained here.
        model_path: its file.
        reports_dir: the folder of reports and learning curves.
    """
    reports = ("predictions.csv", "metrics.json", "index.html")
    add = partial(
        log_evaluation,
        root=project_root(),
        experiment=params["train.experiment"],
        model_sha256=file_sha256(model_path),
        metrics=metrics,
        artifacts=[reports_dir / name for name in reports],
    )
    try:
        if not add():
            record_restored_training(
                params,
                trained,
                best_epoch=None if kept_epoch is None else kept_epoch.epoch,
                chosen_by=None if kept_epoch is None else kept_epoch.chosen_by,
                model_path=model_path,
                history_path=reports_dir / "training.csv",
            )
            add()
    except TrackingError as error:  # the reports are the result, the store is for comparing
        logger.warning("The evaluation is in the reports only. %s", error)
