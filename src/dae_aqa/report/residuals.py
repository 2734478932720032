"""Figures of where the predictions are wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

from dae_aqa.metrics.sample_size import MIN_RANKED
from dae_aqa.report import drawing
from dae_aqa.report.drawing import ALERT, MUTED, PREDICTION
from dae_aqa.report.figure import ReportFigure, signed
from dae_aqa.report.inputs import ReportInputs
from dae_aqa.report.slices import Slice, find_slices

_MAX_CLASSES = 14
_NUM_TREND_GROUPS = 8
_TREND_READING = (
    " The orange line is the mean error of neighbouring dots: flat at 0 is ideal. A line that "
    "falls from left to right means that the model shies from extremes: too generous with the "
    "low, too strict with the high. To some degree any honest forecast does so."
)


def error_figures(inputs: ReportInputs, samples: pd.DataFrame) -> list[ReportFigure]:
    """Return the errors against all that they may depend on."""
    figures = [_residuals(samples, column="final_score", title="Error and judged score")]
    if samples["difficulty"].nunique() > 1:
        figures.append(_residuals(samples, column="difficulty", title="Error and difficulty"))
    classes = [group for group in find_slices(samples) if group.by == "action class"]
    if len(classes) > 1:
        figures.append(_by_action_class(samples, classes))
    if len(samples) >= MIN_RANKED:
        faults = _fault_correlations(inputs.truth, samples)
        if not faults.empty:
            figures.append(_by_fault(faults, num_samples=len(samples)))
    return figures


def _residuals(samples: pd.DataFrame, *, column: str, title: str) -> ReportFigure:
    label = "judged score" if column == "final_score" else "degree of difficulty"
    figure, axes = drawing.new_figure()
    x, error = samples[column].to_numpy(), samples["error"].to_numpy()
    axes.axhline(0, **drawing.GUIDE)
    drawing.add_points(axes, x, error, colors=[PREDICTION] * len(x), alpha=0.65)
    reading = f"Each dot is one performance, by its {label}; at 0 the prediction is exact."
    if len(x) >= MIN_RANKED:
        groups = _trend_groups(x)
        axes.plot(
            [x[group].mean() for group in groups],
            [error[group].mean() for group in groups],
            color=ALERT,
            marker="o",
            markersize=4,
        )
        reading += _TREND_READING
    bound = 1.08 * np.abs(error).max() or 1.0
    axes.set(ylim=(-bound, bound), xlabel=label, ylabel="predicted − judged, points")
    _corner(axes, "overrated", va="top")
    _corner(axes, "underrated", va="bottom")
    return drawing.finish(
        figure,
        title=title,
        name=f"residuals-{column.replace('_', '-')}",
        label=f"Prediction error against {label}.",
        samples=samples,
        finding=_trend_finding(x, error, label),
        reading=reading,
    )


def _trend_groups(x: np.ndarray) -> list[np.ndarray]:
    """Return groups of neighbouring samples by position; samples of one value stay together."""
    values = np.unique(x)
    if len(values) > _NUM_TREND_GROUPS:
        values = np.unique(np.quantile(x, np.arange(_NUM_TREND_GROUPS) / _NUM_TREND_GROUPS))
    group = np.searchsorted(values, x, side="right")
    return [np.flatnonzero(group == index) for index in np.unique(group)]


def _trend_finding(x: np.ndarray, error: np.ndarray, label: str) -> str:
    if len(x) < MIN_RANKED:
        return f"{len(x)} sample(s) are too few to show a trend with the {label}."
    if np.ptp(x) == 0 or np.ptp(error) == 0:
        return f"There is no trend with the {label} to be seen."
    fit = stats.spearmanr(x, error)
    if fit.pvalue > 0.01:
        return f"No clear trend with the {label} (rank correlation {signed(fit.statistic, 2)})."
    low, high = ("over", "under") if fit.statistic < 0 else ("under", "over")
    return (
        f"The model {low}rates the low and {high}rates the high: error and {label} correlate at "
        f"{signed(fit.statistic, 2)}."
    )


def _by_action_class(samples: pd.DataFrame, classes: list[Slice]) -> ReportFigure:
    shown = sorted(classes, key=lambda group: (-group.num, group.label))[:_MAX_CLASSES]
    shown = sorted(shown, key=lambda group: (group.mae, group.label))
    figure, axes = drawing.new_figure()
    for position, group in enumerate(shown):
        errors = samples.loc[samples["action_class"] == group.label, "error"]
        axes.plot(
            errors,
            np.full(len(errors), position),
            "o",
            color=PREDICTION,
            alpha=0.45,
            markersize=4,
            markeredgewidth=0,
        )
        axes.plot(errors.mean(), position, "|", color=ALERT, markersize=11, markeredgewidth=2.2)
    axes.axvline(0, **drawing.GUIDE)
    axes.set_yticks(
        range(len(shown)), [f"{group.label} ({group.num}×, {group.mae:.1f})" for group in shown]
    )
    axes.grid(axis="y", visible=False)
    axes.set(xlabel="predicted − judged, points", ylim=(-0.7, len(shown) - 0.3))
    worst = shown[-1]
    hidden = samples["action_class"].replace("", np.nan).nunique() - len(shown)
    more = f" {hidden} rarer classes are not shown." if hidden else ""
    return drawing.finish(
        figure,
        title="Error by action class",
        name="classes",
        label="Prediction errors by action class, mean absolute error in brackets.",
        finding=f"Largest mean error: {worst.label}, {worst.mae:.1f} points over {worst.num} "
        f"samples.{more}",
        reading="One row per class, with its number of performances and its mean absolute error in "
        "brackets; the orange tick is the mean error, right of 0 where the class is overrated. "
        "Few performances make a mean uncertain.",
    )


def _fault_correlations(truth: pd.DataFrame, samples: pd.DataFrame) -> pd.Series:
    """Return the rank correlation of the error with each fault that varies, ascending."""
    known = truth.set_index("sample_id").reindex(samples["sample_id"]).filter(regex="^fault_")
    result = {}
    for name in known.columns:
        values = known[name].to_numpy(np.float64)
        if np.isfinite(values).all() and np.ptp(values) > 0 and samples["error"].nunique() > 1:
            result[str(name).removeprefix("fault_")] = float(
                stats.spearmanr(values, samples["error"]).statistic
            )
    return pd.Series(result, dtype=np.float64).sort_values()


def _by_fault(correlations: pd.Series, *, num_samples: int) -> ReportFigure:
    figure, axes = drawing.new_figure()
    noise = 1.96 / np.sqrt(max(num_samples - 1, 1))
    axes.axvspan(-noise, noise, **drawing.CHANCE, alpha=0.6)
    colors = [ALERT if abs(value) > noise else MUTED for value in correlations]
    axes.barh(range(len(correlations)), correlations, color=colors, height=0.62)
    axes.set_yticks(range(len(correlations)), [str(name) for name in correlations.index])
    bound = max(1.15 * correlations.abs().max(), 0.35)
    axes.grid(axis="y", visible=False)
    axes.set(xlim=(-bound, bound), xlabel="rank correlation of the error with the fault")
    unseen = correlations[correlations > noise].index[::-1].tolist()
    finding = (
        f"The model does not punish enough: {', '.join(unseen)}."
        if unseen
        else "No fault is clearly overlooked."
    )
    return drawing.finish(
        figure,
        title="Which faults the model overlooks",
        name="faults",
        label="Rank correlation of the prediction error with each fault.",
        finding=finding,
        reading="Only a simulator knows how grave each fault was. A bar to the right: the graver "
        "this fault, the more the model overrates, so it does not see the fault well enough. To "
        "the left: it punishes the fault too hard. The grey band is what chance alone would give.",
    )


def _corner(axes: Axes, text: str, *, va: str) -> None:
    height = 0.98 if va == "top" else 0.02
    axes.annotate(text, (0.99, height), xycoords="axes fraction", **drawing.HINT, ha="right", va=va)
