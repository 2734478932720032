"""Figures of how sure the model is, and whether it is right to be."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from dae_aqa.metrics import calibration
from dae_aqa.metrics.accuracy import MetricUndefinedError
from dae_aqa.metrics.forecast import forecast_of
from dae_aqa.metrics.mixture import Mixture
from dae_aqa.metrics.sample_size import MIN_COVERED, MIN_GROUPED
from dae_aqa.report import drawing
from dae_aqa.report.drawing import ALERT, INK, PREDICTION, REFERENCE
from dae_aqa.report.figure import ReportFigure, signed
from dae_aqa.report.inputs import ReportInputs
from dae_aqa.tables.predictions import has_judges_sigma

_COVERAGE_LEVELS = (0.5, 0.8, 0.9, 0.95)
_NUM_PIT_BINS = 10
_NUM_SCORE_GROUPS = 10
_MIN_KEPT_SHARE = 0.05
_MEAN_ABS_NORMAL = math.sqrt(2 / math.pi)  # Source: mean of |x| of the standard normal


def uncertainty_figures(inputs: ReportInputs, samples: pd.DataFrame) -> list[ReportFigure]:
    """Return the figures of the predicted sigma for which there are enough samples."""
    figures = []
    if len(samples) >= MIN_COVERED:
        figures += [_reliability(samples), _pit_histogram(samples)]
    if len(samples) >= MIN_GROUPED:
        with contextlib.suppress(MetricUndefinedError):  # the table of figures gives the reason
            figures.append(_error_by_sigma(inputs, samples))
        figures.append(_rejection(samples))
    if has_judges_sigma(samples):
        figures.append(_parts_of_sigma(samples))
    if "true_sigma_execution" in samples.columns:
        figures.append(_sigma_against_truth(inputs, samples))
    return figures


@dataclass(frozen=True, kw_only=True)
class CoverageRow:
    """What the central intervals of one level hold.

    Attributes:
        level: share of the scores that they should hold.
        observed: share that they hold.
        num: number of all scores.
        low: the least share that chance allows a calibrated model.
        high: the greatest such share.
        half_width: mean half width of the intervals, in points.
    """

    level: float
    observed: float
    num: int
    low: float
    high: float
    half_width: float

    @property
    def held(self) -> str:
        """What they hold, as the page says it: a count of few samples, a share of many."""
        if self.num < MIN_COVERED:
            return f"{round(self.observed * self.num)} of {self.num}"
        return f"{100 * self.observed:.1f} %"

    @property
    def verdict(self) -> str:
        """Whether they hold as much as they should, where chance leaves room to tell."""
        if not self.low <= self.observed <= self.high:
            return "overconfident" if self.observed < self.low else "too cautious"
        can_tell = self.num >= MIN_COVERED and self.low > 0 and self.high < 1
        return "as it should" if can_tell else "too few to tell"


class _Forecast(TypedDict):
    """What the metrics of calibration take."""

    forecast: Mixture
    target: pd.Series


def coverage_rows(samples: pd.DataFrame) -> list[CoverageRow]:
    """Return what the intervals of each of `_COVERAGE_LEVELS` hold."""
    rows, num, forecast = [], len(samples), forecast_of(samples)
    for level in _COVERAGE_LEVELS:
        observed = calibration.coverage(**_forecast(samples), level=level)
        low, high = calibration.coverage_noise_interval(level=level, num_samples=num)
        tail = (1 - level) / 2
        half = (forecast.quantile(1 - tail) - forecast.quantile(tail)).mean() / 2
        rows.append(
            CoverageRow(
                level=level, observed=observed, num=num, low=low, high=high, half_width=half
            )
        )
    return rows


def _forecast(samples: pd.DataFrame) -> _Forecast:
    return {"forecast": forecast_of(samples), "target": samples["final_score"]}


def _reliability(samples: pd.DataFrame) -> ReportFigure:
    nominal, observed = calibration.reliability_curve(**_forecast(samples))
    bands = [
        calibration.coverage_noise_interval(level=float(level), num_samples=len(samples))
        for level in nominal
    ]
    lowest, highest = zip(*bands, strict=True)
    figure, axes = drawing.new_figure()
    axes.fill_between(nominal, lowest, highest, **drawing.CHANCE, alpha=0.8)
    axes.plot((0, 1), (0, 1), **drawing.GUIDE)
    axes.plot(nominal, observed, color=PREDICTION, marker="o", markersize=4)
    drawing.set_share_ticks(axes.xaxis, axes.yaxis)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set(xlabel="interval that should hold this share", ylabel="share it holds")
    axes.annotate("too cautious", (0.04, 0.94), **drawing.HINT, va="top")
    axes.annotate("overconfident", (0.96, 0.06), **drawing.HINT, ha="right")
    inside = sum(low <= value <= high for value, (low, high) in zip(observed, bands, strict=True))
    return drawing.finish(
        figure,
        title="Do the intervals hold what they promise?",
        name="reliability",
        label="Observed against nominal coverage of the intervals.",
        finding=f"{inside} of {len(nominal)} interval widths hold as much as they should, within "
        "chance.",
        reading="Take the range that the model says should hold, for example, half of all scores: "
        "how many does it hold? On the dashed line it keeps its word; below it is overconfident. "
        "The grey band is what chance would do to a model that keeps its word.",
    )


def _pit_histogram(samples: pd.DataFrame) -> ReportFigure:
    values = calibration.pit(**_forecast(samples))
    counts, edges = np.histogram(values, bins=_NUM_PIT_BINS, range=(0, 1))
    low, high = stats.binom.ppf([0.025, 0.975], len(values), 1 / _NUM_PIT_BINS)
    figure, axes = drawing.new_figure()
    axes.axhspan(low, high, **drawing.CHANCE, alpha=0.8)
    axes.axhline(len(values) / _NUM_PIT_BINS, **drawing.GUIDE)
    colors = [PREDICTION if low <= count <= high else ALERT for count in counts]
    axes.bar(edges[:-1] + 0.05, counts, width=0.086, color=colors, alpha=0.9)
    axes.grid(axis="x", visible=False)
    axes.set_xticks((0.05, 0.5, 0.95), ["far below", "as predicted", "far above"])
    axes.set(xlim=(0, 1), xlabel="where the judged score fell in its forecast", ylabel="samples")
    outside = int(np.sum((counts < low) | (counts > high)))
    return drawing.finish(
        figure,
        title="Where the judged scores fall in their forecasts",
        name="pit",
        label="Histogram of the probability integral transform.",
        finding=_pit_finding(counts, outside),
        reading="Each forecast is cut into ten parts that should be hit equally often (a PIT "
        "histogram). Bars high at both ends: overconfident. High in the middle: too cautious. "
        "Higher on the right: the judges give more than predicted. The grey band is chance.",
    )


def _pit_finding(counts: npt.NDArray[np.intp], num_outside: int) -> str:
    if num_outside <= 1:
        return "The bars are as level as chance allows: the whole distribution fits."
    ends, middle = counts[[0, -1]].mean(), counts[3:7].mean()
    left, right = counts[:5].sum(), counts[5:].sum()
    if abs(left - right) > 0.25 * (left + right):
        side = "too low" if right > left else "too high"
        return f"{num_outside} bars leave the band; the predictions are {side} on the whole."
    shape = "too narrow, with too many surprises at the ends" if ends > middle else "too wide"
    return f"{num_outside} bars leave the band; the forecasts are {shape}."


def _error_by_sigma(inputs: ReportInputs, samples: pd.DataFrame) -> ReportFigure:
    sigma, error = calibration.uncertainty_bins(
        mu=samples["mu"], sigma=samples["sigma"], target=samples["final_score"]
    )
    figure, axes = drawing.new_figure()
    positions = np.arange(1, len(sigma) + 1)
    axes.bar(positions, error, width=0.72, color=PREDICTION, alpha=0.85, label="mean |error|")
    axes.plot(
        positions,
        _MEAN_ABS_NORMAL * sigma,
        color=INK,
        marker="D",
        markersize=4,
        linewidth=1.1,
        label="expected from σ",
    )
    axes.grid(axis="x", visible=False)
    axes.set_xticks(positions, [f"{value:.1f}" for value in sigma], fontsize=8)
    axes.set(xlabel="mean σ of each tenth of the samples, points", ylabel="points")
    axes.set_ylim(0, 1.2 * max(error.max(), (_MEAN_ABS_NORMAL * sigma).max()))
    drawing.add_legend(axes, num_columns=2)
    tau = inputs.number("rejection_tau")
    return drawing.finish(
        figure,
        title="Is it wrong where it says it is unsure?",
        name="sigma-error",
        label="Mean absolute error in ten bins of predicted sigma.",
        finding="Kendall's τ between doubt and error: "
        + ("undefined." if tau is None else f"{signed(tau, 2)} (1: perfect, 0: none)."),
        reading="The performances in ten groups, from those that the model is surest of (left) to "
        "those it doubts most (right). The bars should rise, and follow the diamonds, the mean "
        "error that its σ announces.",
    )


def _rejection(samples: pd.DataFrame) -> ReportFigure:
    error = samples["abs_error"].to_numpy()
    kept, by_sigma = calibration.rejection_curve(uncertainty=samples["sigma"], error=error)
    _, best = calibration.rejection_curve(uncertainty=error, error=error)
    figure, axes = drawing.new_figure()
    axes.axhline(error.mean(), **drawing.GUIDE, label="at random")
    shown = kept >= max(_MIN_KEPT_SHARE, 5 / len(kept))  # the mean of fewer is noise
    axes.plot(1 - kept[shown], best[shown], color=REFERENCE, linewidth=1.2, label="by true error")
    axes.plot(1 - kept[shown], by_sigma[shown], color=PREDICTION, linewidth=2, label="by σ")
    drawing.set_share_ticks(axes.xaxis)
    axes.set(xlim=(0, 1), xlabel="share handed to a human judge")
    axes.set(ylabel="mean |error| of the rest, points")
    axes.set_ylim(0, 1.1 * max(error.mean(), by_sigma[shown].max(initial=0.0)) or 1.0)
    drawing.add_legend(axes, num_columns=3)
    return drawing.finish(
        figure,
        title="What handing over the doubtful half would bring",
        name="rejection",
        label="Mean error of the samples kept, by share handed over.",
        finding=_rejection_finding(by_sigma[len(by_sigma) // 2], error.mean()),
        reading="If the performances that the model doubts most went to a human judge, how good "
        "were the rest? The blue line should fall from left to right, between the dashed line "
        "(chosen at random) and the violet one (chosen by an oracle that knows the errors).",
    )


def _rejection_finding(half: float, whole: float) -> str:
    """Return what is gained where the doubtful half is handed over, from the mean errors."""
    percent = round(100 * (1 - half / whole)) if whole > 0 else 0
    if percent == 0:
        return (
            "Handing over the half with the largest σ leaves the mean error of the rest as it is."
        )
    return (
        f"Handing over the half with the largest σ {'lowers' if percent > 0 else 'raises'} the "
        f"mean error of the rest by {abs(percent)} %."
    )


def _parts_of_sigma(samples: pd.DataFrame) -> ReportFigure:
    mu = samples["mu_execution"].to_numpy()
    variance = samples["sigma_execution"].to_numpy() ** 2
    judges_variance = samples["sigma_judges_execution"].to_numpy() ** 2
    groups = np.array_split(np.argsort(mu), min(_NUM_SCORE_GROUPS, len(mu)))
    whole = np.sqrt([variance[group].mean() for group in groups])
    judges = np.sqrt([judges_variance[group].mean() for group in groups])
    share = judges_variance.sum() / variance.sum()
    figure, axes = drawing.new_figure()
    positions = np.arange(1, len(groups) + 1)
    axes.bar(positions, whole, width=0.72, color=PREDICTION, alpha=0.45, label="whole σ")
    axes.bar(positions, judges, width=0.4, color=PREDICTION, label="judges among themselves")
    axes.grid(axis="x", visible=False)
    axes.set_xticks(positions, [f"{mu[group].mean():.1f}" for group in groups], fontsize=8)
    which = "tenth" if len(groups) < len(mu) else "sample"
    axes.set(xlabel=f"mean predicted execution score of each {which}", ylabel="σ, execution score")
    axes.set_ylim(0, 1.25 * max(whole.max(), judges.max()))
    drawing.add_legend(axes, num_columns=2)
    return drawing.finish(
        figure,
        title="How much of the doubt is the judges' own",
        name="sigma-parts",
        label="Predicted sigma and the judges' part of it, by predicted execution score.",
        finding=f"Judges who scatter among themselves make {100 * share:.0f} % of the predicted "
        "variance.",
        reading="The model learned from the single marks how far judges of one panel lie apart. "
        "That part of σ (dark) no better model could take away. The rest is what it does not know "
        "about the performance, and what a whole panel may share.",
    )


def _sigma_against_truth(inputs: ReportInputs, samples: pd.DataFrame) -> ReportFigure:
    true, sigma = samples["true_sigma_execution"], samples["sigma_execution"]
    figure, axes = drawing.new_figure()
    high = 1.06 * max(true.max(), sigma.max())
    axes.plot((0, high), (0, high), **drawing.GUIDE)
    drawing.add_points(axes, true, sigma, colors=[PREDICTION] * len(samples), alpha=0.6)
    axes.set(xlim=(0, 1.06 * true.max()), ylim=(0, high))
    axes.set(xlabel="judges' true σ, execution score", ylabel="predicted σ, execution score")
    rank = inputs.number("sigma_rank_correlation_execution")
    ratio = float((sigma / true).median())
    return drawing.finish(
        figure,
        title="Predicted σ and the judges' true σ",
        name="true-sigma",
        label="Predicted against true sigma on the execution scale.",
        samples=samples,
        finding=(
            f"They rank alike at {signed(rank, 2)}; "
            if rank is not None
            else "No rank correlation; "
        )
        + f"the predicted σ is {ratio:.1f} times the true one at the median.",
        reading="Only a simulator knows how much its judges scatter. The predicted σ also holds "
        "what the model itself gets wrong, so dots above the dashed line are right for a model "
        "that is not perfect. They should rise from left to right. All before the difficulty is "
        "multiplied in, so that difficulty alone cannot make σ look right.",
    )
