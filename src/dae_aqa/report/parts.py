"""The section on parts: each with its figures, then the means that papers report."""

from __future__ import annotations

from dataclasses import dataclass

from dae_aqa.metrics.summary import Metrics
from dae_aqa.report import drawing
from dae_aqa.report.drawing import GUIDE, PREDICTION
from dae_aqa.report.figure import ReportFigure
from dae_aqa.report.inputs import ReportInputs

_MOST_DRAWN = 24  # rows whose names stay readable; the table has every part

# key, heading, decimals
_COLUMNS = (
    ("num_train", "Trained", "d"),
    ("num_val", "Validated", "d"),
    ("num_test", "Tested", "d"),
    ("spearman", "Spearman's ρ", ".3f"),
    ("rl2_x100", "R-ℓ2 × 100", ".3f"),
    ("mae", "Mean |error|", ".2f"),
    ("nll", "NLL", ".3f"),
    ("coverage_90", "In 90 % interval", ".1%"),
)


@dataclass(frozen=True, kw_only=True)
class PartRow:
    """One line of the table: a part, a task or a mean.

    Attributes:
        name: what the line is of.
        is_mean: whether it is a mean over parts or tasks.
        cells: the figures as text, a dash where there is none, each with the reason.
        kept_epoch: the epoch that is evaluated, as text.
    """

    name: str
    is_mean: bool
    cells: list[tuple[str, str]]
    kept_epoch: str


@dataclass(frozen=True, kw_only=True)
class PartTable:
    """The table of parts.

    Attributes:
        headings: of the figures.
        rows: parts first, then the means.
        sentences: what a reader must know of them.
    """

    headings: list[str]
    rows: list[PartRow]
    sentences: list[str]


def part_table(inputs: ReportInputs) -> PartTable | None:
    """Return the table of parts; None where there is but one."""
    metrics = inputs.part_metrics
    if metrics is None:
        return None
    over = "tasks, by Fisher's z" if metrics.tasks else "folds"
    means = {f"Mean over {over}": metrics.mean}
    if len(metrics.parts) > len(metrics.tasks):  # tasks have folds
        of_tasks = {f"{task}, mean over its folds": each for task, each in metrics.tasks.items()}
        means = of_tasks | means
    return PartTable(
        headings=[heading for _, heading, _ in _COLUMNS],
        rows=[
            *(
                _row(name, figures, inputs, is_mean=False)
                for name, figures in metrics.parts.items()
            ),
            *(_row(name, figures, inputs, is_mean=True) for name, figures in means.items()),
        ],
        sentences=[
            f"The {len(metrics.parts)} parts are trained and tested each by itself. All other "
            "sections of this page are about their predictions together.",
            "The rank correlation of a part with few test samples says little by itself: it is an "
            "ingredient of the mean, which is what papers report."
            if isinstance(metrics.mean["spearman"], float)
            else "There is no mean rank correlation: "
            f"{metrics.mean['spearman_reason']}. The result is that of all predictions together.",
        ],
    )


def part_figures(inputs: ReportInputs) -> list[ReportFigure]:
    """Return the parts side by side: by rho, or by mean error where no part has a rho.

    There is none where there is but one part, nor where there are more than the rows have room for.
    """
    metrics = inputs.part_metrics
    if metrics is None or len(metrics.parts) > _MOST_DRAWN:
        return []
    ranks = any(isinstance(each["spearman"], float) for each in metrics.parts.values())
    key, measure = ("spearman", "Spearman's rho") if ranks else ("mae", "mean absolute error")
    values = {name: each[key] for name, each in metrics.parts.items()}
    drawn = {name: value for name, value in values.items() if isinstance(value, float)}
    figure, axes = drawing.new_figure()
    names = list(values)[::-1]
    for position, name in enumerate(names):
        if name in drawn:
            axes.plot(drawn[name], position, "o", color=PREDICTION, markersize=5)
    mean = metrics.mean[key]
    if isinstance(mean, float):
        axes.axvline(mean, **GUIDE)
    axes.set_yticks(range(len(names)), names, fontsize=8.5 if len(names) <= 12 else 6.5)
    axes.set(ylim=(-0.6, len(names) - 0.4), xlabel=f"{measure} of the part's test samples")
    if ranks:
        axes.set_xlim(min(0.0, *drawn.values()) - 0.02, 1.02)
    low, high = min(drawn, key=lambda name: drawn[name]), max(drawn, key=lambda name: drawn[name])
    missing = len(values) - len(drawn)
    finding = f"From {drawn[low]:.2f} ({low}) to {drawn[high]:.2f} ({high})."
    if missing:
        finding += f" {missing} of {len(values)} parts have none; the table says why."
    reading = "Each dot is one part, tested by the model that never saw its test samples."
    if isinstance(mean, float):
        reading += " The dashed line is the mean in the last row of the table."
    return [
        drawing.finish(
            figure,
            name="parts",
            title="The parts side by side",
            label=f"{measure} by part: "
            + "; ".join(f"{name} {value:.3f}" for name, value in drawn.items()),
            finding=finding,
            reading=reading,
        )
    ]


def _row(name: str, figures: Metrics, inputs: ReportInputs, *, is_mean: bool) -> PartRow:
    kept = inputs.kept_epochs.get(name)
    return PartRow(
        name=name,
        is_mean=is_mean,
        cells=[_cell(figures, key, form) for key, _, form in _COLUMNS],
        kept_epoch="" if kept is None else str(kept.epoch),
    )


def _cell(figures: Metrics, key: str, form: str) -> tuple[str, str]:
    value = figures.get(key)
    if isinstance(value, int | float):
        return format(value, form).replace("%", " %").replace("-", "\N{MINUS SIGN}"), ""
    return ("–", str(figures[f"{key}_reason"])) if key in figures else ("", "")
