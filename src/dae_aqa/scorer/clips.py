"""Which clips are meant: a video, a folder of them, or a table with a row for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from dae_aqa.errors import ScoreInputError
from dae_aqa.scorer.scorer import Clip
from dae_aqa.scorer.window import Stretch
from dae_aqa.video.probe import VIDEO_SUFFIXES
from dae_aqa.wording import did_you_mean, problem_list

# of a table; `video` alone must be there
COLUMNS = (
    "video",  # a file; relative to the table
    "name",  # of the clip, for the answers
    "start_seconds",
    "end_seconds",
    "start_frame",
    "end_frame",
    "last_frames",
    "difficulty",
    "action_class",
)
_WHOLE = ("start_frame", "end_frame", "last_frames")
_NUMBERS = ("start_seconds", "end_seconds", *_WHOLE, "difficulty")
_STRETCH = ("start_seconds", "end_seconds", *_WHOLE)


def find_clips(places: Sequence[Path], *, like: Clip) -> list[Clip]:
    """Return the clips that `places` mean, in order.

    Args:
        places: videos, folders (the videos right in them, by name) and tables (CSV, see `COLUMNS`).
        like: stretch and difficulty of clips that say nothing of their own; its video is not used.

    Raises:
        ScoreInputError: a folder holds no video, or a table is none; all bad rows are named.
    """
    return [clip for place in places for clip in _of_place(place, like)]


def _of_place(place: Path, like: Clip) -> Iterator[Clip]:
    if place.is_dir():
        videos = sorted(each for each in place.iterdir() if each.suffix.lower() in VIDEO_SUFFIXES)
        if not videos:
            raise ScoreInputError(
                f"{place}: no video in this folder; expected files ending in "
                f"{', '.join(VIDEO_SUFFIXES[:6])} …"
            )
        yield from (replace(like, video=video) for video in videos)
    elif place.suffix.lower() == ".csv":
        yield from _of_table(place, like)
    else:
        yield replace(like, video=place)


def _of_table(path: Path, like: Clip) -> list[Clip]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (OSError, ValueError) as error:
        raise ScoreInputError(f"{path}: not a readable CSV table ({error}).") from error
    unknown = [str(name) for name in table.columns if name not in COLUMNS]
    if "video" not in table.columns or unknown:
        hints = [f"{name!r}{did_you_mean(name, COLUMNS)}" for name in unknown]
        raise ScoreInputError(
            f"{path}: a table of clips needs the column video and may have "
            f"{', '.join(COLUMNS[1:])}; unknown: {', '.join(hints) or 'none'}."
        )
    clips, problems = [], []
    for line, row in enumerate(table.to_dict(orient="records"), start=2):
        try:
            texts = {str(key): str(value).strip() for key, value in row.items()}
            clips.append(_clip(texts, path, like))
        except ScoreInputError as error:
            problems.append(f"line {line}: {error}")
    if problems:
        raise ScoreInputError(f"{path}: {problem_list(problems)}")
    if not clips:
        raise ScoreInputError(f"{path}: the table has no rows.")
    return clips


def _clip(row: dict[str, str], table: Path, like: Clip) -> Clip:
    """Return the clip of a row; what it leaves empty is that of `like`."""
    if not row["video"]:
        raise ScoreInputError("video is empty.")
    numbers = {key: _number(key, row[key]) for key in _NUMBERS if row.get(key)}
    own = {key: value for key, value in numbers.items() if key in _STRETCH}
    difficulty = numbers.get("difficulty", like.difficulty)
    return Clip(
        video=table.parent / row["video"],
        stretch=Stretch(**own) if own else like.stretch,  # type: ignore[arg-type]  # whole where due
        difficulty=difficulty,
        action_class=row.get("action_class") or like.action_class,
        name=row.get("name", ""),
    )


def _number(key: str, text: str) -> float | int:
    try:
        return int(text) if key in _WHOLE else float(text)
    except ValueError as error:
        kind = "a whole number" if key in _WHOLE else "a number"
        raise ScoreInputError(f"{key} must be {kind}, got {text!r}.") from error
