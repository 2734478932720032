"""The hand-typed workbooks of MTL-AQA: one per broadcast, one row per view of a dive.

The row that carries the dive's number also carries its marks. Column names differ from workbook to
workbook (`Sr. No.` or `Dive No.`, `View`, `Angle` or `Camera Angle`, …), so that columns are found
by any of their known names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from dae_aqa.errors import AnnotationError

NUM_JUDGES = 7
MAX_MARK = 10.0

# Known names of each column, without case, '.', '_', '/' and '#'.
_HEADERS = {
    "number": ("sr no", "dive no"),
    "view": ("view", "angle", "camera angle"),
    "start": ("start", "start frame"),
    "end": ("end", "end frame"),
    "difficulty": ("difficulty",),
    "final_score": ("final score", "total score"),
    "marks": ("scores", "individual judges scores", "judge 1"),  # the first of seven columns
}


@dataclass(frozen=True)
class WorkbookDive:
    """The numbered row of one dive, as typed.

    Attributes:
        row: row of the sheet, counted from 1, for messages.
        view: camera view, e.g. 'S' (from the side at normal speed).
        start_frame: first frame, counted from 1.
        end_frame: last frame, counted from 1.
        marks: cells of the seven judges, in judge order.
    """

    row: int
    view: str
    start_frame: object
    end_frame: object
    difficulty: object
    final_score: object
    marks: tuple[object, ...]


def read_workbook(path: Path) -> dict[int, WorkbookDive]:
    """Return the dives of the workbook at `path` by dive number.

    Raises:
        AnnotationError: the file is no workbook, a column is not found, or a dive's number is not a
            whole number or occurs twice.
    """
    rows = _sheet_rows(path)
    columns = _find_columns(rows[0] if rows else (), path=path)
    dives: dict[int, WorkbookDive] = {}
    for row, cells in enumerate(rows[1:], start=2):
        number = cells[columns["number"]]
        if number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, int) or number in dives:
            raise AnnotationError(
                f"{path}, row {row}: expected a dive number that is whole and occurs once, "
                f"got {number!r}. Compare the file with the published one."
            )
        first_mark = columns["marks"]
        dives[number] = WorkbookDive(
            row=row,
            view=str(cells[columns["view"]] or "").strip(),
            start_frame=cells[columns["start"]],
            end_frame=cells[columns["end"]],
            difficulty=cells[columns["difficulty"]],
            final_score=cells[columns["final_score"]],
            marks=tuple(cells[first_mark : first_mark + NUM_JUDGES]),
        )
    return dives


def read_video_list(path: Path) -> dict[int, str]:
    """Return the address of each broadcast by its number, from the release's `Video_List.xlsx`.

    Raises:
        AnnotationError: the file is no workbook or lists no video.
    """
    addresses = {
        cells[0]: cells[1].strip()
        for cells in _sheet_rows(path)[1:]
        if len(cells) > 1 and isinstance(cells[0], int) and isinstance(cells[1], str)
    }
    if not addresses:
        raise AnnotationError(
            f"{path}: expected rows of a video number and an address, found none."
        )
    return addresses


def read_mark(cell: object) -> float | None:
    """Return a judge's mark in 0 … 10 by half points, mending the typing errors that are plain.

    Two kinds are: a doubled or foreign decimal point (`'7..5'` is 7.5) and a forgotten one (`45` is
    4.5, since no mark is above 10). Everything else gives None.
    """
    if isinstance(cell, str):
        cell = re.sub(r"[.,]+", ".", cell.strip())
        try:
            cell = float(cell)
        except ValueError:
            return None
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    for mark in (float(cell), cell / 10):
        if 0 <= mark <= MAX_MARK:
            return mark if (2 * mark).is_integer() else None
    return None


def is_plain_mark(cell: object) -> bool:
    """Return whether `cell` is a mark as it should be typed, with nothing to mend."""
    return isinstance(cell, int | float) and read_mark(cell) == cell


def _sheet_rows(path: Path) -> list[tuple[Any, ...]]:
    """Return the cells of the workbook's first sheet, all rows of one length."""
    try:
        with path.open("rb") as file:
            workbook = openpyxl.load_workbook(file, read_only=True, data_only=True)
            return list(_padded(workbook.worksheets[0].iter_rows(values_only=True)))
    except FileNotFoundError as error:
        raise AnnotationError(
            f"{path}: no such file. The release needs it: take the whole folder as published."
        ) from error
    except (OSError, BadZipFile, InvalidFileException, KeyError, ValueError, IndexError) as error:
        raise AnnotationError(
            f"{path}: not a readable .xlsx workbook ({type(error).__name__}: {error}). "
            "Fetch it again from where the release is published."
        ) from error


def _padded(rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    for cells in rows:
        yield cells + (None,) * (len(_HEADERS) + NUM_JUDGES - len(cells))


def _find_columns(header: Sequence[object], *, path: Path) -> dict[str, int]:
    """Return the index of each column of `_HEADERS` in `header`."""
    names = [re.sub(r"[._/#\s]+", " ", str(cell or "")).strip().lower() for cell in header]
    columns = {}
    for column, aliases in _HEADERS.items():
        found = [index for index, name in enumerate(names) if name in aliases]
        if len(found) != 1:
            raise AnnotationError(
                f"{path}, row 1: expected one column named {' or '.join(map(repr, aliases))}, "
                f"got {[str(cell) for cell in header if cell is not None]}."
            )
        columns[column] = found[0]
    return columns
