"""The evaluation in the MLflow run of the training."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from dae_aqa.errors import TrackingError
from dae_aqa.files.hashing import file_sha256
from dae_aqa.metrics.parts import PartMetrics
from dae_aqa.metrics.summary import Metrics
from dae_aqa.report import KeptEpoch
from dae_aqa.running.places import project_root
from dae_aqa.tracking import log_evaluation
from dae_aqa.tracking.record import open_run, record_restored_training
from dae_aqa.training.history import history_of_part, write_history

logger = logging.getLogger(__name__)


def record_evaluation(
    params: Mapping[str, Any],
    metrics: Metrics,
    part_metrics: PartMetrics | None,
    *,
    kept_epochs: Mapping[str, KeptEpoch],
    paths: Mapping[str, Path],
    score_seconds: float,
    reports_dir: Path,
) -> None:
    """Add the evaluation to the run that trained the model, or to the run of all parts.

    Where there are several parts, the run of each gets its own figures. Where DVC restored the
    models from its cache and the store knows no run of them, one is recorded first, so that every
    experiment can be compared in the store. A store that cannot be reached is a warning in the log.

    Args:
        params: all that the run is told, by dotted key.
        metrics: the figures of all predictions.
        part_metrics: those of each part; None where there is but one.
        kept_epochs: by part, the epoch of its weights; none of a model that was not trained here.
        paths: the model file of each part.
        score_seconds: what it took to predict all test samples.
        reports_dir: the folder of reports and learning curves.
    """
    add = partial(
        _add_evaluation,
        params,
        {**metrics, "score_seconds": score_seconds},
        part_metrics,
        paths=paths,
        reports_dir=reports_dir,
    )
    try:
        if not add():
            _record_restored(params, kept_epochs=kept_epochs, paths=paths, reports_dir=reports_dir)
            add()
    except TrackingError as error:  # the reports are the result, the store is for comparing
        logger.warning("The evaluation is in the reports only. %s", error)


def _add_evaluation(
    params: Mapping[str, Any],
    metrics: Metrics,
    part_metrics: PartMetrics | None,
    *,
    paths: Mapping[str, Path],
    reports_dir: Path,
) -> bool:
    """Add the figures to the runs that trained these models; say whether they were found."""
    hashes = {part: file_sha256(path) for part, path in paths.items()}
    log = partial(
        log_evaluation,
        root=project_root(),
        experiment=params["train.experiment"],
        imported=params["evaluate.checkpoint"],
    )
    mean = {} if part_metrics is None else part_metrics.mean
    reports = ("predictions.csv", "calibration.csv", "metrics.json", "index.html")
    added = log(
        model_sha256=next(iter(hashes.values())),
        metrics=metrics | {f"mean_{key}": value for key, value in mean.items()},
        artifacts=[reports_dir / name for name in reports],
        of_parent=part_metrics is not None,
    )
    is_one_model = len(set(hashes.values())) == 1  # as an imported checkpoint, which has one run
    if added and part_metrics is not None and not is_one_model:
        for part, figures in part_metrics.parts.items():
            log(model_sha256=hashes[part], metrics=figures, artifacts=[])
    return added


def _record_restored(
    params: Mapping[str, Any],
    *,
    kept_epochs: Mapping[str, KeptEpoch],
    paths: Mapping[str, Path],
    reports_dir: Path,
) -> None:
    """Record a run for each model, below one of all parts where there are several."""
    history = pd.read_csv(reports_dir / "training.csv")
    has_parts = list(paths) != [""]
    with open_run(params, resume_key=None) if has_parts else nullcontext() as parent:
        for part, path in paths.items():
            kept = kept_epochs.get(part)
            rows = history_of_part(history, part)
            with TemporaryDirectory() as folder:
                history_path = Path(folder) / "training.csv"
                write_history(rows, history_path)
                record_restored_training(
                    params,
                    best_epoch=None if kept is None else kept.epoch,
                    chosen_by=None if kept is None else kept.chosen_by,
                    model_path=path,
                    history_path=history_path,
                    part=part,
                    parent=parent,
                )
