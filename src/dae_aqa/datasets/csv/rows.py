"""A CSV file of samples as text: its header checked, its rows with their line numbers."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dae_aqa.errors import AnnotationError
from dae_aqa.wording import did_you_mean

RANGE_COLUMNS = ("start_frame", "end_frame", "start_seconds", "end_seconds")
REQUIRED_COLUMNS = ("sample_id", "video", "score")
OPTIONAL_COLUMNS = (*RANGE_COLUMNS, "difficulty", "action", "split", "group")
_JUDGE_COLUMN = re.compile(r"judge_([1-9]\d*)")


@dataclass
class Row:
    """One line of the table, and what is wrong with it."""

    line: int
    cells: dict[str, str]
    problems: list[str] = field(default_factory=list)

    def number(self, column: str) -> float | None:
        """Return the number in `column`, None where the cell is empty or is no finite number."""
        text = self.cells.get(column, "")
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self.problems.append(f"{column} must be a number with a decimal point, got {text!r}")
            return None
        return value


def read_rows(csv_path: Path) -> list[Row]:
    """Return the rows of the table at `csv_path` that are not empty.

    Raises:
        AnnotationError: the file is missing, is no CSV table, has no rows or a wrong header.
    """
    try:
        _refuse_other_formats(csv_path)
        with csv_path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(header, csv_path=csv_path)
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except FileNotFoundError as error:
        raise AnnotationError(
            f"{csv_path}: no such table. Set datasets.csv.annotations_csv to your CSV file; "
            "src/dae_aqa/datasets/csv/README.md describes its columns."
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(
            f"{csv_path}: not a CSV table in UTF-8, separated by commas ({error}). Save it so from "
            "your spreadsheet."
        ) from error
    rows = []
    for line, cells in lines:
        if any(cells):
            padded = cells + [""] * (len(header) - len(cells))
            row = Row(line=line, cells=dict(zip(header, padded, strict=False)))
            if len(cells) > len(header):
                row.problems.append(f"{len(cells)} cells, but the header has {len(header)}")
            rows.append(row)
    if not rows:
        raise AnnotationError(f"{csv_path}: the table has no rows below its header.")
    return rows


def _refuse_other_formats(csv_path: Path) -> None:
    """Raise an AnnotationError that names the table's format, where it is a known one but not ours.

    None of them is read: a workbook may hold 8.5 as a date, semicolons come with decimal commas.
    """
    with csv_path.open("rb") as file:
        head = file.read(4096)
    found, reading = _other_format(head)
    if not found:
        return
    convert = ""
    if reading:
        call = reading.format(f"'{csv_path.name}'", "dtype={'sample_id': str, 'action': str}")
        target = f"{csv_path.stem}_utf8.csv"
        convert = (
            ", or convert it in its folder: "
            f"python -c \"import pandas; pandas.{call}.to_csv('{target}', index=False)\""
        )
    raise AnnotationError(
        f"{csv_path}: the table is {found}; expected CSV in UTF-8, separated by commas, with "
        "decimal points. Save it so from your spreadsheet (LibreOffice: Save As, Text CSV, "
        f"character set UTF-8, field delimiter a comma){convert}"
    )


def _other_format(head: bytes) -> tuple[str, str]:
    """Return what a table that begins so is, and how pandas reads it; '' for what we read."""
    if head.startswith(b"PK\x03\x04"):
        return "an Excel workbook (.xlsx) or another archive", "read_excel({}, {})"
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        return "a workbook of old Excel (.xls)", ""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head:
        reading = "read_csv({}, sep=None, engine='python', encoding='utf-16', {})"
        return "in UTF-16", reading
    header = head.splitlines()[0] if head.strip() else b""
    if b"," not in header and b";" in header:
        return "separated by semicolons", "read_csv({}, sep=';', decimal=',', {})"
    if b"," not in header and b"\t" in header:
        return "separated by tabs", "read_csv({}, sep='\\t', {})"
    return "", ""


def _check_header(header: Sequence[str], *, csv_path: Path) -> None:
    known = (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)
    problems = [f"column {name!r} is missing" for name in REQUIRED_COLUMNS if name not in header]
    problems += [f"column {name!r} occurs twice" for name, n in Counter(header).items() if n > 1]
    for name in header:
        if name not in known and not _JUDGE_COLUMN.fullmatch(name):
            problems.append(f"unknown column {name!r}{did_you_mean(name, known)}")
    judges = judge_columns(header)
    if judges != [f"judge_{number}" for number in range(1, len(judges) + 1)]:
        problems.append(f"judges must be numbered judge_1 … without a gap, got {judges}")
    if problems:
        raise AnnotationError(
            f"{csv_path}, line 1: {'; '.join(problems)}. Known columns, separated by commas: "
            f"{', '.join(known)}, judge_1 … judge_n. src/dae_aqa/datasets/csv/README.md describes "
            "them."
        )


def judge_columns(header: Iterable[str]) -> list[str]:
    """Return the judges' columns in judge order."""
    judges = [name for name in header if _JUDGE_COLUMN.fullmatch(name)]
    return sorted(judges, key=lambda name: int(name.removeprefix("judge_")))
