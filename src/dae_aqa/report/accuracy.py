"""Figures of how good the predictions are."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dae_aqa.report import drawing
from dae_aqa.report.drawing import ALERT, GRID, INK, MUTED, PREDICTION, REFERENCE
from dae_aqa.report.figure import ReportFigure
from dae_aqa.report.inputs import ReportInputs
from dae_aqa.report.references import RHO_KEYS, Kind, Reference
from dae_aqa.scoring import Scale

_MEAN_LABEL = "This model, mean over tasks"


def accuracy_figures(inputs: ReportInputs, samples: pd.DataFrame) -> list[ReportFigure]:
    """Return predicted against judged, and the model beside its references where there are any."""
    figures = [_predicted_against_judged(samples)]
    if inputs.references:
        figures.append(_against_references(inputs))
    return figures


def _predicted_against_judged(samples: pd.DataFrame) -> ReportFigure:
    figure, axes = drawing.new_figure()
    score, mu = samples["final_score"].to_numpy(), samples["mu"].to_numpy()
    below, above = (mu - samples["low"]).clip(lower=0), (samples["high"] - mu).clip(lower=0)
    outside = samples["outside"].to_numpy()
    low, high = min(score.min(), mu.min()), max(score.max(), mu.max())
    margin = 0.05 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, **drawing.GUIDE)
    for mask, color in ((~outside, PREDICTION), (outside, ALERT)):
        axes.errorbar(
            score[mask],
            mu[mask],
            yerr=(below[mask], above[mask]),
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
    return drawing.finish(
        figure,
        title="Predicted and judged score",
        name="scatter",
        label=f"Predicted against judged score of {num} samples.",
        samples=samples,
        finding=f"{int(outside.sum())} of {num} scores lie outside of their 90 % interval "
        f"(expected: about {num / 10:.0f}).",
        reading="Each dot is one performance. On the dashed line the model and the judges agree; "
        "above it the model is too generous, below it too strict. The bar is the range that should "
        "hold the judged score nine times in ten; where it does not, dot and bar are orange. "
        "Hover over a dot for its name, click it to find its row in the table.",
    )


def _against_references(inputs: ReportInputs) -> ReportFigure:
    by_scale = [_ranked(inputs, scale) for scale in RHO_KEYS]
    rows = [row for group in by_scale for row in group]
    figure, axes = drawing.new_figure()
    for position, row in enumerate(reversed(rows)):
        _draw_rank(axes, position, row, interval=_interval_of(inputs, row))
    axes.set_yticks(range(len(rows)), [row.label for row in reversed(rows)])
    axes.grid(axis="y", visible=False)
    axes.set_xlim(min([0.0, *(row.rho for row in rows)]) - 0.02, 1.02)
    axes.set(ylim=(-0.6, len(rows) - 0.2), xlabel="Spearman's rank correlation with the judges")
    return drawing.finish(
        figure,
        name="references",
        title="Ranking, beside what is easy and what is possible",
        label="Rank correlation of the model and of its references: "
        + "; ".join(f"{row.label} {row.rho:.3f}" for row in rows),
        finding=_reference_finding(inputs),
        reading=_reference_reading(
            {row.kind for row in rows},
            has_interval=any(_interval_of(inputs, row) for row in rows if row.kind == "model"),
            has_both_scales=all(by_scale),
            has_mean=inputs.mean_over_tasks is not None,
        ),
    )


def _ranked(inputs: ReportInputs, scale: Scale) -> list[Reference]:
    """Return the model's own rank correlation on `scale`, then its references, ascending."""
    rivals = [item for item in inputs.references if item.scale == scale]
    rivals.sort(key=lambda item: item.rho)
    rho = inputs.number(RHO_KEYS[scale])
    if rho is None or not (rivals or scale == "final"):
        return rivals
    own = Reference(label=f"This model, {scale} score", rho=rho, scale=scale, kind="model")
    mean = inputs.mean_over_tasks
    if mean is None or scale != "final":
        return [own, *rivals]
    return [own, Reference(label=_MEAN_LABEL, rho=mean, scale=scale, kind="model"), *rivals]


def _interval_of(inputs: ReportInputs, row: Reference) -> tuple[float, float] | None:
    is_pooled = row.kind == "model" and row.label != _MEAN_LABEL
    return inputs.interval(RHO_KEYS[row.scale]) if is_pooled else row.interval


def _draw_rank(
    axes: Axes, position: int, row: Reference, *, interval: tuple[float, float] | None
) -> None:
    is_model = row.kind == "model"
    color = PREDICTION if is_model else MUTED if row.kind == "to beat" else REFERENCE
    if interval is not None:
        axes.plot(interval, (position, position), color=color, linewidth=5, alpha=0.3)
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


def _reference_finding(inputs: ReportInputs) -> str:
    rivals = [item for item in inputs.references if item.kind == "to beat"]
    pairs = [(inputs.number(RHO_KEYS[item.scale]), item.rho) for item in rivals]
    beaten = [own > rho for own, rho in pairs if own is not None]
    if not rivals:
        return "There is no baseline to compare with in this dataset."
    if not beaten:
        return "The model has no rank correlation that could be compared."
    return f"The model ranks better than {sum(beaten)} of {len(beaten)} simple baselines."


def _reference_reading(
    kinds: Collection[Kind], *, has_interval: bool, has_both_scales: bool, has_mean: bool
) -> str:
    """Return how to read the figure: a sentence for each kind of mark that is drawn."""
    sentences = ["How well each ranks the performances: 1 is the judges' own order, 0 is chance."]
    if "model" in kinds:
        sentences.append(f"Round: this model{', with its 95 % interval' if has_interval else ''}.")
    if "to beat" in kinds:
        sentences.append("Grey diamonds: what takes little insight and must be beaten.")
    violet = ["what others published"] if "published" in kinds else []
    if "shortcut" in kinds or "limit" in kinds:
        violet.append("how far one would get who knows some of the truth exactly")
    if "judges" in kinds:
        violet.append("how well the judges rank as each other do, with the 95 % interval")
    if violet:
        sentences.append(f"Violet diamonds: {', or '.join(violet)}.")
    if has_mean and "published" in kinds:
        sentences.append("What others published is to be compared with the mean over tasks.")
    if has_both_scales:
        sentences.append(
            "Final scores are compared with final scores, execution scores (before the difficulty "
            "is multiplied in) with execution scores."
        )
    return " ".join(sentences)
