"""The MTL-AQA release as published, read into an annotations table and checked against itself.

Frame numbers there count from 1 and include the last one, as `ffmpeg -i 01.mp4 %06d.jpg` names the
frames: frames S … E become the half-open range [S - 1, E) here.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dae_aqa.datasets.mtl_aqa.layout import (
    DICTIONARY,
    SPLITS,
    Key,
    dictionary_file,
    sample_id,
    video_id,
)
from dae_aqa.datasets.mtl_aqa.marks import marks_of_dictionary, read_marks
from dae_aqa.datasets.rule_check import rule_notes
from dae_aqa.datasets.safe_pickle import load_plain_pickle
from dae_aqa.errors import AnnotationError
from dae_aqa.tables.annotations import check_annotations, format_judge_scores
from dae_aqa.tables.dataset import Note
from dae_aqa.wording import first_few, shown

_FIELDS = (
    "start_frame",
    "end_frame",
    "difficulty",
    "final_score",
    "position",
    "armstand",
    "rotation_type",
    "ss_no",
    "tw_no",
)
# The release's codes, told by its workbooks: position free, pike, tuck; rotation back, forward,
# inward, reverse. Letters and group digits as in the World Aquatics table of dives.
_POSITION_LETTERS = {0: "D", 1: "B", 2: "C"}
_GROUP_DIGITS = {0: 2, 1: 1, 2: 4, 3: 3}

logger = logging.getLogger(__name__)


def read_release(*, release_dir: Path, scoring_rule: str) -> tuple[pd.DataFrame, list[Note]]:
    """Read the release in `release_dir` into an annotations table.

    The dictionary is joined with the judges' marks of the workbooks; where the two disagree, the
    dictionary is kept and a note says so. Final scores are the official ones even where the
    scoring rule gives another value.

    Args:
        release_dir: folder of the release, or of its pickles alone (`layout.INFO`), whose
            dictionary then holds the marks.
        scoring_rule: name in `scoring.SCORING_RULES` for the check of the final scores.

    Returns:
        The annotations table, ordered by `sample_id`, and a note on each oddity, in the order of
        the samples too.

    Raises:
        AnnotationError: a file is missing or damaged, or the split does not fit the dictionary.
    """
    dictionary = dictionary_file(release_dir)
    dives = _read_dictionary(dictionary)
    splits = _read_splits(dictionary.parent, dives)
    if dictionary == release_dir / DICTIONARY:
        marks, notes = read_marks(release_dir=release_dir, dives=dives, scoring_rule=scoring_rule)
    else:
        marks, notes = marks_of_dictionary(
            dives, file_name=dictionary.name, scoring_rule=scoring_rule
        )
        notes += _dive_number_notes(dives)
    rows = [
        {
            "sample_id": sample_id(key),
            "video_id": video_id(key[0]),
            "start_frame": dive["start_frame"] - 1,
            "end_frame": dive["end_frame"],
            "final_score": float(dive["final_score"]),
            "difficulty": float(dive["difficulty"]),
            "judge_scores": format_judge_scores(marks.get(key, ())),
            "action_class": dive_code(dive),
            "split": splits[key],
        }
        for key, dive in sorted(dives.items())
    ]
    annotations = check_annotations(pd.DataFrame(rows), source=str(release_dir))
    notes += rule_notes(annotations, rule=scoring_rule)
    _log(annotations, notes)
    return annotations, sorted(notes)


def read_video_numbers(*, release_dir: Path) -> list[int]:
    """Return the numbers of the broadcasts that the release's dictionary names, in order.

    Raises:
        AnnotationError: the dictionary is missing or damaged.
    """
    return sorted({key[0] for key in _read_dictionary(release_dir / DICTIONARY)})


def dive_code(dive: Mapping[str, float]) -> str:
    """Return the dive's number in the World Aquatics table of dives, e.g. `'407C'`.

    Group (1 forward, 2 back, 3 reverse, 4 inward), 0, half somersaults; with twists 5, group, half
    somersaults, half twists; from an armstand 6, group, half somersaults and half twists, if any;
    then the position: B pike, C tuck, D free.

    Source: World Aquatics Competition Regulations, part Diving, designation of dives.
    """
    group = _GROUP_DIGITS[int(dive["rotation_type"])]
    somersaults, twists = int(dive["ss_no"]), int(dive["tw_no"])
    if dive["armstand"]:
        number = f"6{group}{somersaults}{twists or ''}"
    elif twists:
        number = f"5{group}{somersaults}{twists}"
    else:
        number = f"{group}0{somersaults}"
    return number + _POSITION_LETTERS[int(dive["position"])]


def _read_dictionary(path: Path) -> dict[Key, Mapping[str, float]]:
    """Return the ready-to-use dictionary, after checking every entry."""
    content = load_plain_pickle(path)
    if not isinstance(content, dict) or not content:
        raise AnnotationError(f"{path}: expected a dictionary of dives, got {shown(content)}.")
    for key, dive in content.items():
        fault = _key_fault(key) or _dive_fault(dive)
        if fault:
            raise AnnotationError(
                f"{path}: entry {key!r}: {fault}. "
                "Fetch the release again from where it is published."
            )
    return content


def _key_fault(key: object) -> str:
    if isinstance(key, tuple) and len(key) == 2 and all(type(number) is int for number in key):
        return "" if min(key) > 0 else "video and dive number must be above 0"
    return f"expected a key (video number, dive number), got {shown(key)}"


def _dive_fault(dive: object) -> str:
    if not isinstance(dive, dict):
        return f"expected a dictionary, got {shown(dive)}"
    for field in _FIELDS:
        if type(dive.get(field)) not in (int, float):
            return f"expected a number in {field!r}, got {shown(dive.get(field))}"
    start, end = dive["start_frame"], dive["end_frame"]
    if not (1 <= start <= end and isinstance(start, int) and isinstance(end, int)):
        return f"expected whole 1 <= start_frame <= end_frame, got {start}, {end}"
    if dive["position"] not in _POSITION_LETTERS or dive["rotation_type"] not in _GROUP_DIGITS:
        return f"unknown position {dive['position']} or rotation_type {dive['rotation_type']}"
    return ""


def _dive_number_notes(dives: Mapping[Key, Mapping[str, Any]]) -> list[Note]:
    """Return a note for each dive whose `dive_number`, if any, is not what its codes tell."""
    return [
        Note(
            sample_id(key),
            "dive_number_differs",
            f"dive_number {shown(dive['dive_number'])}, but its codes mean {dive_code(dive)}; "
            "the latter is kept",
        )
        for key, dive in sorted(dives.items())
        if "dive_number" in dive and dive["dive_number"] != dive_code(dive)
    ]


def _read_splits(folder: Path, dives: Mapping[Key, object]) -> dict[Key, str]:
    """Return 'train' or 'test' for every dive of the dictionary."""
    splits: dict[Key, str] = {}
    for name, file in SPLITS.items():
        path = folder / Path(file).name
        keys = load_plain_pickle(path)
        if not isinstance(keys, list):
            raise AnnotationError(f"{path}: expected a list of sample keys, got {shown(keys)}.")
        for key in keys:
            if _key_fault(key) or key not in dives:
                raise AnnotationError(f"{path}: {shown(key)} is not a dive of {DICTIONARY}.")
            if key in splits:
                raise AnnotationError(f"{path}: {key} is listed twice; splits may not overlap.")
            splits[key] = name
    unlisted = sorted(key for key in dives if key not in splits)
    if unlisted:
        raise AnnotationError(
            f"{folder}: {len(unlisted)} dive(s) of {DICTIONARY} are in neither split: "
            f"{first_few(unlisted, limit=20)}."
        )
    return splits


def _log(annotations: pd.DataFrame, notes: Sequence[Note]) -> None:
    splits = Counter(annotations["split"])
    kinds = Counter(note.kind for note in notes)
    logger.info(
        "MTL-AQA: %d samples (%d train, %d test); notes: %s",
        len(annotations),
        splits["train"],
        splits["test"],
        ", ".join(f"{kind} {kinds[kind]}" for kind in sorted(kinds)) or "none",
    )
