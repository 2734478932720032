"""How the report's figures look, and how a Matplotlib figure becomes inline SVG.

The figures are drawn in placeholder colours that `finish` turns into CSS variables of the page, and
with real text in the page's own font, so that they follow its light, dark and print themes and can
be searched and read aloud. The same figure gives the same bytes: no date, no random ids.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from dae_aqa.report.figure import ReportFigure

# Placeholders of CSS variables. Any colours do, as long as no figure uses them otherwise.
INK = "#010101"
MUTED = "#010102"
GRID = "#010103"
PREDICTION = "#010104"  # what the model says
ALERT = "#010105"  # where it is wrong
REFERENCE = "#010106"  # what it is compared with
_CSS_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    PREDICTION: "var(--prediction)",
    ALERT: "var(--alert)",
    REFERENCE: "var(--reference)",
}

GUIDE: dict[str, Any] = {
    "color": MUTED,
    "linewidth": 1,
    "dashes": (4, 3),
}  # a dashed line: what would be ideal
CHANCE: dict[str, Any] = {"color": GRID, "linewidth": 0}  # the band that chance allows
HINT: dict[str, Any] = {"color": MUTED, "fontsize": 8}  # words within a figure
_PANEL_INCHES = (4.7, 3.45)
_MARK_AREA = 20.0  # square points
_POINTS_ID = "points"  # id of the collection whose marks get tooltips
_SHARES = (0, 0.25, 0.5, 0.75, 1)

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with Matplotlib; wider than the page's font, so all fits
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "figure.facecolor": "none",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 1.4,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
}
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"


def new_figure() -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes in the report's style."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=_PANEL_INCHES, layout="constrained")
        axes = figure.add_subplot()
    return figure, axes


def add_legend(axes: Axes, *, num_columns: int) -> None:
    """Name the labelled lines above the axes."""
    with mpl.rc_context(_STYLE):
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=num_columns, borderpad=0.2)


def set_share_ticks(*axes: Axis) -> None:
    """Label an axis that goes from 0 to 1 by percentages."""
    for axis in axes:
        axis.set_ticks(_SHARES, [f"{share:.0%}" for share in _SHARES])


def add_points(
    axes: Axes, x: npt.ArrayLike, y: npt.ArrayLike, *, colors: Sequence[str], alpha: float = 0.85
) -> None:
    """Draw the samples, in their order, as the marks that `finish` gives tooltips."""
    collection = axes.scatter(x, y, s=_MARK_AREA, c=colors, alpha=alpha, linewidths=0)
    collection.set_gid(_POINTS_ID)


def finish(
    figure: Figure,
    *,
    name: str,
    title: str,
    label: str,
    finding: str,
    reading: str,
    samples: pd.DataFrame | None = None,
) -> ReportFigure:
    """Return the drawing with its words; see `ReportFigure`.

    Args:
        figure: as made by `new_figure`.
        name: unique within the page; prefixes every id.
        title: what it is about.
        label: what it shows, for readers who cannot see it.
        finding: what it shows in this case.
        reading: how to read it.
        samples: those that `add_points` drew; each mark gets a tooltip and leads to its row. The
            tooltip is the column `hint`, `<sample_id>: …`, or what was judged and predicted.
    """
    hints = [] if samples is None else _tooltips(samples)
    svg = _to_svg(figure, name=name, label=label, hints=hints)
    return ReportFigure(title=title, svg=svg, finding=finding, reading=reading)


def _to_svg(figure: Figure, *, name: str, label: str, hints: Sequence[str]) -> str:
    """Return `figure` as an SVG element to stand inline in an HTML page."""
    buffer = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(buffer.getvalue())  # noqa: S314 - written just above
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.set("role", "img")
    root.set("aria-label", label)
    _add_tooltips(root, hints)
    _prefix_ids(root, f"{name}-")
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    text = ElementTree.tostring(root, encoding="unicode")
    for placeholder, variable in _CSS_VARIABLES.items():
        text = text.replace(placeholder, variable)
    return text


def _tooltips(samples: pd.DataFrame) -> list[str]:
    """Return one line per sample: its id, what was judged and what was predicted."""
    if "hint" in samples.columns:
        return samples["hint"].tolist()
    return [
        f"{sample_id}: judged {score:.1f}, predicted {mu:.1f} ± {sigma:.1f}"
        for sample_id, score, mu, sigma in zip(
            *(samples[name] for name in ("sample_id", "final_score", "mu", "sigma")), strict=True
        )
    ]


def _add_tooltips(root: ElementTree.Element, hints: Sequence[str]) -> None:
    """Wrap each mark of the points in a link to its sample's row, with a title to hover over."""
    if not hints:
        return
    points = next(node for node in root.iter() if node.get("id") == _POINTS_ID)
    parents = [node for node in points.iter() if node.find(f"{{{_SVG}}}use") is not None]
    marks = [(parent, mark) for parent in parents for mark in parent.findall(f"{{{_SVG}}}use")]
    for (parent, mark), hint in zip(marks, hints, strict=True):
        link = ElementTree.Element(
            f"{{{_SVG}}}a",
            {"href": f"#sample-{hint.split(':', 1)[0]}", "tabindex": "-1"},
        )
        ElementTree.SubElement(link, f"{{{_SVG}}}title").text = hint
        position = list(parent).index(mark)
        parent.remove(mark)
        link.append(mark)
        parent.insert(position, link)


def _prefix_ids(root: ElementTree.Element, prefix: str) -> None:
    """Make every id unique within a page that holds several figures."""
    for node in root.iter():
        for key, value in node.attrib.items():
            if key == "id":
                node.set(key, prefix + value)
            elif key == f"{{{_XLINK}}}href":
                node.set(key, re.sub(r"^#", f"#{prefix}", value))
            elif "url(#" in value:
                node.set(key, value.replace("url(#", f"url(#{prefix}"))
