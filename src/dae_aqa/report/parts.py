"""The section on parts: each with its figures, then the means that papers report."""

from __future__ import annotations

from dataclasses import dataclass

from dae_aqa.metrics.summary import Metrics
from dae_aqa.report.inputs import ReportInputs

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
            "ingredient of the mean, which is what papers report.",
        ],
    )


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
