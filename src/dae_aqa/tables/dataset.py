"""What every dataset adapter hands back: tables that the download stage writes as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

NOTE_COLUMNS = ("sample_id", "kind", "detail")
MISSING_COLUMNS = ("video_id", "num_samples", "address", "reason")


class Note(NamedTuple):
    """Something about one sample that a reader of the results should know."""

    sample_id: str
    kind: str  # one word for counting, e.g. 'score_differs_from_rule'
    detail: str


class MissingVideo(NamedTuple):
    """A video, or a performance's own folder of frames, that could not be had, and why."""

    video_id: str  # or the sample_id
    num_samples: int
    address: str  # empty where none is known
    reason: str


def notes_table(notes: Sequence[Note]) -> pd.DataFrame:
    """Return `notes` as a table, ordered by sample and kind."""
    return pd.DataFrame(sorted(notes), columns=list(NOTE_COLUMNS), dtype=str)


def missing_table(missing: Sequence[MissingVideo]) -> pd.DataFrame:
    """Return `missing` as a table, ordered by video."""
    table = pd.DataFrame(sorted(missing), columns=list(MISSING_COLUMNS))
    return table.astype({"num_samples": "int64"})


def no_truth() -> pd.DataFrame:
    """Return the truth table of a dataset that knows none."""
    return pd.DataFrame({"sample_id": pd.Series(dtype=str)})


@dataclass(frozen=True, kw_only=True)
class DatasetTables:
    """The tables of one dataset.

    Attributes:
        annotations: one row per sample, columns `dae_aqa.tables.annotations.COLUMNS`.
        truth: what only a simulator knows; column `sample_id` and any others, empty otherwise.
        notes: columns `NOTE_COLUMNS`; everything odd about a sample, excluded samples included.
        missing_videos: columns `MISSING_COLUMNS`; videos whose samples are not in `annotations`.
    """

    annotations: pd.DataFrame
    truth: pd.DataFrame = field(default_factory=no_truth)
    notes: pd.DataFrame = field(default_factory=lambda: notes_table([]))
    missing_videos: pd.DataFrame = field(default_factory=lambda: missing_table([]))
