"""The figures of an evaluation, for `metrics.json` and for the log."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from dae_aqa.datasets import Dataset
from dae_aqa.evaluation.tables import EvaluationTables, rows_of
from dae_aqa.metrics.accuracy import spearman
from dae_aqa.metrics.human_ceiling import ceiling_metrics
from dae_aqa.metrics.parts import PartMetrics
from dae_aqa.metrics.summary import Metrics, evaluate_predictions
from dae_aqa.tables.annotations import execution_scores
from dae_aqa.training.options import TrainingOptions


def evaluation_metrics(
    predictions: pd.DataFrame,
    *,
    options: TrainingOptions,
    num_bootstrap: int,
    dataset: Dataset,
    tables: EvaluationTables,
    rule: str | None,
    costs: Mapping[str, float],
) -> Metrics:
    """Return the figures of all predictions together, as they stand in `metrics.json`.

    Beside them stand simple baselines, the judges themselves, and what the model costs.

    Args:
        predictions: the checked table, one row per sample; parts are pooled.
        options: how the model was trained.
        num_bootstrap: see `evaluation.options.EvaluateOptions`.
        dataset: what is known of the dataset.
        tables: of the stages before.
        rule: the dataset's rule for the marks of judges; None where it has none.
        costs: of the model, see `evaluation.costs.model_costs`.
    """
    annotations = rows_of(tables.annotations, predictions["sample_id"].tolist())
    return {
        "protocol": options.protocol,
        "num_train": tables.num_train,
        "num_val": tables.num_val,
        **evaluate_predictions(
            predictions,
            num_bootstrap=num_bootstrap,
            seed=options.seed,
            baselines=_baselines(predictions, dataset=dataset, tables=tables),
        ),
        **ceiling_metrics(annotations, rule=rule, num_resamples=num_bootstrap, seed=options.seed),
        **costs,
        **_as_published(tables),
    }


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
    annotations = rows_of(tables.annotations, sample_ids)
    truth = rows_of(tables.truth, sample_ids)
    score = execution_scores(annotations).to_numpy()
    return {
        name: abs(spearman(predicted=values, target=score))
        for name, values in dataset.baselines(truth, annotations).items()
    }
