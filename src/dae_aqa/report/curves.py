"""Figures of how training went."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dae_aqa.report import drawing
from dae_aqa.report.drawing import MUTED, PREDICTION, REFERENCE
from dae_aqa.report.figure import ReportFigure
from dae_aqa.report.inputs import ReportInputs

_LOSSES = {"train_loss": ("training", PREDICTION)}
_RANKS = {
    "val_spearman": ("final score", PREDICTION),
    "val_spearman_execution": ("execution score", REFERENCE),
}


def training_figures(inputs: ReportInputs) -> list[ReportFigure]:
    """Return the loss and validation rho by epoch; none where nothing was trained."""
    curves = inputs.training_curves
    if curves is None or curves.empty:
        return []
    best = inputs.provenance.get("kept_epoch")
    best_epoch = best if isinstance(best, int) else None
    chosen_by = inputs.provenance.get("epoch_choice")
    kept = "" if best is None or chosen_by is None else f" Epoch {best} is evaluated: {chosen_by}."
    marked = "" if best_epoch is None else " The marked epoch is the one that is evaluated here."
    figures = [
        _curve(
            curves,
            lines=_LOSSES,
            best_epoch=best_epoch,
            kept=kept,
            name="loss",
            title="Training loss by epoch",
            ylabel="loss",
            reading="What training minimises. It may jump where training goes from one loss to "
            f"another (the warm-up).{marked}",
        )
    ]
    if curves[list(_RANKS)].notna().any(axis=None):
        figures.append(
            _curve(
                curves,
                lines=_RANKS,
                best_epoch=best_epoch,
                kept=kept,
                name="rank",
                title="Rank correlation on the validation samples",
                ylabel="Spearman's rho",
                reading="Measured after each epoch on samples carved from the training set, never "
                f"on the test samples.{marked}",
            )
        )
    return figures


def _curve(
    curves: pd.DataFrame,
    *,
    lines: dict[str, tuple[str, str]],
    best_epoch: int | None,
    kept: str,
    name: str,
    title: str,
    ylabel: str,
    reading: str,
) -> ReportFigure:
    figure, axes = drawing.new_figure()
    for column, (label, color) in lines.items():
        axes.plot(curves["epoch"], curves[column].astype(np.float64), color=color, label=label)
    if best_epoch is not None:
        _mark_epoch(axes, best_epoch)
    axes.set(xlabel="epoch", ylabel=ylabel)
    axes.margins(x=0.02)
    drawing.add_legend(axes, num_columns=len(lines))
    last = ", ".join(
        f"{label} {_figure(curves[column].iloc[-1])}" for column, (label, _) in lines.items()
    )
    return ReportFigure(
        title=title,
        svg=drawing.to_svg(figure, name=f"training-{name}", label=f"{title}."),
        finding=f"After {len(curves)} epochs: {last}.{kept}",
        reading=reading,
    )


def _figure(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:.3f}"


def _mark_epoch(axes: Axes, epoch: int) -> None:
    axes.axvline(epoch, color=MUTED, linewidth=1, dashes=(2, 2))
    axes.annotate(
        f"kept: {epoch}",
        (epoch, 0.02),
        (4, 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        color=MUTED,
        fontsize=8,
    )
