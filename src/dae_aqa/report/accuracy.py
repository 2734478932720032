"""Figures of how good the predictions are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dae_aqa.metrics.calibration import interval_half_width
from dae_aqa.report import drawing
from dae_aqa.report.drawing import ALERT, GRID, INK, MUTED, PREDICTION, REFERENCE
from dae_aqa.report.figure import ReportFigure
from dae_aqa.report.inputs import ReportInputs
from dae_aqa.report.references import Reference, Scale, references_of

_LEVEL = 0.9


def accuracy_figures(inputs: ReportInputs, samples: pd.DataFrame) -> list[ReportFigure]:
    """Return predicted against judged, and the model beside its references where there are any."""
    figures = [_predicted_against_judged(samples)]
    if references_of(inputs):
        figures.append(_against_references(inputs))
    return figures


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
    drawing.add_points(axes, score, mu, colors=np.where(outside, ALERT, PREDICTION))
    axes.set(xlim=limits, ylim=limits, xlabel="judged score", ylabel="predicted score")
    axes.annotate("too generous", (0.02, 0.97), xycoords="axes fraction", **drawing.HINT, va="top")
    axes.annotate("too strict", (0.98, 0.03), xycoords="axes fraction", **drawing.HINT, ha="right")
    sigma_known = not np.isnan(half).any()
    share = f"{int(outside.sum())} of {len(samples)} scores lie outside of their 90 % interval"
    return ReportFigure(
        title="Predicted and judged score",
        svg=drawing.to_svg(
            figure,
            name="scatter",
            label=f"Predicted against judged score of {len(samples)} samples.",
            tooltips=drawing.tooltips(samples),
        ),
        finding=f"{share} (expected: about {len(samples) / 10:.0f})."
        if sigma_known
        else "The model gives no intervals.",
        reading="Each dot is one performance. On the dashed line the model and the judges agree; "
        "above it the model is too generous, below it too strict. The bar is the range that should "
        "hold the judged score nine times in ten; where it does not, dot and bar are orange. "
        "Hover over a dot for its name, click it to find its row in the table.",
    )


def _against_references(inputs: ReportInputs) -> ReportFigure:
    references = references_of(inputs)
    rows = [*_rank_rows(inputs, references, "final"), *_rank_rows(inputs, references, "execution")]
    figure, axes = drawing.new_figure()
    _draw_ranks(axes, rows)
    return ReportFigure(
        title="Ranking, beside what is easy and what is possible",
        svg=drawing.to_svg(
            figure,
            name="references",
            label="Rank correlation of the model and of its references: "
            + "; ".join(f"{row.label} {row.rho:.3f}" for row in rows),
        ),
        finding=_reference_finding(inputs, references),
        reading="How well each ranks the performances: 1 is the judges' own order, 0 is chance. "
        "Round: this model, with its 95 % interval. Grey diamonds: what takes little insight and "
        "must be beaten. Violet diamonds: what others published, or, in a simulation, how far one "
        "would get who knows some of the truth exactly. "
        "Final scores are compared with final scores, execution scores (before the difficulty is "
        "multiplied in) with execution scores.",
    )


@dataclass(frozen=True)
class _RankRow:
    label: str
    rho: float
    kind: str
    interval: tuple[float, float] | None = None


def _rank_rows(inputs: ReportInputs, references: list[Reference], scale: Scale) -> list[_RankRow]:
    """Return the model's own rank correlation on `scale`, then its references, ascending."""
    rivals = [reference for reference in references if reference.scale == scale]
    key = "spearman" if scale == "final" else "spearman_execution"
    rho, low, high = (inputs.number(name) for name in (key, f"{key}_ci95_low", f"{key}_ci95_high"))
    rows = []
    if rho is not None and (rivals or scale == "final"):
        interval = None if low is None or high is None else (low, high)
        rows.append(_RankRow(f"This model, {scale} score", rho, "model", interval))
    rows += [
        _RankRow(item.label, item.rho, item.kind) for item in sorted(rivals, key=lambda i: i.rho)
    ]
    return rows


def _draw_ranks(axes: Axes, rows: list[_RankRow]) -> None:
    for position, row in enumerate(reversed(rows)):
        is_model = row.kind == "model"
        color = PREDICTION if is_model else MUTED if row.kind == "to beat" else REFERENCE
        if row.interval is not None:
            axes.plot(row.interval, (position, position), color=color, linewidth=5, alpha=0.3)
        else:
            axes.plot((0, row.rho), (position, position), color=GRID, linewidth=2)
        axes.plot(row.rho, position, "o" if is_model else "D", color=color, markersize=6)
        axes.annotate(
            f"{row.rho:.3f}",
            (row.rho, position),
            (0, 7),
            textcoords="offset points",
            fontsize=8.5,
            ha="right" if row.rho > 0.85 else "center",
            color=INK if is_model else MUTED,
        )
    axes.set_yticks(range(len(rows)), [row.label for row in reversed(rows)])
    axes.grid(axis="y", visible=False)
    axes.set_xlim(min([0.0, *(row.rho for row in rows)]) - 0.02, 1.02)
    axes.set(ylim=(-0.6, len(rows) - 0.2), xlabel="Spearman's rank correlation with the judges")


def _reference_finding(inputs: ReportInputs, references: list[Reference]) -> str:
    final, execution = inputs.number("spearman"), inputs.number("spearman_execution")
    beaten = missed = 0
    for reference in references:
        rho = final if reference.scale == "final" else execution
        if reference.kind == "to beat" and rho is not None:
            beaten += rho > reference.rho
            missed += rho <= reference.rho
    if not beaten + missed:
        return "There is no baseline to compare with in this dataset."
    return f"The model ranks better than {beaten} of {beaten + missed} simple baselines."
