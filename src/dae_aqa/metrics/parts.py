"""Figures of several parts: of each, the mean over a task's folds, and the mean over tasks.

The papers of the field report means: over the folds of a task the arithmetic mean, over tasks or
classes the mean of Fisher's z. Beside them stand the figures of all predictions pooled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from dae_aqa.metrics import accuracy, calibration
from dae_aqa.metrics.accuracy import MetricUndefinedError
from dae_aqa.metrics.forecast import forecast_of
from dae_aqa.metrics.sample_size import MIN_AVERAGED, MIN_COVERED, MIN_RANKED, too_few
from dae_aqa.metrics.summary import Metrics
from dae_aqa.tables.parts import Part
from dae_aqa.tables.predictions import MIXTURE_COLUMN, joined_mixture, numbers_of

# what is told of each part and averaged over parts; rho first
_AVERAGED = ("spearman", "rl2_x100", "mae", "nll")


@dataclass(frozen=True)
class PartMetrics:
    """The figures of several parts, under their keys in `metrics.json`.

    Attributes:
        parts: the figures of each part, by its name.
        tasks: the mean of each task over its folds, by its name; none where there is but one task.
        mean: the mean over tasks, or over folds where there is but one task.
    """

    parts: dict[str, Metrics]
    tasks: dict[str, Metrics]
    mean: Metrics


def pooled(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return one row per sample, without the column `part`.

    A sample that several models predict, since folds were drawn repeatedly, gets the mean and the
    standard deviation of the mixture of their forecasts, and that mixture where they are mixtures.

    Source: the law of total variance: sigma² = mean(sigma_i²) + var(mu_i).
    """
    if "part" not in predictions.columns:
        return predictions
    table = predictions.drop(columns="part")
    if not table["sample_id"].duplicated().any():
        return table.sort_values("sample_id", ignore_index=True)
    by_sample = table.groupby("sample_id")
    means = by_sample[numbers_of(table)].mean()
    if MIXTURE_COLUMN in table.columns:
        means[MIXTURE_COLUMN] = by_sample[MIXTURE_COLUMN].agg(joined_mixture)
    for sigma in [name for name in table.columns if name.startswith("sigma")]:
        variance = (table[sigma] ** 2).groupby(table["sample_id"]).mean()
        if not sigma.startswith("sigma_judges"):  # how judges scatter is no matter of the models
            variance += by_sample[sigma.replace("sigma", "mu")].var(ddof=0)
        means[sigma] = np.sqrt(variance)
    return means.reset_index()[table.columns]


def evaluate_parts(
    predictions: pd.DataFrame, *, sizes: Mapping[str, Mapping[str, int]], is_published: bool
) -> PartMetrics | None:
    """Return the figures of each part, each task and their mean; None where there is one part.

    Args:
        predictions: the checked table with its column `part`.
        sizes: `num_train` and `num_val` of each part.
        is_published: the parts are the dataset's own, so that others publish the mean over them.
            The rho of a fold too small to show a ranking by itself is then an ingredient of the
            mean, down to `MIN_AVERAGED` samples.
    """
    if "part" not in predictions.columns:
        return None
    fewest = MIN_AVERAGED if is_published else MIN_RANKED
    parts = {
        name: {**sizes[name], **_of_part(rows, fewest_ranked=fewest)}
        for name, rows in _by_part(predictions)
    }
    tasks: dict[str, list[Metrics]] = {}
    for name, figures in parts.items():
        tasks.setdefault(Part.parse(name).task, []).append(figures)
    means = {task: _mean(figures, rho=_arithmetic) for task, figures in tasks.items()}
    if list(means) == [""]:
        return PartMetrics(parts, {}, means[""])
    return PartMetrics(parts, means, _mean(list(means.values()), rho=fisher_mean))


def fisher_mean(rhos: Sequence[float]) -> float:
    """Return the mean of rank correlations by way of Fisher's z: tanh(mean(atanh(rho))).

    Example: 0.5 and 0.9 give 0.7661, their arithmetic mean being 0.7.

    Raises:
        MetricUndefinedError: a rho is 1 or -1, whose z is infinite.

    Source: Fisher (1921); the mean over classes of AQA-7 and over tasks of JIGSAWS in Tang et al.
    (CVPR 2020) and what followed.
    """
    accuracy.require(
        all(abs(rho) < 1 for rho in rhos),
        "a rank correlation of 1 has an infinite z, beside which the others would not count",
    )
    return math.tanh(sum(math.atanh(rho) for rho in rhos) / len(rhos))


def _by_part(predictions: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(name), rows) for name, rows in predictions.groupby("part", sort=False)]


def _of_part(rows: pd.DataFrame, *, fewest_ranked: int) -> Metrics:
    """Return the figures of one part's test samples."""
    num = len(rows)
    point = {"predicted": rows["mu"], "target": rows["final_score"]}
    forecast, target = forecast_of(rows), rows["final_score"]
    low, high = float(rows["final_score"].min()), float(rows["final_score"].max())

    def relative_l2() -> float:
        return 100 * accuracy.relative_l2(score_range=(low, high), **point)

    figures: Metrics = {"num_test": num}
    wanted: dict[str, tuple[Callable[[], float], str]] = {
        "spearman": (
            partial(accuracy.spearman, **point),
            too_few(num, fewest_ranked, "a rank correlation"),
        ),
        "rl2_x100": (relative_l2, too_few(num, fewest_ranked, "the range of the test scores")),
        "mae": (partial(accuracy.mae, **point), ""),
        "nll": (partial(calibration.nll, forecast=forecast, target=target), ""),
        "coverage_90": (
            partial(calibration.coverage, forecast=forecast, target=target, level=0.9),
            too_few(num, MIN_COVERED, "the share of scores within an interval"),
        ),
    }
    for key, (metric, reason) in wanted.items():
        figures |= _figure(key, metric, reason=reason)
    return figures


def _figure(key: str, metric: Callable[[], float], *, reason: str = "") -> Metrics:
    """Return the figure, or None with `<key>_reason` where it is undefined."""
    try:
        accuracy.require(not reason, reason)
        return {key: metric()}
    except MetricUndefinedError as undefined:
        return {key: None, f"{key}_reason": str(undefined)}


def _mean(figures: Sequence[Metrics], *, rho: Callable[[Sequence[float]], float]) -> Metrics:
    """Return the mean of each figure; `rho` averages rank correlations."""
    means: Metrics = {}
    for key in _AVERAGED:
        values = [each[key] for each in figures]
        numbers = [value for value in values if isinstance(value, float)]
        missing = len(values) - len(numbers)
        average = rho if key == "spearman" else _arithmetic
        means |= _figure(
            key,
            partial(average, numbers),
            reason=f"{missing} of {len(values)} have none" if missing else "",
        )
    return means


def _arithmetic(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
