"""Figures of how good the predictions are and where they are wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

from dae_aqa.calibration import interval_half_width
from dae_aqa.report import drawing
from dae_aqa.report.drawing import ALERT, GRID, INK, MUTED, PREDICTION, REFERENCE
from dae_aqa.report.figure import ReportFigure
from dae_aqa.report.inputs import ReportInputs
from dae_aqa.report.references import Reference, references_of
from dae_aqa.report.slices import Slice, find_slices

_LEVEL = 0.9
_MARK_AREA = 20.0
_MAX_CLASSES = 14
_NUM_TREND_GROUPS = 8


def accuracy_figures(inputs: ReportInputs, samples: pd.DataFrame) -> list[ReportFigure]:
    """Return predicted against judged, and the model beside its baselines."""
    return [_predicted_against_judged(samples), _against_references(inputs)]


def error_figures(inputs: ReportInputs, samples: pd.DataFrame) -> list[ReportFigure]:
    """Return the residuals against all that they may depend on."""
    figures = [_residuals(samples, column="final_score", title="Error and judged score")]
    if samples["difficulty"].nunique() > 1:
        figures.append(_residuals(samples, column="difficulty", title="Error and difficulty"))
    classes = [group for group in find_slices(samples) if group.by == "action class"]
    if len(classes) > 1:
        figures.append(_by_action_class(samples, classes))
    if inputs.truth is not None and len(inputs.truth.columns) > 1:
        faults = _fault_correlations(inputs.truth, samples)
        if not faults.empty:
            figures.append(_by_fault(faults, num_samples=len(samples)))
    return figures


def tooltips(samples: pd.DataFrame) -> list[str]:
    """Return one line per sample: its id, what was judged and what was predicted."""
    return [
        f"{row.sample_id}: judged {row.final_score:.1f}, predicted {row.mu:.1f}"
        + ("" if np.isnan(row.sigma) else f" ± {row.sigma:.1f}")
        for row in samples.itertuples()
    ]


def _predicted_against_judged(samples: pd.DataFrame) -> ReportFigure:
    figure, axes = drawing.new_figure()
    score, mu = samples["final_score"].to_numpy(), samples["mu"].to_numpy()
    half = interval_half_width(level=_LEVEL) * samples["sigma"].to_numpy(np.float64)
    outside = np.abs(mu - score) > half  # all False without sigma
    low, high = min(score.min(), mu.min()), max(score.max(), mu.max())
    margin = 0.05 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, color=MUTED, linewidth=1, dashes=(4, 3))
    if not np.isnan(half).any():
        for mask, color in ((~outside, PREDICTION), (outside, ALERT)):
            axes.errorbar(
                score[mask],
                mu[mask],
                yerr=half[mask],
                fmt="none",
                ecolor=color,
                elinewidth=0.9,
                alpha=0.3,
            )
    _points(axes, score, mu, colors=np.where(outside, ALERT, PREDICTION))
    axes.set(xlim=limits, ylim=limits, xlabel="judged score", ylabel="predicted score")
    _note(axes, limits, "predicted = judged")
    sigma_known = not np.isnan(half).any()
    share = f"{int(outside.sum())} of {len(samples)} scores lie outside of their 90 % interval"
    return ReportFigure(
        title="Predicted and judged score",
        svg=drawing.to_svg(
            figure,
            name="scatter",
            label=f"Predicted against judged score of {len(samples)} samples.",
            tooltips=tooltips(samples),
        ),
        finding=f"{share} (expected: about {len(samples) / 10:.0f})."
        if sigma_known
        else "The model gives no intervals.",
        reading="Each dot is one performance. On the dashed line the model and the judges agree; "
        "above it the model is too generous, below it too strict. The bar is the range that should "
        "hold the judged score nine times in ten; where it misses the line, dot and bar are orange. "
        "Hover over a dot for its name, click it to find its row in the table.",
    )


def _against_references(inputs: ReportInputs) -> ReportFigure:
    final, execution = inputs.number("spearman"), inputs.number("spearman_execution")
    references = references_of(inputs)
    rows: list[tuple[str, float, str, tuple[float, float] | None]] = []
    scales = ["final"]
    if any(reference.scale == "execution" for reference in references):
        scales.append("execution")
    for scale in scales:
        rho = final if scale == "final" else execution
        key = "spearman" if scale == "final" else "spearman_execution"
        low, high = inputs.number(f"{key}_ci95_low"), inputs.number(f"{key}_ci95_high")
        if rho is not None:
            interval = None if low is None or high is None else (low, high)
            rows.append((f"This model, {scale} score", rho, "model", interval))
        rows += [
            (reference.label, reference.rho, reference.kind, None)
            for reference in sorted(references, key=lambda item: item.rho)
            if reference.scale == scale
        ]
    figure, axes = drawing.new_figure()
    for position, (_, rho, kind, interval) in enumerate(reversed(rows)):
        color = PREDICTION if kind == "model" else MUTED if kind == "to beat" else REFERENCE
        if interval is not None:
            axes.plot(interval, (position, position), color=color, linewidth=5, alpha=0.3)
        else:
            axes.plot((0, rho), (position, position), color=GRID, linewidth=2)
        axes.plot(rho, position, "o" if kind == "model" else "D", color=color, markersize=6)
        inside = rho > 0.85
        axes.annotate(
            f"{rho:.3f}",
            (rho, position),
            (0, 7),
            textcoords="offset points",
            fontsize=8.5,
            ha="right" if inside else "center",
            color=INK if kind == "model" else MUTED,
        )
    axes.set_yticks(range(len(rows)), [row[0] for row in reversed(rows)])
    axes.grid(axis="y", visible=False)
    axes.set(xlim=(min(0, *(row[1] for row in rows)) - 0.02 if rows else 0, 1.02))
    axes.set(ylim=(-0.6, len(rows) - 0.2), xlabel="Spearman's rank correlation with the judges")
    return ReportFigure(
        title="Ranking, beside what is easy and what is possible",
        svg=drawing.to_svg(
            figure,
            name="references",
            label="Rank correlation of the model and of its references: "
            + "; ".join(f"{row[0]} {row[1]:.3f}" for row in rows),
        ),
        finding=_reference_finding(final, execution, references),
        reading="How well each ranks the performances: 1 is the judges' own order, 0 is chance. "
        "Round: this model, with its 95 % interval. Diamonds: grey, what takes next to no insight "
        "and must be beaten; violet, what could be known at best, or what others published. "
        "Final scores are compared with final scores, execution scores (before the difficulty is "
        "multiplied in) with execution scores.",
    )


def _reference_finding(
    final: float | None, execution: float | None, references: list[Reference]
) -> str:
    beaten = missed = 0
    for reference in references:
        rho = final if reference.scale == "final" else execution
        if reference.kind == "to beat" and rho is not None:
            beaten += rho > reference.rho
            missed += rho <= reference.rho
    if not beaten + missed:
        return "There is no baseline to compare with in this dataset."
    return f"The model ranks better than {beaten} of {beaten + missed} simple baselines."


def _residuals(samples: pd.DataFrame, *, column: str, title: str) -> ReportFigure:
    figure, axes = drawing.new_figure()
    x, error = samples[column].to_numpy(), samples["error"].to_numpy()
    axes.axhline(0, color=MUTED, linewidth=1, dashes=(4, 3))
    _points(axes, x, error, colors=np.full(len(x), PREDICTION), alpha=0.65)
    order = np.argsort(x, kind="stable")
    groups = [
        group for group in np.array_split(order, min(_NUM_TREND_GROUPS, len(x))) if len(group)
    ]
    axes.plot(
        [x[group].mean() for group in groups],
        [error[group].mean() for group in groups],
        color=ALERT,
        marker="o",
        markersize=4,
    )
    bound = 1.08 * np.abs(error).max() or 1.0
    label = "judged score" if column == "final_score" else "degree of difficulty"
    axes.set(ylim=(-bound, bound), xlabel=label, ylabel="predicted − judged, points")
    _corner(axes, "overrated", va="top")
    _corner(axes, "underrated", va="bottom")
    return ReportFigure(
        title=title,
        svg=drawing.to_svg(
            figure,
            name=f"residuals-{column.replace('_', '-')}",
            label=f"Prediction error against {label}.",
            tooltips=tooltips(samples),
        ),
        finding=_trend_finding(x, error, label),
        reading=f"Each dot is one performance, by its {label}; at 0 the prediction is exact. The "
        "orange line is the mean error of neighbouring dots: flat at 0 is ideal. A line that falls "
        "from left to right means that the model shies from extremes: too generous with the low, "
        "too strict with the high.",
    )


def _trend_finding(x: np.ndarray, error: np.ndarray, label: str) -> str:
    if np.ptp(x) == 0 or np.ptp(error) == 0 or len(x) < 3:
        return f"There is no trend with the {label} to be seen."
    fit = stats.spearmanr(x, error)
    if fit.pvalue > 0.01:
        return f"No clear trend with the {label} (rank correlation {fit.statistic:+.2f})."
    less = (
        "overrates the low and underrates the high"
        if fit.statistic < 0
        else ("underrates the low and overrates the high")
    )
    return f"The model {less}: error and {label} correlate at {fit.statistic:+.2f}."


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
    axes.axvline(0, color=MUTED, linewidth=1, dashes=(4, 3))
    axes.set_yticks(
        range(len(shown)), [f"{group.label} ({group.num}×, {group.mae:.1f})" for group in shown]
    )
    axes.grid(axis="y", visible=False)
    axes.set(xlabel="predicted − judged, points", ylim=(-0.7, len(shown) - 0.3))
    worst = shown[-1]
    hidden = samples["action_class"].nunique() - len(shown)
    more = f" {hidden} rarer classes are not shown." if hidden else ""
    return ReportFigure(
        title="Error by action class",
        svg=drawing.to_svg(
            figure,
            name="classes",
            label="Prediction errors by action class, mean absolute error in brackets.",
        ),
        finding=f"Largest mean error: {worst.label}, {worst.mae:.1f} points over {worst.num} "
        f"samples.{more}",
        reading="One row per class, with its number of performances and its mean absolute error in "
        "brackets; the orange tick is the mean error, right of 0 where the class is overrated. "
        "Few performances make a mean uncertain.",
    )


def _fault_correlations(truth: pd.DataFrame, samples: pd.DataFrame) -> pd.Series:
    """Return the rank correlation of the error with each fault that varies, ascending."""
    known = truth.set_index("sample_id").reindex(samples["sample_id"])
    result = {}
    for name in known.select_dtypes("number").columns:
        values = known[name].to_numpy(np.float64)
        if np.isfinite(values).all() and np.ptp(values) > 0 and samples["error"].nunique() > 1:
            result[str(name)] = float(stats.spearmanr(values, samples["error"]).statistic)
    return pd.Series(result, dtype=np.float64).sort_values()


def _by_fault(correlations: pd.Series, *, num_samples: int) -> ReportFigure:
    figure, axes = drawing.new_figure()
    noise = 1.96 / np.sqrt(max(num_samples - 1, 1))
    axes.axvspan(-noise, noise, color=GRID, alpha=0.6, linewidth=0)
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
    return ReportFigure(
        title="Which faults the model overlooks",
        svg=drawing.to_svg(
            figure, name="faults", label="Rank correlation of the prediction error with each fault."
        ),
        finding=finding,
        reading="Only a simulator knows how grave each fault was. A bar to the right: the graver this "
        "fault, the more the model overrates, so it does not see the fault well enough. To the left: "
        "it punishes the fault too hard. Within the grey band is what chance alone would give.",
    )


def _points(
    axes: Axes, x: np.ndarray, y: np.ndarray, *, colors: np.ndarray, alpha: float = 0.85
) -> None:
    collection = axes.scatter(x, y, s=_MARK_AREA, c=list(colors), alpha=alpha, linewidths=0)
    collection.set_gid(drawing.POINTS_ID)


def _note(axes: Axes, limits: tuple[float, float], text: str) -> None:
    """Write `text` along the identity line, at its upper end."""
    low, high = limits
    at = low + 0.80 * (high - low)
    axes.annotate(
        text, (at, at), (-4, 6), textcoords="offset points", color=MUTED, fontsize=8, ha="right"
    )


def _corner(axes: Axes, text: str, *, va: str) -> None:
    axes.annotate(
        text,
        (1, 1 if va == "top" else 0),
        xycoords="axes fraction",
        color=MUTED,
        fontsize=8,
        ha="right",
        va=va,
    )
