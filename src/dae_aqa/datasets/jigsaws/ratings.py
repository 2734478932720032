"""The ratings of JIGSAWS and its published folds, as people hold them.

The official tree has a text for each task, `meta_file_Suturing.txt`: trial, self-proclaimed skill,
total of the rating, then the six elements. The distribution that papers compare on, MUSDL's, has
two pickles: `label.pkl`, the six elements of each trial, and `splits.pkl`, four lists of trials for
each task, of which each is tested once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dae_aqa.datasets.safe_pickle import load_plain_pickle
from dae_aqa.errors import AnnotationError
from dae_aqa.tables.dataset import Note
from dae_aqa.wording import problem_list, shown

TASKS = ("Suturing", "Needle_Passing", "Knot_Tying")
NUM_ELEMENTS = 6
_LOWEST, _HIGHEST = 1, 5  # of an element. Source: Gao et al. 2014, section 4
LABELS, SPLITS = "label.pkl", "splits.pkl"
_TRIAL = re.compile(rf"({'|'.join(TASKS)})_([A-Z])(\d{{3}})")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a trial's name says.

    Attributes:
        task: one of `TASKS`.
        surgeon: their letter.
        repetition: the super-trial, e.g. `1`; the same number of all surgeons makes a fold.
    """

    task: str
    surgeon: str
    repetition: str

    @classmethod
    def parse(cls, name: object) -> Trial | None:
        """Return the trial of that name, such as `Suturing_B001`; None where none is called so."""
        match = _TRIAL.fullmatch(name) if isinstance(name, str) else None
        if match is None:
            return None
        return cls(task=match[1], surgeon=match[2], repetition=str(int(match[3])))


@dataclass(frozen=True, kw_only=True)
class Ratings:
    """What the files say of the trials.

    Attributes:
        elements: the six elements of each trial, by its name.
        folds: the published fold that tests each trial, counted from 1; empty without `splits.pkl`.
        notes: where two files, or a total and its elements, disagree.
    """

    elements: Mapping[str, tuple[int, ...]]
    folds: Mapping[str, str]
    notes: list[Note]


@dataclass
class _Found:
    """What has been read so far, and all that is wrong with it."""

    elements: dict[str, tuple[int, ...]] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_ratings(*, meta_files: Mapping[str, Path], pickles: Mapping[str, Path]) -> Ratings:
    """Read the files of ratings and of folds, and check them against each other.

    Where a meta file and `label.pkl` disagree, the latter is kept, on which papers compare, and a
    note says so. A trial that `label.pkl` lacks keeps its rating of the meta file, with a note.

    Args:
        meta_files: `meta_file_<Task>.txt` by task; some or all may be missing.
        pickles: `label.pkl` and `splits.pkl` by their names; each may be missing.

    Raises:
        AnnotationError: there is no rating at all, files are damaged, or the folds do not hold each
            rated trial once. All faults are named.
    """
    found = _Found()
    for task, path in meta_files.items():
        _read_meta_file(path, task=task, found=found)
    if LABELS in pickles:
        _read_labels(pickles[LABELS], found=found)
    if not found.elements and not found.problems:
        found.problems.append("no rating of any trial")
    folds = _read_folds(pickles[SPLITS], found=found) if SPLITS in pickles else {}
    if found.problems:
        raise AnnotationError(
            f"JIGSAWS: {problem_list(found.problems)}\n"
            "Fetch these files again from where they are published; "
            "src/dae_aqa/datasets/jigsaws/README.md describes them."
        )
    return Ratings(elements=found.elements, folds=folds, notes=found.notes)


def _read_meta_file(path: Path, *, task: str, found: _Found) -> None:
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        cells = line.split()  # the published files have stray empty columns of tabs
        if not cells:
            continue
        name, numbers = cells[0], cells[2:]
        fault = _fault_of_name(name, task=task)
        if not fault and len(numbers) != 1 + NUM_ELEMENTS:
            fault = f"{name} has {len(numbers)} numbers, expected a total and {NUM_ELEMENTS}"
        values = [int(each) if each.isdecimal() else 0 for each in numbers]
        fault = fault or _fault_of_elements(name, values[1:])
        if not fault and name in found.elements:
            fault = f"{name} is listed twice"
        if fault:
            found.problems.append(f"{path}, line {number}: {fault}")
            continue
        total, *elements = values
        found.elements[name] = tuple(elements)
        if total != sum(elements):
            detail = f"{path.name}: total {total}, but its elements sum to {sum(elements)}"
            found.notes.append(Note(name, "total_differs", f"{detail}, which is kept"))


def _load(path: Path, *, found: _Found) -> object:
    """Return the content of a pickle, None where it is damaged, which is noted as a problem."""
    try:
        return load_plain_pickle(path)
    except AnnotationError as error:
        found.problems.append(str(error))
        return None


def _read_labels(path: Path, *, found: _Found) -> None:
    content = _load(path, found=found)
    if content is None:
        return
    if not isinstance(content, dict):
        found.problems.append(f"{path}: expected a dictionary of trials, got {shown(content)}")
        return
    for name in sorted(found.elements.keys() - content.keys()):
        detail = f"{path.name} lacks it; the rating of the meta file is taken"
        found.notes.append(Note(name, "only_in_meta_file", detail))
    for name, values in content.items():
        fault = _fault_of_name(name, task=None) or _fault_of_elements(name, values)
        if fault:
            found.problems.append(f"{path}: {fault}")
            continue
        elements = tuple(values)
        told = found.elements.get(name, elements)
        if told != elements:
            detail = f"meta file {list(told)}, {path.name} {list(elements)}; the latter is kept"
            found.notes.append(Note(name, "elements_differ", detail))
        found.elements[name] = elements


def _fault_of_name(name: object, *, task: str | None) -> str:
    trial = Trial.parse(name)
    if trial is None:
        return f"{shown(name)} is no name of a trial, such as Suturing_B001"
    if task is not None and trial.task != task:
        return f"{name} is a trial of another task than {task}"
    return ""


def _fault_of_elements(name: object, values: object) -> str:
    is_list = isinstance(values, list | tuple) and len(values) == NUM_ELEMENTS
    if not is_list or not all(
        type(value) is int and _LOWEST <= value <= _HIGHEST
        for value in values  # type: ignore[attr-defined]
    ):
        return (
            f"{name}: expected {NUM_ELEMENTS} elements from {_LOWEST} to {_HIGHEST}, "
            f"got {shown(values)}"
        )
    return ""


def _read_folds(path: Path, *, found: _Found) -> dict[str, str]:
    """Return the fold of each trial; a rated trial that is in none is a fault."""
    content = _load(path, found=found)
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(
        isinstance(lists, list) and all(isinstance(each, list) for each in lists)
        for lists in content.values()
    ):
        found.problems.append(f"{path}: expected lists of trials by task, got {shown(content)}")
        return {}
    folds: dict[str, str] = {}
    for task, lists in content.items():
        for number, names in enumerate(lists, start=1):
            for name in names:
                fault = _fault_in_fold(name, task=str(task), known=folds, found=found)
                if fault:
                    found.problems.append(f"{path}, {task}, fold {number}: {fault}")
                folds[str(name)] = str(number)
    lacking = sorted(name for name in found.elements if name not in folds)
    if lacking:
        found.problems.append(f"{path}: rated trials in no fold: {', '.join(lacking)}")
    return folds


def _fault_in_fold(name: object, *, task: str, known: Mapping[str, str], found: _Found) -> str:
    """Return why `name` may not stand in a fold of `task`, '' where it may."""
    fault = _fault_of_name(name, task=task)
    if fault:
        return fault
    if name not in found.elements:
        return f"{name} has no rating"
    if str(name) in known:
        return f"{name} is in fold {known[str(name)]} too"
    return ""
