"""The MTL-AQA release as published, read into an annotations table and checked against itself.

Frame numbers there count from 1 and include the last one, as `ffmpeg -i 01.mp4 %06d.jpg` names the
frames: frames S … E become the half-open range [S - 1, E) here.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dae_aqa.datasets.mtl_aqa.layout import (
    DICTIONARY,
    SPLITS,
    Key,
    dictionary_file,
    info_file,
    sample_id,
    video_id,
)
from dae_aqa.datasets.mtl_aqa.marks import marks_of_dictionary, read_marks
from dae_aqa.datasets.rule_check import rule_notes
from dae_aqa.datasets.safe_pickle import load_plain_pickle
from dae_aqa.datasets.split_lists import splits_of
from dae_aqa.errors import AnnotationError
from dae_aqa.tables.annotations import check_annotations, format_judge_scores
from dae_aqa.tables.dataset import Note
from dae_aqa.wording import first_few, problem_list, shown

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


@dataclass(frozen=True, kw_only=True)
class Dives:
    """What a release says of the dives, before they are split.

    Attributes:
        entries: its dictionary.
        marks: judges' marks by dive, in judge order, `()` where one cannot be read.
        notes: what is odd.
        source: the dictionary's file.
    """

    entries: Mapping[Key, Mapping[str, Any]]
    marks: Mapping[Key, tuple[float, ...]]
    notes: list[Note]
    source: Path


def read_release(
    *, release_dir: Path, scoring_rule: str, beside: Sequence[Path] = ()
) -> tuple[pd.DataFrame, list[Note]]:
    """Read the release in `release_dir` into an annotations table, with its official split.

    Args:
        release_dir: as in `read_dives`.
        scoring_rule: as in `read_dives`.
        beside: as in `read_dives`.

    Returns:
        The annotations table, ordered by `sample_id`, and a note on each oddity, in the order of
        the samples too.

    Raises:
        AnnotationError: a file is missing or damaged, or the split does not fit the dictionary.
    """
    dives = read_dives(release_dir=release_dir, scoring_rule=scoring_rule, beside=beside)
    splits = _read_splits(dives.source.parent, dives.entries)
    annotations, notes = dive_table(dives, splits, scoring_rule=scoring_rule)
    _log(annotations, notes)
    return annotations, notes


def read_dives(*, release_dir: Path, scoring_rule: str, beside: Sequence[Path] = ()) -> Dives:
    """Read the dictionary of a release and join it with the judges' marks.

    Where dictionary and workbooks disagree, the dictionary is kept and a note says so. The same
    holds for the dictionaries of released code that are at hand too (`layout.INFO`).

    Args:
        release_dir: folder of the release, or of its pickles alone (`layout.INFO`), whose
            dictionary then holds the marks.
        scoring_rule: name in `scoring.SCORING_RULES` for the check of mended marks.
        beside: folders that may hold a dictionary of released code.

    Raises:
        AnnotationError: a file is missing or damaged.
    """
    dictionary = dictionary_file(release_dir)
    entries = read_dictionary(dictionary)
    if dictionary == release_dir / DICTIONARY:
        marks, notes = read_marks(release_dir=release_dir, dives=entries, scoring_rule=scoring_rule)
    else:
        marks, notes = marks_of_dictionary(
            entries, file_name=dictionary.name, scoring_rule=scoring_rule
        )
        notes += _dive_number_notes(entries)
    dives = Dives(entries=entries, marks=marks, notes=notes, source=dictionary)
    for folder in (release_dir, *beside):
        info = info_file(folder)
        if info is not None and info != dictionary:
            notes.extend(info_notes(dives, info))
    return dives


def dive_table(
    dives: Dives, splits: Mapping[Key, str], *, scoring_rule: str
) -> tuple[pd.DataFrame, list[Note]]:
    """Return the annotations table of the dives in `splits`, and the notes on them, both ordered.

    Final scores are the official ones even where the scoring rule gives another value.

    Raises:
        AnnotationError: a value does not fit the table.
    """
    rows = [
        {
            "sample_id": sample_id(key),
            "video_id": video_id(key[0]),
            "start_frame": dives.entries[key]["start_frame"] - 1,
            "end_frame": dives.entries[key]["end_frame"],
            "final_score": float(dives.entries[key]["final_score"]),
            "difficulty": float(dives.entries[key]["difficulty"]),
            "judge_scores": format_judge_scores(dives.marks.get(key, ())),
            "action_class": dive_code(dives.entries[key]),
            "split": splits[key],
        }
        for key in sorted(splits)
    ]
    annotations = check_annotations(pd.DataFrame(rows), source=str(dives.source.parent))
    left_out = {sample_id(key) for key in dives.entries if key not in splits}
    notes = [note for note in dives.notes if note.sample_id not in left_out]
    return annotations, sorted([*notes, *rule_notes(annotations, rule=scoring_rule)])


def info_notes(dives: Dives, info: Path) -> Iterator[Note]:
    """Yield a note for each dive of which the dictionary `info` says something else than `dives`.

    Raises:
        AnnotationError: `info` is damaged.
    """
    entries = read_dictionary(info)
    marks, _ = marks_of_dictionary(entries, file_name=info.name, scoring_rule="diving")
    for key in sorted(dives.entries.keys() | entries.keys()):
        ours, theirs = dives.entries.get(key), entries.get(key)
        if ours is None or theirs is None:
            lacking = dives.source if ours is None else info
            yield Note(sample_id(key), "info_differs", f"{lacking.name} lacks it")
            continue
        differing = [field for field in _FIELDS if ours[field] != theirs[field]]
        if key in marks and marks[key] != dives.marks.get(key):
            differing.append("judge_scores")
        if differing:
            detail = f"{info.name} has another {', '.join(differing)}; {dives.source.name} is kept"
            yield Note(sample_id(key), "info_differs", detail)


def read_video_numbers(*, release_dir: Path) -> list[int]:
    """Return the numbers of the broadcasts that the release's dictionary names, in order.

    Raises:
        AnnotationError: the dictionary is missing or damaged.
    """
    return sorted({key[0] for key in read_dictionary(release_dir / DICTIONARY)})


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


def read_dictionary(path: Path) -> dict[Key, Mapping[str, Any]]:
    """Return a dictionary of dives, after checking every entry.

    Raises:
        AnnotationError: the file is missing or damaged, or entries are; all of them are named.
    """
    content = load_plain_pickle(path)
    if not isinstance(content, dict) or not content:
        raise AnnotationError(f"{path}: expected a dictionary of dives, got {shown(content)}.")
    faults = [
        f"entry {key!r}: {fault}"
        for key, dive in content.items()
        if (fault := _key_fault(key) or _dive_fault(dive))
    ]
    if faults:
        raise AnnotationError(
            f"{path}: {problem_list(faults)}\nFetch the release again from where it is published."
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
    splits = read_split_lists(
        {name: folder / Path(file).name for name, file in SPLITS.items()}, dives
    )
    unlisted = sorted(key for key in dives if key not in splits)
    if unlisted:
        raise AnnotationError(
            f"{folder}: {len(unlisted)} dive(s) of {DICTIONARY} are in neither split: "
            f"{first_few(unlisted, limit=20)}."
        )
    return splits


def read_split_lists(files: Mapping[str, Path], dives: Mapping[Key, object]) -> dict[Key, str]:
    """Return which of the lists `files`, by the name of the split, holds each dive.

    Raises:
        AnnotationError: a file is missing or no list, or lists name an unknown dive or one twice.
            All faults are named.
    """
    faults: list[str] = []
    splits = splits_of(
        {name: (str(path), load_plain_pickle(path)) for name, path in files.items()},
        dives,
        dictionary="the dictionary",
        fault_of_key=_key_fault,
        faults=faults,
    )
    if faults:
        raise AnnotationError(problem_list(faults))
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
