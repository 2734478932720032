"""Reads the numbers of a figure back from its SVG: what a reader sees, not what the code meant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np

_SVG = "{http://www.w3.org/2000/svg}"
_BASELINE = 3.229  # px by which the label of a y tick stands below its tick
_NUMBER = r"-?\d+(?:\.\d+)?"


@dataclass(frozen=True)
class Mark:
    """A mark or a line, in the units of its axes."""

    x: list[float]
    y: list[float]
    color: str
    name: str = ""


class Drawing:
    """One figure with one pair of axes."""

    def __init__(self, svg: str) -> None:
        root = ElementTree.fromstring(svg)
        (self._axes,) = (node for node in root.iter() if _id(node).endswith("axes_1"))
        self._x = self._ticks("xtick", "x", 0.0)
        self._y = self._ticks("ytick", "y", _BASELINE)
        self.label = root.get("aria-label", "")
        self.texts = [node.text for node in root.iter(f"{_SVG}text")]

    def _ticks(self, kind: str, axis: str, shift: float) -> dict[str, float]:
        found = {}
        for node in self._axes.iter(f"{_SVG}g"):
            if re.search(rf"-{kind}_\d+$", _id(node)):
                (text,) = node.iter(f"{_SVG}text")
                found[str(text.text)] = float(text.get(axis, "nan")) - shift
        return found

    def row(self, label: str) -> float:
        """Return the height of a named row, in px, as `px_y` gives it for what is drawn."""
        return self._y[label]

    @property
    def rows(self) -> list[str]:
        """Labels of the y axis, from the bottom."""
        return list(self._y)

    @property
    def columns(self) -> list[str]:
        """Labels of the x axis, from the left."""
        return list(self._x)

    def x(self, px: float) -> float:
        return _scale(self._x, px)

    def y(self, px: float) -> float:
        """Return a number, or px from the bottom up where the axis has names."""
        return _scale(self._y, px)

    def points(self) -> list[Mark]:
        """Marks with a tooltip, in the order of the drawing."""
        marks = []
        for link in self._axes.iter(f"{_SVG}a"):
            (use,) = link.iter(f"{_SVG}use")
            (title,) = link.iter(f"{_SVG}title")
            marks.append(
                Mark(
                    [self.x(float(use.get("x", "nan")))],
                    [self.y(float(use.get("y", "nan")))],
                    _color(use.get("style", "")),
                    str(title.text),
                )
            )
            assert link.get("href") == f"#sample-{str(title.text).split(':')[0]}"
        return marks

    def lines(self) -> list[Mark]:
        """Lines and rows of markers, in the order of the drawing, without grid and ticks."""
        found = []
        for group in self._axes.findall(f"{_SVG}g"):
            if not re.search(r"-line2d_\d+$", _id(group)):
                continue
            paths = group.findall(f"{_SVG}path")
            uses = list(group.iter(f"{_SVG}use"))
            color = _color((paths or uses)[0].get("style", ""))
            pixels = (
                [(float(use.get("x", "nan")), float(use.get("y", "nan"))) for use in uses]
                if uses
                else _corners(paths[0])
            )
            found.append(self._mark(pixels, color))
        return found

    def bars(self) -> list[Mark]:
        """Rectangles and bands: x and y hold the lowest and the highest value."""
        found = []
        for group in self._axes.findall(f"{_SVG}g"):
            if re.search(r"-patch_\d+$", _id(group)):
                path = group.find(f"{_SVG}path")
                assert path is not None
                color = _color(path.get("style", ""))
                corners = _corners(path)
                is_spine = len(corners) == 2
                if color and not is_spine:
                    mark = self._mark(corners, color)
                    x, y = ([min(values), max(values)] for values in (mark.x, mark.y))
                    found.append(Mark(x, y, color))
        return found

    def segments(self) -> list[Mark]:
        """Pieces of line collections, e.g. error bars."""
        return [
            self._mark(_corners(path), _color(path.get("style", "")))
            for group in self._axes.findall(f"{_SVG}g")
            if "LineCollection" in _id(group)
            for path in group.findall(f"{_SVG}path")
        ]

    def area(self) -> Mark:
        """Outline of the one filled area."""
        (group,) = (g for g in self._axes.findall(f"{_SVG}g") if "FillBetween" in _id(g))
        use = next(group.iter(f"{_SVG}use"))
        path = next(group.iter(f"{_SVG}path"))
        height = float(use.get("y", "0"))
        pixels = [(x + float(use.get("x", "0")), y + height) for x, y in _corners(path)]
        return self._mark(pixels, _color(use.get("style", "") or path.get("style", "")))

    def _mark(self, pixels: list[tuple[float, float]], color: str) -> Mark:
        return Mark([self.x(x) for x, _ in pixels], [self.y(y) for _, y in pixels], color)


def _id(node: ElementTree.Element) -> str:
    return node.get("id", "")


def _color(style: str) -> str:
    found = re.findall(r"(?:fill|stroke): var\(--(\w+)\)", style)
    return found[0] if found else ""


def _corners(path: ElementTree.Element) -> list[tuple[float, float]]:
    numbers = [float(text) for text in re.findall(_NUMBER, path.get("d", ""))]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _scale(ticks: dict[str, float], px: float) -> float:
    """Return the value at `px`: linear between labelled ticks; px itself where these are names."""
    try:
        values = {_value(text): place for text, place in ticks.items()}
    except ValueError:
        return px
    (low, left), *_, (high, right) = values.items()
    places = np.array(list(values.values()))
    assert all((b - a) * (right - left) > 0 for a, b in pairwise(places))
    return low + (px - left) * (high - low) / (right - left)


def _value(text: str) -> float:
    number = float(text.replace("\N{MINUS SIGN}", "-").removesuffix("%"))
    return number / 100 if text.endswith("%") else number
