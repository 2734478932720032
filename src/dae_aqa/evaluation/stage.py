"""The evaluate stage: test samples are predicted once, and all that is said of them is written."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dae_aqa.clips.layout import ClipLayout
from dae_aqa.datasets import Dataset
from dae_aqa.evaluation.calibration import write_calibration
from dae_aqa.evaluation.costs import model_costs
from dae_aqa.evaluation.notes import ExemplarCounts
from dae_aqa.evaluation.options import EvaluateOptions
from dae_aqa.evaluation.record import record_evaluation
from dae_aqa.evaluation.report_inputs import report_inputs
from dae_aqa.evaluation.tables import EvaluationTables
from dae_aqa.files.hashing import file_sha256
from dae_aqa.inference.device import resolve_device, set_determinism, set_threads
from dae_aqa.inference.predict import predict
from dae_aqa.inference.samples import select_samples
from dae_aqa.inference.trained_model import Seen, TrainedModel, model_file
from dae_aqa.metrics.accuracy import spearman
from dae_aqa.metrics.human_ceiling import ceiling_metrics
from dae_aqa.metrics.parts import PartMetrics, evaluate_parts, pooled
from dae_aqa.metrics.summary import Metrics, evaluate_predictions, write_metrics
from dae_aqa.options import flatten
from dae_aqa.report import write_report
from dae_aqa.running.places import check_outputs
from dae_aqa.splits.make import part_names, rows_of_part
from dae_aqa.tables.annotations import execution_scores
from dae_aqa.tables.predictions import build_predictions, check_predictions, write_predictions
from dae_aqa.training.checkpoint import remove_finished
from dae_aqa.training.options import TrainingOptions
from dae_aqa.training.session import inputs_of

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
    predict_part = partial(
        _predict_part,
        options=options,
        tables=tables,
        frames_dir=frames_dir,
        features_dir=features_dir,
    )
    started = time.perf_counter()
    parts = [predict_part(part, path) for part, path in paths.items()]
    score_seconds = time.perf_counter() - started
    predictions = check_predictions(
        pd.concat([part.predictions for part in parts], ignore_index=True), source="predictions"
    )
    whole = pooled(predictions)
    metrics: Metrics = {
        "protocol": options.protocol,
        "num_train": tables.num_train,
        "num_val": tables.num_val,
        **_figures(
            whole,
            dataset=dataset,
            tables=tables,
            rule=params["datasets"][params["dataset"]]["scoring_rule"],
            num_bootstrap=evaluate.num_bootstrap,
            seed=options.seed,
        ),
        **parts[0].costs,
        **_as_published(tables),
    }
    part_metrics = evaluate_parts(
        predictions, sizes=tables.sizes, is_published=tables.has_published_parts
    )
    write_predictions(
        predictions.assign(protocol=options.protocol), reports_dir / "predictions.csv"
    )
    write_calibration(whole, reports_dir / "calibration.csv", protocol=options.protocol)
    of_parts = {} if part_metrics is None else asdict(part_metrics)
    write_metrics({**metrics, **of_parts}, reports_dir / "metrics.json")
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
        num_leaked=sum(_num_leaked(part, dataset) for part in parts),
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


def result_line(metrics: Metrics, part_metrics: PartMetrics | None) -> str:
    """Return the result in a line for the log; a rho that is undefined says why.

    Of several tasks, their mean comes first, as papers report it; of drawn folds of one task, what
    all predictions give together.

    Example: '360 samples, rho 0.891 on the final score, 0.848 on the execution score, mean absolute
    error 5.50 points'.
    """
    rho, execution = metrics["spearman"], metrics["spearman_execution"]
    ranks = (
        f"rho {rho:.3f} on the final score, {execution:.3f} on the execution score"
        if isinstance(rho, float) and isinstance(execution, float)
        else f"no rho ({metrics.get('spearman_reason') or metrics['spearman_execution_reason']})"
    )
    error = f"mean absolute error {metrics['mae']:.2f} points"
    line = f"{metrics['num_test']} sample(s), {ranks}, {error}"
    if part_metrics is None:
        return line
    mean = part_metrics.mean["spearman"]
    shown = f"mean rho {mean:.3f}" if isinstance(mean, float) else "no mean rho"
    num = len(part_metrics.parts)
    if part_metrics.tasks:
        return f"{num} parts, {shown} over tasks; pooled: {line}"
    return f"{line}; {num} folds, {shown}"


@dataclass(frozen=True)
class _Predicted:
    """One part's predictions table, and what is told of the model that made it.

    Attributes:
        predictions: of the part's test samples.
        layout: of the model's clips.
        costs: see `evaluation.costs.model_costs`.
        seen: what the model has seen.
        exemplars: how many exemplars are alike each test sample, and how many should vote; None
            where the model compares with none.
    """

    predictions: pd.DataFrame
    layout: ClipLayout
    costs: Mapping[str, float]
    seen: Seen | None
    exemplars: ExemplarCounts | None


def _predict_part(
    part: str,
    model_path: Path,
    *,
    options: TrainingOptions,
    tables: EvaluationTables,
    frames_dir: Path,
    features_dir: Path,
) -> _Predicted:
    """Return the predictions of one part's test samples, and what of the model they come from."""
    trained = TrainedModel.load(model_path)
    trained.model.to(resolve_device(options.device))
    samples = select_samples(
        tables.annotations,
        rows_of_part(tables.splits, part),
        split=("test",),
        scoring_rule=None,  # the marks of judges are not looked at
        with_judges=False,
    )
    trained.check_exemplars(samples)
    inputs = inputs_of(options, frames_dir=frames_dir, features_dir=features_dir)
    prediction = predict(
        trained.model,
        inputs.feed(trained, samples),
        performances=samples.performances,
        batch_size=options.test_batch_size,
        precision=options.train.precision,
        show_progress=not part,  # of many short ones, the log says which
    )
    judges, mixture = prediction.sigma_judges_execution, prediction.mixture_execution
    truth = None if tables.truth.empty else _rows_of(tables.truth, samples.sample_ids)
    predictions = build_predictions(
        samples=_rows_of(tables.annotations, samples.sample_ids),
        mu_execution=prediction.mu_execution.numpy(),
        sigma_execution=prediction.sigma_execution.numpy(),
        sigma_judges_execution=None if judges is None else judges.numpy(),
        mixture_execution=None if mixture is None else mixture.numpy(),
        # a simulator knows the true sigma of each sample
        true_sigma_execution=None if truth is None else truth["true_sigma_execution"].to_numpy(),
        part=part,
    )
    return _Predicted(
        predictions,
        layout=trained.layout,
        costs=model_costs(trained),
        seen=trained.seen,
        exemplars=ExemplarCounts.of(trained.model.head, samples),
    )


def _num_leaked(part: _Predicted, dataset: Dataset) -> int:
    """Return how many test samples of a part had a part in training its model."""
    if part.seen is None:
        return 0
    tested = part.predictions["sample_id"]
    return len(part.seen.among(tested, performances_of=dataset.options.PERFORMANCES_OF))


def _figures(
    predictions: pd.DataFrame,
    *,
    dataset: Dataset,
    tables: EvaluationTables,
    rule: str | None,
    num_bootstrap: int,
    seed: int,
) -> Metrics:
    """Return the figures of the predictions, beside simple baselines and the judges themselves."""
    figures = evaluate_predictions(
        predictions,
        num_bootstrap=num_bootstrap,
        seed=seed,
        baselines=_baselines(predictions, dataset=dataset, tables=tables),
    )
    annotations = _rows_of(tables.annotations, predictions["sample_id"].tolist())
    return figures | ceiling_metrics(annotations, rule=rule, num_resamples=num_bootstrap, seed=seed)


def _as_published(tables: EvaluationTables) -> Metrics:
    """Return the figures as papers take them: rho and R-l2, each of its own best epoch on test.

    Of several parts there are none, like of the protocol `honest`.
    """
    history = tables.history
    if tables.protocol == "honest" or history.empty or "part" in history.columns:
        return {}
    best: Metrics = {}
    for key, is_better in (("spearman", np.nanargmax), ("rl2_x100", np.nanargmin)):
        values = history[f"val_{key}"].to_numpy(np.float64)
        if np.isfinite(values).any():
            row = int(is_better(values))
            best |= {f"best_{key}": float(values[row]), f"best_{key}_epoch": row}
    return best


def _baselines(
    predictions: pd.DataFrame, *, dataset: Dataset, tables: EvaluationTables
) -> Mapping[str, float]:
    """Return rank correlations to compare the model's with; none where no truth is known."""
    if tables.truth.empty or dataset.baselines is None:
        return {}
    sample_ids = predictions["sample_id"].tolist()
    annotations = _rows_of(tables.annotations, sample_ids)
    truth = _rows_of(tables.truth, sample_ids)
    score = execution_scores(annotations).to_numpy()
    return {
        name: abs(spearman(predicted=values, target=score))
        for name, values in dataset.baselines(truth, annotations).items()
    }


def _rows_of(table: pd.DataFrame, sample_ids: list[str]) -> pd.DataFrame:
    """Return the rows of the samples, in their order."""
    return table.set_index("sample_id").loc[sample_ids].reset_index()
