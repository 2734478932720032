"""Figures of how training went."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dae_aqa.report import drawing
from dae_aqa.report.drawing import MUTED, PREDICTION, REFERENCE
from dae_aqa.report.figure import ReportFigure
from dae_aqa.report.inputs import ReportInputs


@dataclass(frozen=True, kw_only=True)
class _Curve:
    """A figure of learning curves; `columns` maps each column to its label and colour."""

    name: str
    title: str
    ylabel: str
    columns: dict[str, tuple[str, str]]
    reading: str


_LOSS = _Curve(
    name="loss",
    title="Training loss by epoch",
    ylabel="loss",
    columns={"train_loss": ("training", PREDICTION)},
    reading="What training minimises.",
)
_RANK = _Curve(
    name="rank",
    title="Rank correlation on the validation samples",
    ylabel="Spearman's rho",
    columns={
        "val_spearman": ("final score", PREDICTION),
        "val_spearman_execution": ("execution score", REFERENCE),
    },
    reading="Measured after each epoch on samples carved from the training set, never on the test "
    "samples.",
)


def training_figures(inputs: ReportInputs) -> list[ReportFigure]:
    """Return the loss and the validation rho by epoch; none without values to draw."""
    curves = inputs.learning_curves
    return [
        _draw(inputs, curve)
        for curve in (_LOSS, _RANK)
        if curves[list(curve.columns)].notna().any(axis=None)
    ]


def _draw(inputs: ReportInputs, curve: _Curve) -> ReportFigure:
    history, kept = inputs.learning_curves, inputs.kept_epoch
    parts = [rows for _, rows in history.groupby("part")] if "part" in history else [history]
    figure, axes = drawing.new_figure()
    for number, rows in enumerate(parts):
        for column, (label, color) in curve.columns.items():
            values = rows[column].astype(np.float64)
            axes.plot(
                rows["epoch"],
                values,
                color=color,
                label=None if number else label,
                marker="o" if values.notna().sum() == 1 else "",  # a line needs two
                markersize=4,
                linewidth=None if len(parts) == 1 else 0.7,
            )
    reading, title = curve.reading, curve.title
    if curve is _RANK and inputs.protocol == "as_published":
        title = "Rank correlation on the test samples, which chose the epoch"
        reading = (
            "Measured after each epoch on the test samples: the best epoch is best by chance too."
        )
    if len(parts) == 1:
        finding = _last_values(history, curve)
    else:
        finding = f"{len(parts)} parts, each trained by itself, one line each."
    if curve is _LOSS and 0 < inputs.num_warmup_epochs < history["epoch"].nunique():
        reading += f" It may jump at epoch {inputs.num_warmup_epochs}, where the warm-up ends."
    if kept is not None:
        _mark_epoch(axes, kept.epoch)
        finding += f" Epoch {kept.epoch} is evaluated: {kept.chosen_by}."
        reading += " The marked epoch is the one that is evaluated here."
    axes.set(xlabel="epoch", ylabel=curve.ylabel)
    axes.margins(x=0.02)
    drawing.add_legend(axes, num_columns=len(curve.columns))
    return drawing.finish(
        figure,
        title=title,
        name=f"training-{curve.name}",
        label=f"{title}.",
        finding=finding,
        reading=reading,
    )


def _last_values(history: pd.DataFrame, curve: _Curve) -> str:
    last = {label: float(history[column].iloc[-1]) for column, (label, _) in curve.columns.items()}
    values = (
        f"{label} {'undefined' if np.isnan(value) else f'{value:.3f}'}"
        for label, value in last.items()
    )
    num = len(history)
    return f"After {num} epoch{'' if num == 1 else 's'}: {', '.join(values)}."


def _mark_epoch(axes: Axes, epoch: int) -> None:
    axes.axvline(epoch, color=MUTED, linewidth=1, dashes=(2, 2))
    axes.annotate(
        f"kept: {epoch}",
        (epoch, 0.02),
        (4, 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        **drawing.HINT,
    )
