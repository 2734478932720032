"""The two lists of AQA-7's split 4: class, sample and score of each row."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dae_aqa.errors import AnnotationError
from dae_aqa.wording import problem_list

SPLITS = ("train", "test")
NUM_FRAMES = 103  # of each performance. Source: CoRe (Yu et al. 2021), released code
# Lowest and highest score of each class over training and test samples, by its number from 1.
# Source: CoRe (Yu et al. 2021), released code, utils/misc.py.
RANGES: Mapping[str, tuple[float, float]] = {
    "diving": (21.6, 102.6),
    "gym_vault": (12.3, 16.87),
    "ski_big_air": (8.0, 50.0),
    "snowboard_big_air": (8.0, 50.0),
    "sync_diving_3m": (46.2, 104.88),
    "sync_diving_10m": (49.8, 99.36),
}
CLASSES = tuple(RANGES)
_SLACK = 1e-6  # of a score: 1,667 hundredths are kept as 1,667.0000000000002


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A row of the lists.

    Attributes:
        sport: one of `CLASSES`.
        number: of the sample within its class, from 1.
        split: `train` or `test`.
        score: in points, as the judges gave it.
    """

    sport: str
    number: int
    split: str
    score: float

    @property
    def sample_id(self) -> str:
        """The name of the sample, such as `diving_001`."""
        return f"{self.sport}_{self.number:03d}"


def normalized(score: float, *, sport: str) -> float:
    """Return `score` scaled to 0 … 100 by the published range of its class.

    Example: a vault of 14.585 points gives (14.585 − 12.3) / (16.87 − 12.3) · 100 = 50.
    Source: CoRe (Yu et al. 2021), released code, utils/misc.py.
    """
    low, high = RANGES[sport]
    return (score - low) / (high - low) * 100


def list_files(folder: Path) -> dict[str, Path]:
    """Return the list of each split in `folder`, at any depth; those that are missing are left out.

    Of `split_4_train_list.mat` and `consolidated_train_list.mat` the former is taken.
    """
    files = {}
    for split in SPLITS:
        for name in (f"split_4_{split}_list.mat", f"consolidated_{split}_list.mat"):
            places = sorted(folder.rglob(name))
            if places and split not in files:
                files[split] = places[0]
    return files


def read_lists(folder: Path) -> tuple[list[Scored], bool]:
    """Return the rows of both lists, by sample, and whether the files hold hundredths of points.

    Some copies hold scores × 100. The reading under which more scores lie in the range of their
    class is taken.

    Raises:
        AnnotationError: a list is missing or damaged, or rows name no class, no sample, a sample
            that is listed already, or a score outside the range of its class. All are named.
    """
    files = list_files(folder)
    problems = [
        f"no split_4_{split}_list.mat and no consolidated_{split}_list.mat in {folder}"
        for split in SPLITS
        if split not in files
    ]
    rows: list[Scored] = []
    for split, path in files.items():
        try:
            table = _read_table(path)
        except AnnotationError as error:
            problems.append(str(error))
            continue
        for row, (sport, number, score) in enumerate(table.tolist(), start=1):
            fault = _fault_of_row(sport, number, score)
            if fault:
                problems.append(f"{path}, row {row}: {fault}")
            else:
                name = CLASSES[int(sport) - 1]
                rows.append(Scored(sport=name, number=int(number), split=split, score=score))
    problems += _repeated(rows)
    hundredths = sum(map(_in_range, _in_points(rows))) > sum(map(_in_range, rows))
    scored = _in_points(rows) if hundredths else rows
    problems += [
        f"{row.sample_id}, {row.split}: score {row.score:g} is not in the range of its class, "
        f"{RANGES[row.sport][0]:g} to {RANGES[row.sport][1]:g}"
        for row in scored
        if not _in_range(row)
    ]
    if problems:
        raise AnnotationError(
            f"AQA-7: {problem_list(problems)}\n"
            "Fetch the lists of split 4 again from where they are published; "
            "src/dae_aqa/datasets/aqa7/README.md describes them."
        )
    return sorted(scored, key=lambda row: row.sample_id), hundredths


def _read_table(path: Path) -> npt.NDArray[np.float64]:
    """Return the rows of a list, (N, 3): class, sample, score."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    advice = "Fetch it again from where it is published"
    try:
        content = loadmat(path)
    except (
        OSError,
        MatReadError,
        NotImplementedError,
        LookupError,
        TypeError,
        ValueError,
        zlib.error,
    ) as error:
        raise AnnotationError(f"{path}: no readable .mat file ({error}). {advice}") from error
    tables = [value for name, value in content.items() if not name.startswith("__")]
    if len(tables) != 1 or tables[0].dtype.kind not in "fiu" or tables[0].shape[1:] != (3,):
        raise AnnotationError(
            f"{path}: expected one array of rows (class, sample, score), got "
            f"{', '.join(f'{value.dtype} {value.shape}' for value in tables) or 'none'}. {advice}"
        )
    return np.asarray(tables[0], dtype=np.float64)


def _fault_of_row(sport: float, number: float, score: float) -> str:
    if sport not in range(1, len(CLASSES) + 1):
        return f"class {sport:g}; expected 1 to {len(CLASSES)}"
    if not (number >= 1 and float(number).is_integer()):
        return f"sample {number:g}; expected a whole number from 1"
    if not np.isfinite(score):
        return f"score {score:g}; expected a number"
    return ""


def _repeated(rows: Iterable[Scored]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for row in rows:
        if row.sample_id in seen:
            both = {row.split, seen[row.sample_id]}
            where = "in both splits" if len(both) == 2 else f"listed twice in {row.split}"
            yield f"{row.sample_id} is {where}"
        seen[row.sample_id] = row.split


def _in_range(row: Scored) -> bool:
    low, high = RANGES[row.sport]
    return low - _SLACK <= row.score <= high + _SLACK


def _in_points(rows: Iterable[Scored]) -> list[Scored]:
    """Return rows of hundredths in points."""
    return [
        Scored(
            sport=row.sport,
            number=row.number,
            split=row.split,
            score=round(row.score / 100, 6),
        )
        for row in rows
    ]
