"""Figures of how good the predictions are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dae_aqa.report import drawing
from dae_aqa.report.drawing import ALERT, GRID, INK, MUTED, PREDICTION, REFERENCE
from dae_aqa.report.figure import ReportFigure
from dae_aqa.report.inputs import ReportInputs
from dae_aqa.report.references import RHO_KEYS, Kind, Scale


def accuracy_figures(inputs: ReportInputs, samples: pd.DataFrame) -> list[ReportFigure]:
    """Return predicted against judged, and the model beside its references where there are any."""
    figures = [_predicted_against_judged(samples)]
    if inputs.references:
        figures.append(_against_references(inputs))
    return figures


def _predicted_against_judged(samples: pd.DataFrame) -> ReportFigure:
    figure, axes = drawing.new_figure()
    score, mu = samples["final_score"].to_numpy(), samples["mu"].to_numpy()
    half, outside = samples["half_width"].to_numpy(), samples["outside"].to_numpy()
    low, high = min(score.min(), mu.min()), max(score.max(), mu.max())
    margin = 0.05 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, **drawing.GUIDE)
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
    drawing.add_points(axes, score, mu, colors=np.where(outside, ALERT, PREDICTION).tolist())
    axes.set(xlim=limits, ylim=limits, xlabel="judged score", ylabel="predicted score")
    axes.annotate("too generous", (0.02, 0.97), xycoords="axes fraction", **drawing.HINT, va="top")
    axes.annotate("too strict", (0.98, 0.03), xycoords="axes fraction", **drawing.HINT, ha="right")
    num = len(samples)
    return ReportFigure(
        title="Predicted and judged score",
        svg=drawing.to_svg(
            figure,
            name="scatter",
            label=f"Predicted against judged score of {num} samples.",
            tooltips=drawing.tooltips(samples),
        ),
        finding=f"{int(outside.sum())} of {num} scores lie outside of their 90 % interval "
        f"(expected: about {num / 10:.0f}).",
        reading="Each dot is one performance. On the dashed line the model and the judges agree; "
        "above it the model is too generous, below it too strict. The bar is the range that should "
        "hold the judged score nine times in ten; where it does not, dot and bar are orange. "
        "Hover over a dot for its name, click it to find its row in the table.",
    )


@dataclass(frozen=True)
class _RankRow:
    label: str
    rho: float
    kind: Kind | Literal["model"]
    interval: tuple[float, float] | None = None


def _against_references(inputs: ReportInputs) -> ReportFigure:
    by_scale = [_rank_rows(inputs, scale) for scale in RHO_KEYS]
    rows = [row for group in by_scale for row in group]
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
        finding=_reference_finding(inputs),
        reading=_reference_reading(rows, has_both_scales=all(by_scale)),
    )


def _rank_rows(inputs: ReportInputs, scale: Scale) -> list[_RankRow]:
    """Return the model's own rank correlation on `scale`, then its references, ascending."""
    rivals = [
        _RankRow(item.label, item.rho, item.kind)
        for item in sorted(inputs.references, key=lambda item: item.rho)
        if item.scale == scale
    ]
    key = RHO_KEYS[scale]
    rho = inputs.number(key)
    if rho is None or not (rivals or scale == "final"):
        return rivals
    return [_RankRow(f"This model, {scale} score", rho, "model", inputs.interval(key)), *rivals]


def _draw_ranks(axes: Axes, rows: Sequence[_RankRow]) -> None:
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


def _reference_finding(inputs: ReportInputs) -> str:
    rivals = [item for item in inputs.references if item.kind == "to beat"]
    pairs = [(inputs.number(RHO_KEYS[item.scale]), item.rho) for item in rivals]
    beaten = [own > rho for own, rho in pairs if own is not None]
    if not rivals:
        return "There is no baseline to compare with in this dataset."
    if not beaten:
        return "The model has no rank correlation that could be compared."
    return f"The model ranks better than {sum(beaten)} of {len(beaten)} simple baselines."


def _reference_reading(rows: Collection[_RankRow], *, has_both_scales: bool) -> str:
    """Return how to read the figure: a sentence for each kind of mark that is drawn."""
    kinds = {row.kind for row in rows}
    sentences = ["How well each ranks the performances: 1 is the judges' own order, 0 is chance."]
    if "model" in kinds:
        has_interval = any(row.interval is not None for row in rows)
        sentences.append(f"Round: this model{', with its 95 % interval' if has_interval else ''}.")
    if "to beat" in kinds:
        sentences.append("Grey diamonds: what takes little insight and must be beaten.")
    violet = ["what others published"] if "published" in kinds else []
    if kinds & {"shortcut", "limit"}:
        violet.append("how far one would get who knows some of the truth exactly")
    if violet:
        sentences.append(f"Violet diamonds: {', or '.join(violet)}.")
    if has_both_scales:
        sentences.append(
            "Final scores are compared with final scores, execution scores (before the difficulty "
            "is multiplied in) with execution scores."
        )
    return " ".join(sentences)
