"""The four pickles of FineDiving, read and checked against each other.

`fine-grained_annotation_aqa.pkl` has for each dive, named (event, n): dive number, score,
difficulty, frames of transition, and a label for each frame. `FineDiving_coarse_annotation.pkl` has
the marks that count. `train_split.pkl` and `test_split.pkl` list the dives of the official split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dae_aqa.datasets.safe_pickle import load_plain_pickle
from dae_aqa.datasets.split_lists import splits_of
from dae_aqa.errors import AnnotationError
from dae_aqa.tables.dataset import Note
from dae_aqa.wording import problem_list, shown

FINE, COARSE = "fine-grained_annotation_aqa.pkl", "FineDiving_coarse_annotation.pkl"
SPLITS = {"train": "train_split.pkl", "test": "test_split.pkl"}
_MAX_MARK = 10.0
_COARSE_FIELDS = {"action_type": str, "dive_score": float, "difficulty": float}

Key = tuple[str, int]  # (event, number within it), the release's own key of a dive


@dataclass(frozen=True, kw_only=True)
class Dive:
    """A dive as the release says.

    Attributes:
        event: such as `01`, which is a broadcast of MTL-AQA, or a name.
        number: within the event.
        split: `train` or `test`.
        dive_number: in the World Aquatics table of dives, such as `407c`.
        final_score: official score.
        difficulty: degree of difficulty.
        marks: those that count, or all seven; `()` where one cannot be right.
        num_labels: frames that are labelled.
    """

    event: str
    number: int
    split: str
    dive_number: str
    final_score: float
    difficulty: float
    marks: tuple[float, ...]
    num_labels: int

    @property
    def sample_id(self) -> str:
        """The name of the sample, such as `01_003`, which is that of MTL-AQA where it has it."""
        return f"{self.event}_{self.number:03d}"


def release_files(folder: Path) -> dict[str, Path]:
    """Return the four files in `folder`, at any depth, by name; missing ones are left out."""
    names = (FINE, COARSE, *SPLITS.values())
    found = {name: sorted(folder.rglob(name)) for name in names}
    return {name: paths[0] for name, paths in found.items() if paths}


def read_release(folder: Path) -> tuple[list[Dive], list[Note]]:
    """Return the dives by sample, and notes on what does not agree.

    Score, difficulty and dive number are those of the fine-grained file, which published loaders
    read.

    Raises:
        AnnotationError: files are missing or damaged, or the split does not hold each dive once.
            All faults are named.
    """
    files = release_files(folder)
    faults = [
        f"no {name} in {folder}" for name in (FINE, COARSE, *SPLITS.values()) if name not in files
    ]
    contents: dict[str, Any] = {}
    for name, path in files.items():
        try:
            contents[name] = load_plain_pickle(path)
        except AnnotationError as error:
            faults.append(str(error))
    fine = _entries(contents.get(FINE), FINE, _fault_of_fine, faults)
    coarse = _entries(contents.get(COARSE), COARSE, _fault_of_coarse, faults)
    splits = _splits(contents, fine, faults) if not faults else {}
    faults += [f"{COARSE} lacks {key}" for key in sorted(fine.keys() - coarse.keys())]
    if faults:
        raise AnnotationError(
            f"FineDiving: {problem_list(faults)}\n"
            "Fetch these files again from where they are published; "
            "src/dae_aqa/datasets/finediving/README.md describes them."
        )
    notes: list[Note] = []
    dives = []
    for key in sorted(splits):
        (event, number), (dive_number, score, difficulty, _, labels) = key, fine[key]
        marks = tuple(float(mark) for mark in coarse[key]["judge_scores"])
        is_typed_wrong = not all(0 <= mark <= _MAX_MARK for mark in marks)
        dive = Dive(
            event=event,
            number=number,
            split=splits[key],
            dive_number=dive_number,
            final_score=float(score),
            difficulty=float(difficulty),
            marks=() if is_typed_wrong else marks,
            num_labels=len(labels),
        )
        dives.append(dive)
        if is_typed_wrong:
            detail = f"{COARSE}: expected marks from 0 to {_MAX_MARK:g}, got {list(marks)}"
            notes.append(Note(dive.sample_id, "no_marks", detail))
        notes += _disagreements(dive, coarse[key])
    return dives, notes


def _entries(content: object, name: str, fault_of: Any, faults: list[str]) -> dict[Key, Any]:
    """Return the sound entries of a dictionary of dives; the others are added to `faults`."""
    if content is None:
        return {}
    if not isinstance(content, dict) or not content:
        faults.append(f"{name}: expected a dictionary of dives, got {shown(content)}")
        return {}
    entries = {}
    for key, entry in content.items():
        fault = _fault_of_key(key) or fault_of(entry)
        if fault:
            faults.append(f"{name}, {shown(key)}: {fault}")
        else:
            entries[key] = entry
    return entries


def _fault_of_key(key: object) -> str:
    is_key = isinstance(key, tuple) and [type(each) for each in key] == [str, int]
    return "" if is_key else "expected a key (event, number)"


def _fault_of_fine(entry: object) -> str:
    if not isinstance(entry, list | tuple) or len(entry) != 5:
        return f"expected a list of five, got {shown(entry)}"
    dive_number, score, difficulty, _, labels = entry
    if not isinstance(dive_number, str):
        return f"expected a dive number, got {shown(dive_number)}"
    if not _is_number(score) or score < 0:
        return f"expected a score of 0 or more, got {shown(score)}"
    if not _is_number(difficulty) or difficulty <= 0:
        return f"expected a difficulty above 0, got {shown(difficulty)}"
    return "" if isinstance(labels, list) else f"expected labels, got {shown(labels)}"


def _fault_of_coarse(entry: object) -> str:
    if not isinstance(entry, dict):
        return f"expected a dictionary, got {shown(entry)}"
    marks = entry.get("judge_scores")
    if not isinstance(marks, list) or not marks or not all(map(_is_number, marks)):
        return f"expected marks in 'judge_scores', got {shown(marks)}"
    for field, kind in _COARSE_FIELDS.items():
        value = entry.get(field)
        if not (isinstance(value, str) if kind is str else _is_number(value)):
            return f"expected {'text' if kind is str else 'a number'} in {field!r}, got {value!r}"
    return ""


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _splits(
    contents: Mapping[str, Any], fine: Mapping[Key, Any], faults: list[str]
) -> dict[Key, str]:
    """Return the split of each dive; what is wrong with the lists is added to `faults`."""
    lists = {split: (name, contents[name]) for split, name in SPLITS.items()}
    splits = splits_of(lists, fine, dictionary=FINE, fault_of_key=_fault_of_key, faults=faults)
    faults += [f"{key} is in neither split" for key in sorted(fine.keys() - splits.keys())]
    return splits


def _disagreements(dive: Dive, coarse: Mapping[str, Any]) -> Iterator[Note]:
    """Yield a note for each value in which the two files differ."""
    ours = {
        "action_type": dive.dive_number,
        "dive_score": dive.final_score,
        "difficulty": dive.difficulty,
    }
    for field, value in ours.items():
        if coarse[field] != value:
            detail = f"{FINE} has {value!r}, {COARSE} {coarse[field]!r}; the former is kept"
            yield Note(dive.sample_id, f"{field}_differs", detail)
