"""The annotations table: every dataset becomes one, and the later stages know nothing else of it.

One row per sample (one scored performance). The table is a CSV file with the columns of `COLUMNS`,
in that order, without those of `OPTIONAL_COLUMNS` that say nothing. `read_annotations` checks it
and reports every bad row at once; in memory all columns are there.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd

from dae_aqa.errors import AnnotationError
from dae_aqa.tables.parts import WORD, WORD_RULE
from dae_aqa.wording import first_lines

COLUMNS = (
    "sample_id",  # unique; at most 150 of letters, digits, '-', '_', '.', since it names a file
    "video_id",  # stem of the video's file name
    "start_frame",  # first frame of the performance, 0-based, in the video's own frame numbers
    "end_frame",  # one past the last frame (half-open range)
    "final_score",  # the official score, never recomputed
    "difficulty",  # degree of difficulty; 1.0 where the sport has none
    "judge_scores",  # raw marks in judge order, joined by ';'; empty where unknown
    "action_class",  # the dataset's own name of the action; empty where unknown
    "split",  # official split, 'train' or 'test'; empty where there is none
    "task",  # task or class that is trained and tested apart, see `dae_aqa.tables.parts`; or empty
    "fold",  # the published fold that tests the sample; empty where there are no folds
    "group",  # who must not be on both sides of a split: athlete, surgeon, patient; or empty
)
OPTIONAL_COLUMNS = ("task", "fold", "group")  # left out of the file where no row says anything
OFFICIAL_SPLITS = ("train", "test", "")
# File systems take 255 bytes; a sample in the making is `.<id>.zip.<host>-<pid>-<…>.part`.
MAX_ID_LENGTH = 150
SAFE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
ID_RULE = "may hold letters, digits, '-', '_', '.' alone and not start with '.': it names files"
_MAX_ROWS_SHOWN = 20
_TEXT_COLUMNS = (
    *("sample_id", "video_id", "judge_scores", "action_class", "split"),
    *OPTIONAL_COLUMNS,
)


def format_judge_scores(scores: list[float] | tuple[float, ...]) -> str:
    """Return marks in judge order as the table writes them, e.g. `(9.0, 8.5)` -> `'9.0;8.5'`."""
    return ";".join(f"{float(score):g}" for score in scores)


def parse_judge_scores(text: str) -> tuple[float, ...]:
    """Return the marks of a `judge_scores` cell in judge order; `()` where the cell is empty.

    Raises:
        ValueError: a mark is not a finite number.
    """
    scores = tuple(float(mark) for mark in text.split(";")) if text else ()
    if not all(math.isfinite(score) for score in scores):
        raise ValueError(f"judge score is not finite in {text!r}")
    return scores


def execution_scores(annotations: pd.DataFrame) -> pd.Series:
    """Return the judged part of each final score, `final_score / difficulty`, as float64."""
    return (annotations["final_score"] / annotations["difficulty"]).rename("execution_score")


def check_annotations(annotations: pd.DataFrame, *, source: str) -> pd.DataFrame:
    """Return `annotations` with its columns ordered and typed, after checking every row.

    Args:
        annotations: table with the columns of `COLUMNS`; `OPTIONAL_COLUMNS` may be left out.
        source: where the table comes from, for messages.

    Raises:
        AnnotationError: columns are missing or unknown, or rows are bad; all bad rows are named.
    """
    needed = [name for name in COLUMNS if name not in OPTIONAL_COLUMNS]
    missing = [name for name in needed if name not in annotations.columns]
    unknown = [str(name) for name in annotations.columns if name not in COLUMNS]
    if missing or unknown:
        raise AnnotationError(
            f"{source}: the annotations table needs the columns {', '.join(needed)} and may have "
            f"{', '.join(OPTIONAL_COLUMNS)}; missing: {', '.join(missing) or 'none'}; unknown: "
            f"{', '.join(unknown) or 'none'}."
        )
    table = annotations.reindex(columns=list(COLUMNS)).reset_index(drop=True)
    for name in _TEXT_COLUMNS:
        table[name] = table[name].astype(object).fillna("").astype(str)
    for name in ("start_frame", "end_frame", "final_score", "difficulty"):
        table[name] = pd.to_numeric(table[name], errors="coerce")

    problems = _row_problems(table)
    if problems:
        raise AnnotationError(
            f"{source}: {len(problems)} problem(s) in the annotations table:\n"
            f"{first_lines(problems, limit=_MAX_ROWS_SHOWN)}\n"
            "Correct these rows and run the stage again; nothing was written."
        )
    return table.astype({"start_frame": np.int64, "end_frame": np.int64})


def read_annotations(path: Path) -> pd.DataFrame:
    """Read and check the annotations table at `path`.

    Raises:
        AnnotationError: the file is missing, is no CSV table, or `check_annotations` finds faults.
    """
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(_TEXT_COLUMNS, str), keep_default_na=False)
    except FileNotFoundError as error:
        raise AnnotationError(
            f"{path}: no annotations table. Run the stage that writes it: `dvc repro download`."
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{path}: not a readable CSV table ({error}).") from error
    return check_annotations(table, source=str(path))


def write_annotations(annotations: pd.DataFrame, path: Path) -> None:
    """Check `annotations` and write them to `path` by `sample_id`: equal tables, equal bytes."""
    table = check_annotations(annotations, source=str(path)).sort_values("sample_id")
    silent = [name for name in OPTIONAL_COLUMNS if (table[name] == "").all()]
    table = table.drop(columns=silent)
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, lineterminator="\n")


def _row_problems(table: pd.DataFrame) -> list[str]:
    """Return one line per fault, in row order; lines are counted as in the file, header first."""
    start, end = table["start_frame"], table["end_frame"]
    checks: list[tuple[pd.Series, str]] = [
        (~table["sample_id"].str.fullmatch(SAFE_ID.pattern), f"sample_id {ID_RULE}"),
        (
            table["sample_id"].str.len() > MAX_ID_LENGTH,
            f"sample_id has more than {MAX_ID_LENGTH} characters; it names files",
        ),
        (table["sample_id"].duplicated(keep=False), "sample_id is not unique"),
        (table["video_id"] == "", "video_id is empty"),
        (~(start >= 0) | (start % 1 != 0), "start_frame must be a whole number >= 0"),
        (~(end > start) | (end % 1 != 0), "end_frame must be a whole number > start_frame"),
        (~np.isfinite(table["final_score"].to_numpy(float)), "final_score must be a finite number"),
        (
            ~(np.isfinite(table["difficulty"].to_numpy(float)) & (table["difficulty"] > 0)),
            "difficulty must be a finite number > 0 (1.0 where the sport has none)",
        ),
        (
            ~table["judge_scores"].map(_is_judge_scores),
            "judge_scores must be numbers joined by ';'",
        ),
        (~table["split"].isin(OFFICIAL_SPLITS), "split must be 'train', 'test' or empty"),
        (~table["task"].str.fullmatch(f"({WORD.pattern})?"), f"task {WORD_RULE}"),
        (~table["fold"].str.fullmatch(f"({WORD.pattern})?"), f"fold {WORD_RULE}"),
    ]
    return [
        f"line {row + 2} (sample_id {table.at[row, 'sample_id']!r}): {message}"
        for row in range(len(table))
        for bad, message in checks
        if bool(bad[row])
    ]


def _is_judge_scores(text: str) -> bool:
    try:
        parse_judge_scores(text)
    except ValueError:
        return False
    return True
