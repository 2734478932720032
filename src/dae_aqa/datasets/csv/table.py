"""A user's own videos and a CSV of scores, checked row by row.

The README of this folder describes the columns, with a worked example. Every fault of every row is
reported at once, so that a table is corrected in one go.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import pandas as pd

from dae_aqa import scoring
from dae_aqa.datasets.csv.options import CsvOptions
from dae_aqa.datasets.csv.rows import RANGE_COLUMNS, Row, judge_columns, read_rows
from dae_aqa.datasets.frames import ImageFolder, folder_notes, list_frames, look_into
from dae_aqa.datasets.held import require_folders
from dae_aqa.datasets.rule_check import rule_notes
from dae_aqa.errors import AnnotationError, ScoringError, VideoError
from dae_aqa.files.whole import copy_file
from dae_aqa.running.places import user_path
from dae_aqa.running.progress import counted
from dae_aqa.tables.annotations import (
    COLUMNS,
    ID_RULE,
    MAX_ID_LENGTH,
    OFFICIAL_SPLITS,
    SAFE_ID,
    check_annotations,
    format_judge_scores,
)
from dae_aqa.tables.dataset import DatasetTables, notes_table
from dae_aqa.video.options import Numbering
from dae_aqa.video.probe import VIDEO_SUFFIXES, count_frames, seconds_to_frame
from dae_aqa.wording import first_lines

_MAX_ROWS_SHOWN = 100
_MAX_MARK = 100.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Video:
    """A video, or a folder of images, of the table.

    Attributes:
        path: the file or the folder.
        first_frame: 0, or the lowest number in the folder.
        end_frame: one past the last frame, or past the highest number.
        fault: why it cannot be used, '' where it can.
        images: what the folder holds; None for a video.
    """

    path: Path
    first_frame: int
    end_frame: int
    fault: str
    images: ImageFolder | None = None

    @property
    def video_id(self) -> str:
        """The name in the annotations table."""
        return self.path.stem if self.images is None else self.path.name


def load(options: CsvOptions, videos_dir: Path) -> DatasetTables:
    """Check the user's table, copy its videos or list its frames, and return the tables.

    Scores that differ from the scoring rule are noted. Nothing is written if a row is bad, and
    nothing of the user's is changed.

    Raises:
        AnnotationError: the table or the folder is missing, the header is wrong, or rows are bad;
            all of them are named with all their faults.
        OutputError: a video cannot be copied.
    """
    rows = read_rows(user_path(options.annotations_csv))
    annotations, videos = check_rows(rows, options)
    found = {video.video_id: video.images for video in videos if video.images is not None}
    list_frames(found, dict.fromkeys(found, 0), videos_dir=videos_dir, of_samples=False)
    files = [video for video in videos if video.images is None]
    for video in counted(files, "copying videos", unit="video"):
        target = videos_dir / f"{video.video_id}{video.path.suffix.lower()}"
        copy_file(source=video.path, target=target)
    rule = options.scoring_rule
    notes = [*(rule_notes(annotations, rule=rule) if rule else []), *folder_notes(found)]
    logger.info("csv: %d samples in %d videos", len(annotations), len(videos))
    return DatasetTables(annotations=annotations, notes=notes_table(notes))


def check_rows(rows: Sequence[Row], options: CsvOptions) -> tuple[pd.DataFrame, list[_Video]]:
    """Return the rows of the user's table as an annotations table, in their order, and the videos.

    Raises:
        AnnotationError: as in `load`.
    """
    require_folders(options, options.held_key, dataset="csv")
    numbering = options.frame_numbering
    videos = (
        _probe_videos(rows, folder=user_path(options.videos_dir or ""), numbering=numbering)
        if options.frames_dir is None
        else _probe_folders(rows, frames_dir=user_path(options.frames_dir))
    )
    # by video, so that each video's index is built once
    ranges = {
        row.line: _frame_range(row, video=videos[row.cells["video"]], numbering=numbering)
        for row in sorted(rows, key=lambda row: row.cells["video"])
    }
    uses = Counter(row.cells["sample_id"] for row in rows)
    records = []
    for row in rows:
        _check_id(row, num_uses=uses[row.cells["sample_id"]])
        start, end = ranges[row.line]
        records.append(
            {
                "sample_id": row.cells["sample_id"],
                "video_id": videos[row.cells["video"]].video_id,
                "start_frame": start,
                "end_frame": end,
                "final_score": _score(row, options),
                "difficulty": _difficulty(row),
                "judge_scores": _judge_scores(row, options),
                "action_class": row.cells.get("action", ""),
                "split": _split(row),
                "group": row.cells.get("group", ""),
            }
        )
    source = str(user_path(options.annotations_csv))
    _raise_on_problems(rows, source=source)
    annotations = check_annotations(pd.DataFrame(records, columns=list(COLUMNS)), source=source)
    return annotations, [videos[name] for name in sorted(videos)]


def _probe_videos(rows: Sequence[Row], *, folder: Path, numbering: Numbering) -> dict[str, _Video]:
    """Return every file that the table names, with its number of frames or its fault."""
    names = sorted({row.cells["video"] for row in rows})
    plain = [name for name in names if PurePath(name).name == name]
    videos = {}
    for name in counted(names, "checking videos", unit="video"):
        same_stem = [other for other in plain if PurePath(other).stem == PurePath(name).stem]
        fault, num_frames = _name_fault(name, folder=folder, same_stem=same_stem), 0
        if not fault:
            try:
                num_frames = count_frames(folder / name, numbering=numbering)
            except VideoError as error:
                fault = str(error)
        videos[name] = _Video(folder / name, first_frame=0, end_frame=num_frames, fault=fault)
    return videos


def _probe_folders(rows: Sequence[Row], *, frames_dir: Path) -> dict[str, _Video]:
    """Return every folder of images that the table names, with its numbers or its fault."""
    names = {row.cells["video"] for row in rows}
    plain = {name: frames_dir / name for name in names if SAFE_ID.fullmatch(name)}
    found = look_into(plain, frames_dir=frames_dir)
    videos = {}
    for name in names:
        images = found.get(name)
        fault = "" if images else f"no folder {name!r} with numbered images in {frames_dir}"
        if name not in plain:
            fault = f"video {name!r} {ID_RULE}"
        videos[name] = _Video(
            frames_dir / name,
            first_frame=images.lowest if images else 0,
            end_frame=images.highest + 1 if images else 0,
            fault=fault,
            images=images,
        )
    return videos


def _name_fault(name: str, *, folder: Path, same_stem: Sequence[str]) -> str:
    """Return why the column `video` may not hold `name`, '' where it may."""
    if not name:
        return "video is empty"
    if PurePath(name).name != name or "\\" in name:
        return f"video must be a plain file name, got {name!r}"
    if not (folder / name).is_file():
        return f"no video {name!r} in {folder}"
    if len(name.encode()) > MAX_ID_LENGTH:
        return f"video {name[:20]!r}… has {len(name)} characters; {MAX_ID_LENGTH} are allowed"
    if PurePath(name).suffix.lower() not in VIDEO_SUFFIXES:
        return f"video {name!r} needs one of the suffixes {' '.join(VIDEO_SUFFIXES)}"
    if len(same_stem) > 1:
        return f"videos {' and '.join(same_stem)} differ in their suffix alone; rename one"
    return ""


def _check_id(row: Row, *, num_uses: int) -> None:
    length = len(row.cells["sample_id"])
    if length > MAX_ID_LENGTH:
        row.problems.append(
            f"sample_id has {length} characters; {MAX_ID_LENGTH} are allowed, since it names files"
        )
    if not SAFE_ID.fullmatch(row.cells["sample_id"]):
        row.problems.append(f"sample_id {ID_RULE}")
    if num_uses > 1:
        row.problems.append(f"sample_id occurs {num_uses} times")


def _frame_range(row: Row, *, video: _Video, numbering: Numbering) -> tuple[int, int]:
    """Return the half-open frame range of a row, the whole video where it gives none."""
    if video.fault:
        row.problems.append(video.fault)
    given = [name for name in RANGE_COLUMNS if row.cells.get(name)]
    if not given:
        return video.first_frame, video.end_frame
    if given[0] == "start_seconds" and video.images is not None:
        row.problems.append("images have no seconds; give start_frame and end_frame")
        return 0, 0
    if given not in (list(RANGE_COLUMNS[:2]), list(RANGE_COLUMNS[2:])):
        row.problems.append(
            "give both start_frame and end_frame, or both start_seconds and end_seconds, or none"
        )
        return 0, 0
    start, end = row.number(given[0]), row.number(given[1])
    if start is None or end is None:
        return 0, 0
    if start < 0:
        row.problems.append(f"{given[0]} must be 0 or more, got {start:g}")
    elif end <= start:
        row.problems.append(f"{given[1]} ({end:g}) must be above {given[0]} ({start:g})")
    elif given[0] == "start_frame" and not (start.is_integer() and end.is_integer()):
        row.problems.append(f"frames must be whole numbers, got {start:g} and {end:g}")
    elif not video.fault:
        return _range_in_video(
            row, start=start, end=end, column=given[1], video=video, numbering=numbering
        )
    return 0, 0


def _range_in_video(
    row: Row, *, start: float, end: float, column: str, video: _Video, numbering: Numbering
) -> tuple[int, int]:
    """Return the range in frames, after checking that the video has them."""
    first, past = int(start), int(end)
    if column == "end_seconds":
        first = seconds_to_frame(video.path, start, numbering=numbering)
        past = seconds_to_frame(video.path, end, numbering=numbering)
    if past > video.end_frame:
        row.problems.append(
            f"{column} {end:g} lies past the end of {video.path.name}, "
            + (
                f"which has {video.end_frame} frames"
                if video.images is None
                else f"whose last image is number {video.end_frame - 1}"
            )
        )
    elif first < video.first_frame:
        row.problems.append(
            f"start_frame {start:g} lies before the first image of {video.path.name}, number "
            f"{video.first_frame}"
        )
    elif past <= first:
        row.problems.append(f"no frame lies between {start:g} and {end:g} seconds")
    return first, past


def _score(row: Row, options: CsvOptions) -> float | None:
    score, low, high = row.number("score"), options.min_score, options.max_score
    if not row.cells["score"]:
        row.problems.append("score is empty")
    elif score is not None and not low <= score <= high:  # bounds are allowed
        row.problems.append(
            f"score {score:g} is out of range; datasets.csv allows {low:g} to {high:g}"
        )
    return score


def _difficulty(row: Row) -> float | None:
    difficulty = row.number("difficulty")
    if difficulty is not None and difficulty <= 0:
        row.problems.append(f"difficulty must be above 0, got {difficulty:g}")
    return difficulty if row.cells.get("difficulty") else 1.0


def _judge_scores(row: Row, options: CsvOptions) -> str:
    """Return the marks as the annotations table writes them; the last judges may be left out."""
    columns = judge_columns(row.cells)
    while columns and not row.cells[columns[-1]]:
        columns.pop()
    marks = {column: mark for column in columns if (mark := row.number(column)) is not None}
    missing = [column for column in columns if not row.cells[column]]
    if missing:
        row.problems.append(f"{', '.join(missing)} empty before the last judge given")
    elif len(marks) == len(columns):
        row.problems += _mark_faults(marks, options)
    return format_judge_scores(list(marks.values()))


def _mark_faults(marks: Mapping[str, float], options: CsvOptions) -> Iterator[str]:
    """Yield what is wrong with the marks of a row, by their columns.

    A mark lies between 0 and 100 or within the bounds of the score, whichever is wider. No judge's
    scale goes further, except for deductions, which a negative `min_score` allows.
    """
    low, high = min(0.0, options.min_score), max(_MAX_MARK, options.max_score)
    for column, mark in marks.items():
        if not low <= mark <= high:
            yield f"{column} {mark:g} is out of range; a mark lies within {low:g} to {high:g}"
    if marks and options.scoring_rule:
        try:
            scoring.scoring_rule(options.scoring_rule, num_judges=len(marks))
        except ScoringError as error:
            yield str(error)


def _split(row: Row) -> str:
    split = row.cells.get("split", "")
    if split not in OFFICIAL_SPLITS:
        row.problems.append(f"split must be 'train', 'test' or empty, got {split!r}")
    return split


def _raise_on_problems(rows: Sequence[Row], *, source: str) -> None:
    bad = [row for row in rows if row.problems]
    if not bad:
        return
    lines = [
        f"line {row.line} (sample_id {row.cells['sample_id']!r}): {'; '.join(row.problems)}"
        for row in bad
    ]
    raise AnnotationError(
        f"{source}: {len(bad)} of {len(rows)} row(s) are bad:\n"
        f"{first_lines(lines, limit=_MAX_ROWS_SHOWN)}\n"
        "Correct them and run the stage again; nothing was written. "
        "src/dae_aqa/datasets/csv/README.md describes the columns."
    )
