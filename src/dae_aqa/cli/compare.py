"""`dae-aqa compare`: two evaluations on the same test samples, on the terminal and as a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from dae_aqa.cli.evaluations import Evaluation, find_evaluation
from dae_aqa.errors import EvaluationError
from dae_aqa.metrics.comparison import changed_samples, compare_figures
from dae_aqa.report.comparison import (
    ComparisonInputs,
    ModelWords,
    figure_rows,
    summary,
    write_comparison,
)
from dae_aqa.report.figure import signed
from dae_aqa.running.places import check_outputs

LEVEL = 0.95


def compare(
    first: str,
    second: str,
    *,
    root: Path,
    output: Path,
    across_protocols: bool,
    num_resamples: int,
    seed: int,
    num_samples: int,
) -> Iterator[str]:
    """Compare two evaluations, write the page, and yield the lines for the terminal.

    Args:
        first: model A, by any name that `find_evaluation` knows.
        second: model B.
        root: the repository's root.
        output: where the page goes.
        across_protocols: compare evaluations whose protocols differ, too.
        num_resamples: resamples behind each interval.
        seed: seed of the resampling.
        num_samples: samples that changed most to name on the terminal; the page has all.

    Raises:
        EvaluationError: an evaluation is not found, protocols differ, or the test samples do.
        TrackingError: the MLflow store cannot be read.
        OutputError: the page cannot be written.
    """
    a, b = (find_evaluation(name, root=root) for name in (first, second))
    if a.protocol != b.protocol and not across_protocols:
        raise EvaluationError(
            f"A, {a.place}, follows the protocol {a.protocol}; B, {b.place}, the protocol "
            f"{b.protocol}. They chose their epochs in different ways, so that a difference says "
            "little of the models. Compare evaluations of one protocol, or add --across-protocols."
        )
    check_outputs(output)
    inputs = ComparisonInputs(
        first=_words(a),
        second=_words(b),
        figures=compare_figures(
            a.predictions, b.predictions, level=LEVEL, num_resamples=num_resamples, seed=seed
        ),
        samples=changed_samples(a.predictions, b.predictions),
        level=LEVEL,
        num_resamples=num_resamples,
    )
    write_comparison(inputs, output=output)
    yield from comparison_lines(inputs, num_samples=num_samples)
    yield f"Page: {output}"


def comparison_lines(inputs: ComparisonInputs, *, num_samples: int) -> Iterator[str]:
    """Yield the comparison as lines of text."""
    for letter, model in (("A", inputs.first), ("B", inputs.second)):
        yield f"{letter}: {model.place}, protocol {model.protocol}"
    yield f"{len(inputs.samples)} test samples, {inputs.num_resamples} paired resamples"
    yield from inputs.notes()
    yield ""
    head = ("", "better", "A", "B", "B − A", f"{100 * inputs.level:.0f} % interval", "verdict")
    rows = [
        (row.name, row.better, row.first, row.second, row.difference, row.interval, row.verdict)
        for row in figure_rows(inputs.figures)
    ]
    yield from _table([head, *rows], left=(0, 5, 6))
    yield ""
    yield summary(inputs.figures)
    yield ""
    yield from _samples(inputs.samples.head(num_samples))


def _samples(samples: pd.DataFrame) -> Iterator[str]:
    if samples.empty:
        return
    yield "The samples that changed most:"
    head = ("", "judged", "A", "B", "B − A", "nearer")
    rows = [
        (
            row["sample_id"],
            f"{row['final_score']:.2f}",
            f"{row['mu_first']:.2f}",
            f"{row['mu_second']:.2f}",
            signed(row["change"], 2),
            "B" if row["gain"] > 0 else "A" if row["gain"] < 0 else "–",
        )
        for row in samples.to_dict("records")
    ]
    yield from _table([head, *rows], left=(0,))
    yield ""


def _table(rows: Sequence[Sequence[str]], *, left: Sequence[int]) -> Iterator[str]:
    """Yield the rows as lines of aligned columns; those in `left` begin at the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            text.ljust(width) if number in left else text.rjust(width)
            for number, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _words(evaluation: Evaluation) -> ModelWords:
    return ModelWords(
        name=evaluation.name,
        place=evaluation.place,
        protocol=evaluation.protocol,
        mean_over_tasks=evaluation.mean_over_tasks,
    )
