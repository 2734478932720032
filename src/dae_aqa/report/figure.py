"""One figure of the page: the drawing, what it shows, and how to read it."""

from __future__ import annotations

from dataclasses import dataclass


def signed(value: float, decimals: int) -> str:
    """Return `value` with its sign, minus as the minus sign: `+0.37`, `−0.37`."""
    return f"{value:+.{decimals}f}".replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True, kw_only=True)
class ReportFigure:
    """A figure with its words.

    Attributes:
        title: what it is about.
        svg: the drawing, an SVG element, made by `dae_aqa.report.drawing.finish`.
        finding: what it shows in this case, one sentence.
        reading: how to read such a figure, for those who never saw one.
    """

    title: str
    svg: str
    finding: str
    reading: str
