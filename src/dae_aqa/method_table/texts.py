"""The table as Markdown, CSV and JSON, and the words that stand in its cells."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from dae_aqa.method_table.cells import Cell
from dae_aqa.method_table.rows import PROTOCOL_FIGURES, Block, Ceiling, MeanAndSpread, Row
from dae_aqa.running.progress import duration

NOTHING = "–"
WARNING = (
    "The rows below chose their epoch, or made their scores, as the papers did: with a look at the "
    "test samples. Compare them with published figures, and with no row above."
)
PROTOCOL_TITLE = "What choosing the epoch on test samples brings"
PROTOCOL_NOTE = (
    "Each row minus the honest row that differs from it in the protocol alone, seed by seed: mean "
    "± standard deviation over the seeds of both. A row as published also trains on the validation "
    "samples. These differences are no methods, and are not ranked."
)
PROTOCOL_HEADINGS = ("row", "minus", "seeds", "ρ", "R-ℓ2 × 100")
NOTES = (
    "Each figure is the mean over the seeds ± their standard deviation; of one seed there is no "
    "deviation.",
    "The interval of ρ is the 95 % bootstrap interval over the test samples, the mean of the "
    "seeds' own.",
    "“Against the best” is the difference of ρ from the first row, seed by seed, with a 95 % "
    "interval that draws test samples and seeds anew. Where it holds 0, the two rows are not "
    "distinguishable.",
    "Published figures chose their epoch on the test samples; honest rows of this table did not.",
    "Seconds are those of the machine that ran the cell: epochs of training, and the scoring of "
    "all test samples. They are unknown (–) where a result came from a cache.",
)

# key of metrics.json, heading, decimals
_FIGURES = (
    ("spearman", "ρ", ".3f"),
    ("spearman_execution", "ρ execution", ".3f"),
    ("rl2_x100", "R-ℓ2 × 100", ".3f"),
    ("mae", "MAE", ".2f"),
    ("nll", "NLL", ".3f"),
    ("coverage_90", "in 90 % interval", ".1%"),
    ("rejection_tau", "rejection τ", "+.2f"),
)
PUBLISHED_HEADINGS = ("published ρ", "published R-ℓ2 × 100")
HEADINGS = (
    "row",
    "seeds",
    "ρ",
    "95 % interval",
    *(heading for _, heading, _ in _FIGURES[1:]),
    *PUBLISHED_HEADINGS,
    "parameters",
    "GFLOP",
    "training",
    "scoring",
    "against the best",
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table as text, a cell for each of `HEADINGS`.

    Attributes:
        cells: their texts.
        hint: where the published figure comes from; '' where there is none.
    """

    cells: tuple[str, ...]
    hint: str = ""


def line_of(row: Row) -> Line:
    """Return a row as text."""
    rho, *others = (_figure(row.figures[key], form) for key, _, form in _FIGURES)
    return Line(
        cells=(
            row.name,
            _seeds(row),
            rho,
            _interval(row.interval),
            *others,
            *_published(row),
            _constant(row.figures["num_parameters"], ",.0f"),
            _constant(row.figures["gflop_per_performance"], ".3g"),
            NOTHING if row.train_seconds is None else duration(row.train_seconds),
            NOTHING if row.score_seconds is None else duration(row.score_seconds),
            _verdict(row),
        ),
        hint="" if row.published is None else row.published.source,
    )


def _published(row: Row) -> tuple[str, str]:
    """Return what is published of the method, as texts for `PUBLISHED_HEADINGS`."""
    if row.published is None:
        return NOTHING, NOTHING
    distance = row.published.rl2_x100
    return f"{row.published.rho:.4f}", NOTHING if distance is None else f"{distance:.3f}"


def protocol_lines(blocks: Sequence[Block]) -> list[tuple[str, ...]]:
    """Return a cell for each of `PROTOCOL_HEADINGS`, for each row with an honest one like it."""
    return [
        (
            row.name,
            found.row,
            str(len(found.seeds)),
            *(_figure(found.figures[key], "+.3f") for key in PROTOCOL_FIGURES),
        )
        for block in blocks
        for row in block.rows
        if (found := row.above_honest) is not None
    ]


def ceiling_line(ceiling: Ceiling) -> Line:
    """Return a human ceiling as text."""
    start = (ceiling.label, "", f"{ceiling.rho:.3f}", _interval(ceiling.interval))
    return Line(cells=(*start, *[""] * (len(HEADINGS) - len(start))))


def markdown(
    blocks: Sequence[Block], ceilings: Sequence[Ceiling], *, title: str, unfinished: Sequence[str]
) -> str:
    """Return the table as Markdown, a block for each protocol.

    Args:
        blocks: of `rows.blocks_of`.
        ceilings: of `rows.ceilings_of`.
        title: what is compared on what.
        unfinished: a line for each cell without a result.
    """
    lines = [f"# {title}", ""]
    for block in blocks:
        if not block.is_honest:
            lines += [f"## Protocol: {block.protocol}", "", f"**{WARNING}**", ""]
        shown = [line_of(row) for row in block.rows]
        shown += [ceiling_line(each) for each in ceilings] if block is blocks[0] else []
        lines += [_markdown_line(HEADINGS), _markdown_line(["---"] * len(HEADINGS))]
        lines += [_markdown_line(line.cells) for line in shown]
        lines += [""]
    between = protocol_lines(blocks)
    if between:
        lines += [f"## {PROTOCOL_TITLE}", "", PROTOCOL_NOTE, ""]
        lines += [_markdown_line(PROTOCOL_HEADINGS)]
        lines += [_markdown_line(["---"] * len(PROTOCOL_HEADINGS))]
        lines += [*map(_markdown_line, between), ""]
    if unfinished:
        lines += ["Without a result:", "", *(f"- {line}" for line in unfinished), ""]
    return "\n".join([*lines, *(f"- {note}" for note in NOTES)]) + "\n"


def json_cells(cells: Sequence[Cell]) -> str:
    """Return all figures of every cell as JSON, by row and seed."""
    records = [
        {
            "row": cell.row,
            "seed": cell.seed,
            "model": cell.model,
            "protocol": cell.protocol,
            "train_seconds": cell.train_seconds,
            "score_seconds": cell.score_seconds,
            "metrics": dict(cell.metrics),
        }
        for cell in sorted(cells, key=lambda cell: (cell.row, cell.seed))
    ]
    return json.dumps({"cells": records}, indent=1) + "\n"


def csv_table(blocks: Sequence[Block], ceilings: Sequence[Ceiling]) -> str:
    """Return the table as CSV with all digits, an empty field where there is no value."""
    records = [_record(row) for block in blocks for row in block.rows]
    for ceiling in ceilings:
        low, high = ceiling.interval
        records.append(
            {
                "row": ceiling.label,
                "spearman_mean": ceiling.rho,
                "spearman_low": low,
                "spearman_high": high,
            }
        )
    buffer = io.StringIO()
    pd.DataFrame.from_records(records).to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()


def _record(row: Row) -> dict[str, object]:
    low, high = row.interval or (None, None)
    record: dict[str, object] = {
        "row": row.name,
        "protocol": row.protocol,
        "seeds": " ".join(map(str, row.seeds)),
        "missing_seeds": " ".join(map(str, row.missing)),
    }
    for key, figure in row.figures.items():
        record[f"{key}_mean"] = None if figure is None else figure.mean
        record[f"{key}_std"] = None if figure is None else figure.spread
    published, difference, above = row.published, row.difference, row.above_honest
    for key in PROTOCOL_FIGURES:
        figure = None if above is None else above.figures[key]
        record[f"{key}_above_honest_mean"] = None if figure is None else figure.mean
        record[f"{key}_above_honest_std"] = None if figure is None else figure.spread
    return record | {
        "spearman_low": low,
        "spearman_high": high,
        "published_spearman": None if published is None else published.rho,
        "published_rl2_x100": None if published is None else published.rl2_x100,
        "published_source": None if published is None else published.source,
        "train_seconds": row.train_seconds,
        "score_seconds": row.score_seconds,
        "difference_from_best": None if difference is None else difference.difference,
        "difference_low": None if difference is None else difference.low,
        "difference_high": None if difference is None else difference.high,
        "verdict": row.verdict,
        "honest_row": None if above is None else above.row,
    }


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _seeds(row: Row) -> str:
    num = len(row.seeds)
    return str(num) if not row.missing else f"{num} of {num + len(row.missing)}"


def _figure(figure: MeanAndSpread | None, form: str) -> str:
    if figure is None:
        return NOTHING
    text = format(figure.mean, form)
    if figure.spread is not None:
        text = f"{text.removesuffix('%')} ± {format(figure.spread, form.replace('+', ''))}"
    return _typeset(text)


def _constant(figure: MeanAndSpread | None, form: str) -> str:
    return NOTHING if figure is None else _typeset(format(figure.mean, form))


def _interval(ends: tuple[float, float] | None) -> str:
    return NOTHING if ends is None else _typeset(f"{ends[0]:.3f} to {ends[1]:.3f}")


def _verdict(row: Row) -> str:
    if row.difference is None:
        return row.verdict
    found = row.difference
    return _typeset(
        f"{row.verdict} ({found.difference:+.3f}, {found.low:+.3f} to {found.high:+.3f})"
    )


def _typeset(text: str) -> str:
    return text.replace("%", " %").replace("-", "\N{MINUS SIGN}")
