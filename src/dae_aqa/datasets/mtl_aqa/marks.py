"""The judges' marks of MTL-AQA, joined with its dictionary and checked against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dae_aqa import scoring
from dae_aqa.datasets.mtl_aqa.layout import DICTIONARY, Key, sample_id
from dae_aqa.datasets.mtl_aqa.layout import workbook as workbook_path
from dae_aqa.datasets.mtl_aqa.workbooks import (
    WorkbookDive,
    is_plain_mark,
    read_mark,
    read_workbook,
)
from dae_aqa.tables.dataset import Note


def read_marks(
    *, release_dir: Path, dives: Mapping[Key, Mapping[str, float]], scoring_rule: str
) -> tuple[dict[Key, tuple[float, ...]], list[Note]]:
    """Return the judges' marks of every dive, and what comparing workbooks and dictionary showed.

    Args:
        release_dir: folder of the release.
        dives: the release's dictionary.
        scoring_rule: name in `scoring.SCORING_RULES`; it decides whether a mended mark is right.

    Returns:
        Marks by sample key, in judge order, `()` where one cannot be read; and the notes.

    Raises:
        AnnotationError: a workbook is missing or damaged.
    """
    marks: dict[Key, tuple[float, ...]] = {}
    notes: list[Note] = []
    for video_number in sorted({key[0] for key in dives}):
        path = release_dir / workbook_path(video_number)
        rows = {(video_number, number): dive for number, dive in read_workbook(path).items()}
        of_video = {key: dive for key, dive in dives.items() if key[0] == video_number}
        notes += _only_in_one(rows, of_video, workbook=path.name)
        for key in sorted(rows.keys() & of_video.keys()):
            dive, row = of_video[key], rows[key]
            notes += _compare(key, dive=dive, row=row, workbook=path.name)
            marks[key], mark_notes = _mend_marks(
                key,
                dive=dive,
                cells=row.marks,
                where=f"{path.name} row {row.row}",
                rule=scoring_rule,
            )
            notes += mark_notes
    return marks, notes


def marks_of_dictionary(
    dives: Mapping[Key, Mapping[str, object]], *, file_name: str, scoring_rule: str
) -> tuple[dict[Key, tuple[float, ...]], list[Note]]:
    """Return the marks that the dictionary itself holds, and notes on mended or unreadable ones.

    Args:
        dives: the dictionary; `judge_scores` may be missing, the dive then has no marks.
        file_name: of the dictionary, for the notes.
        scoring_rule: name in `scoring.SCORING_RULES`; it decides whether a mended mark is right.
    """
    marks: dict[Key, tuple[float, ...]] = {}
    notes: list[Note] = []
    for key, dive in sorted(dives.items()):
        cells = dive.get("judge_scores")
        if isinstance(cells, list):
            marks[key], mark_notes = _mend_marks(
                key, dive=dive, cells=cells, where=file_name, rule=scoring_rule
            )
            notes += mark_notes
    return marks, notes


def _only_in_one(
    rows: Mapping[Key, WorkbookDive], dives: Mapping[Key, object], *, workbook: str
) -> Iterator[Note]:
    """Yield a note for each dive of a broadcast that its workbook or the dictionary lacks."""
    for key in sorted(rows.keys() - dives.keys()):
        row = rows[key]
        detail = f"row {row.row}, view {row.view!r}, score {row.final_score}: not in {DICTIONARY}"
        yield Note(sample_id(key), "only_in_workbook", f"{workbook} {detail}")
    for key in sorted(dives.keys() - rows.keys()):
        yield Note(sample_id(key), "no_marks", f"{workbook} has no row for it")


def _compare(
    key: Key, *, dive: Mapping[str, float], row: WorkbookDive, workbook: str
) -> list[Note]:
    """Return a note for each field in which dictionary and workbook disagree."""
    typed = {
        "start_frame": row.start_frame,
        "end_frame": row.end_frame,
        "difficulty": row.difficulty,
        "final_score": row.final_score,
    }
    return [
        Note(
            sample_id(key),
            f"{field}_differs",
            f"{workbook} row {row.row} has {value!r}, {DICTIONARY} {dive[field]!r}; "
            "the latter is kept",
        )
        for field, value in typed.items()
        if value != dive[field]
    ]


def _mend_marks(
    key: Key, *, dive: Mapping[str, Any], cells: Sequence[object], where: str, rule: str
) -> tuple[tuple[float, ...], list[Note]]:
    """Return the marks in `cells`, `()` where one cannot be read, and notes on mended cells.

    A mended mark counts only if the marks then give the official final score.
    """
    readings = [read_mark(cell) for cell in cells]
    marks = tuple(mark for mark in readings if mark is not None)
    mended = [
        f"judge {judge}: {cell!r} read as {mark:g}"
        for judge, (cell, mark) in enumerate(zip(cells, readings, strict=True), start=1)
        if mark is not None and not is_plain_mark(cell)
    ]
    if len(marks) < len(readings):
        detail = f"{where}: expected marks from 0 to 10 by half points, got {list(cells)}"
        return (), [Note(sample_id(key), "no_marks", detail)]
    if not mended:
        return marks, []
    if scoring.disagrees_with_rule(
        official=[dive["final_score"]],
        judge_scores=[marks],
        difficulty=[dive["difficulty"]],
        rule=rule,
    ).any():
        detail = f"{where}: {'; '.join(mended)} does not give the official score"
        return (), [Note(sample_id(key), "no_marks", detail)]
    detail = f"{where}: {'; '.join(mended)}; this gives the official score {dive['final_score']:g}"
    return marks, [Note(sample_id(key), "mark_mended", detail)]
