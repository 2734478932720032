"""The table as one self-contained HTML file, in the look of the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dae_aqa.method_table.rows import Block, Ceiling
from dae_aqa.method_table.texts import (
    HEADINGS,
    NOTES,
    PROTOCOL_HEADINGS,
    PROTOCOL_NOTE,
    PROTOCOL_TITLE,
    PUBLISHED_HEADINGS,
    WARNING,
    ceiling_line,
    line_of,
    protocol_lines,
)
from dae_aqa.report import drawing
from dae_aqa.report.drawing import GUIDE, PREDICTION, REFERENCE
from dae_aqa.report.figure import ReportFigure
from dae_aqa.report.page import render_page

_FOLDER = Path(__file__).parent


def render_table(
    blocks: Sequence[Block], ceilings: Sequence[Ceiling], *, title: str, unfinished: Sequence[str]
) -> str:
    """Return the page as HTML; the same rows give the same text.

    Args:
        blocks: of `rows.blocks_of`.
        ceilings: of `rows.ceilings_of`.
        title: what is compared on what.
        unfinished: a line for each cell without a result.
    """
    return render_page(
        "table.html.j2",
        _FOLDER,
        title=title,
        headings=HEADINGS,
        published_headings=PUBLISHED_HEADINGS,
        blocks=[
            {
                "is_honest": block.is_honest,
                "protocol": block.protocol,
                "lines": [line_of(row) for row in block.rows],
                "ceilings": [ceiling_line(each) for each in ceilings] if number == 0 else [],
                "figure": _figure(block, ceilings, number=number),
            }
            for number, block in enumerate(blocks)
        ],
        between={
            "title": PROTOCOL_TITLE,
            "note": PROTOCOL_NOTE,
            "headings": PROTOCOL_HEADINGS,
            "lines": protocol_lines(blocks),
        },
        warning=WARNING,
        notes=NOTES,
        unfinished=unfinished,
    )


def _figure(block: Block, ceilings: Sequence[Ceiling], *, number: int) -> ReportFigure | None:
    """Return the rows side by side by rho; None where no row has one."""
    rows = [row for row in block.rows if row.rho is not None]
    if not rows:
        return None
    figure, axes = drawing.new_figure()
    for position, row in enumerate(rows[::-1]):
        assert row.rho is not None
        if row.interval is not None:
            axes.plot(row.interval, [position, position], color=PREDICTION, linewidth=1.6)
        axes.plot(row.rho, position, "o", color=PREDICTION, markersize=5)
        if row.published is not None:
            axes.plot(row.published.rho, position, "D", color=REFERENCE, markersize=4.5)
    for ceiling in ceilings:
        axes.axvline(ceiling.rho, **GUIDE)
    axes.set_yticks(range(len(rows)), [row.name for row in rows[::-1]])
    axes.set(ylim=(-0.6, len(rows) - 0.4), xlabel="Spearman's rho, final score")
    best = rows[0]
    alike = [row.name for row in rows[1:] if row.verdict == "not distinguishable"]
    finding = f"{best.name} is first with {best.rho:.3f}."
    if alike:
        finding += f" Not distinguishable from it: {', '.join(alike)}."
    reading = (
        "Each dot is the mean over the seeds of one row; its line is the 95 % interval over the "
        "test samples. Lines that overlap may still belong to distinguishable rows, since all "
        "rows score the same samples: the last column of the table tells."
    )
    if any(row.published is not None for row in rows):
        reading += " A diamond is the published figure."
    if ceilings:
        reading += " Dashed lines show how well judges rank as each other do."
    return drawing.finish(
        figure,
        name=f"rho-{number}",
        title="The rows side by side",
        label="Spearman's rho by row: " + "; ".join(f"{row.name} {row.rho:.3f}" for row in rows),
        finding=finding,
        reading=reading,
    )
