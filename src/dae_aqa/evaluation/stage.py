"""The evaluate stage: test samples are predicted once, and all that is said of them is written."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from dae_aqa.datasets import Dataset
from dae_aqa.evaluation.calibration import write_calibration
from dae_aqa.evaluation.figures import evaluation_metrics, result_line
from dae_aqa.evaluation.options import EvaluateOptions
from dae_aqa.evaluation.predicting import predict_part
from dae_aqa.evaluation.record import record_evaluation
from dae_aqa.evaluation.report_inputs import report_inputs
from dae_aqa.evaluation.tables import EvaluationTables
from dae_aqa.files.hashing import file_sha256
from dae_aqa.inference.device import set_determinism, set_threads
from dae_aqa.inference.trained_model import model_file
from dae_aqa.metrics.parts import PartMetrics, evaluate_parts, pooled
from dae_aqa.metrics.summary import Metrics, write_metrics
from dae_aqa.options import flatten
from dae_aqa.report import write_report
from dae_aqa.running.places import check_outputs
from dae_aqa.splits.make import part_names
from dae_aqa.tables.predictions import check_predictions, write_predictions
from dae_aqa.training.checkpoint import remove_finished
from dae_aqa.training.options import Protocol, TrainingOptions

logger = logging.getLogger(__name__)


def evaluate_and_report(
    options: TrainingOptions,
    *,
    evaluate: EvaluateOptions,
    dataset: Dataset,
    params: Mapping[str, Any],
    tables: EvaluationTables,
    frames_dir: Path,
    models_dir: Path,
    reports_dir: Path,
    trainings_dir: Path,
    features_dir: Path,
) -> None:
    """Write `predictions.csv`, `calibration.csv`, `metrics.json` and `index.html` to `reports_dir`.

    Each part's test samples are predicted by the part's own model.

    Args:
        options: how the model was trained.
        evaluate: how it is evaluated.
        dataset: what is known of the dataset.
        params: all parameters that were used, nested as in `params.yaml`.
        tables: of the stages before.
        frames_dir: folder of packed samples.
        models_dir: the models of the train stage, see `inference.trained_model.model_file`.
        reports_dir: where the four files go.
        trainings_dir: work folders of trainings; those that ended with these models are removed.
        features_dir: cache of clip features, used where only the head was trained.

    Raises:
        DaeAqaError: tables, model or frames do not fit together.
    """
    check_outputs(reports_dir / "index.html")
    set_threads(options.train.num_threads)
    set_determinism(options.train.deterministic)
    paths = {name: model_file(models_dir, name) for name in part_names(tables.splits)}
    started = time.perf_counter()
    parts = [
        predict_part(
            name,
            path,
            options=options,
            tables=tables,
            frames_dir=frames_dir,
            features_dir=features_dir,
        )
        for name, path in paths.items()
    ]
    score_seconds = time.perf_counter() - started
    predictions = check_predictions(
        pd.concat([part.predictions for part in parts], ignore_index=True), source="predictions"
    )
    whole = pooled(predictions)
    metrics = evaluation_metrics(
        whole,
        options=options,
        num_bootstrap=evaluate.num_bootstrap,
        dataset=dataset,
        tables=tables,
        rule=params["datasets"][params["dataset"]]["scoring_rule"],
        costs=parts[0].costs,
    )
    part_metrics = evaluate_parts(
        predictions, sizes=tables.sizes, is_published=tables.has_published_parts
    )
    _write_tables(
        predictions, whole, metrics, part_metrics, protocol=options.protocol, folder=reports_dir
    )
    inputs = report_inputs(
        options,
        evaluate=evaluate,
        dataset=dataset,
        params=params,
        tables=tables,
        predictions=whole,
        metrics=metrics,
        part_metrics=part_metrics,
        layout=parts[0].layout,
        num_leaked=sum(
            part.num_leaked(performances_of=dataset.options.PERFORMANCES_OF) for part in parts
        ),
        exemplars=[part.exemplars for part in parts if part.exemplars is not None],
        frames_dir=frames_dir,
    )
    write_report(inputs, output=reports_dir / "index.html")
    if options.train.tracking:
        record_evaluation(
            flatten(params),
            metrics,
            part_metrics,
            kept_epochs=inputs.kept_epochs,
            paths=paths,
            score_seconds=score_seconds,
            reports_dir=reports_dir,
        )
    for path in paths.values():
        remove_finished(trainings_dir, model_sha256=file_sha256(path))
    logger.info("test: %s", result_line(metrics, part_metrics))


def _write_tables(
    predictions: pd.DataFrame,
    whole: pd.DataFrame,
    metrics: Metrics,
    part_metrics: PartMetrics | None,
    *,
    protocol: Protocol,
    folder: Path,
) -> None:
    """Write predictions, calibration and metrics; `whole` has one row per sample, parts pooled."""
    write_predictions(predictions.assign(protocol=protocol), folder / "predictions.csv")
    write_calibration(whole, folder / "calibration.csv", protocol=protocol)
    of_parts = {} if part_metrics is None else asdict(part_metrics)
    write_metrics({**metrics, **of_parts}, folder / "metrics.json")
