"""Figures of how training went."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dae_aqa.report import drawing
from dae_aqa.report.drawing import ALERT, MUTED, PREDICTION, REFERENCE
from dae_aqa.report.figure import ReportFigure
from dae_aqa.report.inputs import ReportInputs

_LOSSES = {"train_loss": ("training", PREDICTION), "val_loss": ("validation", ALERT)}
_VAL_LOSS_READING = (
    " A validation line that rises while the training line falls means that the model learns its "
    "training samples by heart."
)
_RANKS = {
    "val_spearman": ("final score", PREDICTION),
    "val_spearman_execution": ("execution score", REFERENCE),
}


def training_figures(inputs: ReportInputs) -> list[ReportFigure]:
    """Return loss and validation rho by epoch, as far as they were recorded."""
    curves = inputs.training_curves
    if curves is None or curves.empty:
        return []
    best = inputs.provenance.get("kept_epoch")
    best_epoch = best if isinstance(best, int) else None
    chosen_by = inputs.provenance.get("epoch_choice")
    kept = "" if best is None or chosen_by is None else f" Epoch {best} is evaluated: {chosen_by}."
    figures = []
    if _LOSSES.keys() & set(curves.columns):
        figures.append(
            _curve(
                curves,
                lines=_LOSSES,
                best_epoch=best_epoch,
                kept=kept,
                name="loss",
                title="Loss by epoch",
                ylabel="loss",
                reading="What training minimises. It may jump where training goes from one loss to "
                "another (the warm-up)."
                + (_VAL_LOSS_READING if "val_loss" in curves.columns else ""),
            )
        )
    if curves[[name for name in _RANKS if name in curves.columns]].notna().any(axis=None):
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
                "on the test samples. The marked epoch is the one that is evaluated here.",
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
    shown = {column: style for column, style in lines.items() if column in curves.columns}
    for column, (label, color) in shown.items():
        axes.plot(curves["epoch"], curves[column].astype(np.float64), color=color, label=label)
    if best_epoch is not None:
        _mark_epoch(axes, best_epoch)
    axes.set(xlabel="epoch", ylabel=ylabel)
    axes.margins(x=0.02)
    drawing.add_legend(axes, num_columns=len(shown))
    last = ", ".join(
        f"{label} {curves[column].iloc[-1]:.3f}" for column, (label, _) in shown.items()
    )
    return ReportFigure(
        title=title,
        svg=drawing.to_svg(figure, name=f"training-{name}", label=f"{title}."),
        finding=f"After {len(curves)} epochs: {last}.{kept}",
        reading=reading,
    )


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
