"""The tables that an evaluation needs, as the stages before wrote them."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from dae_aqa.splits.make import split_counts


@dataclass(frozen=True, kw_only=True)
class EvaluationTables:
    """What the stages before evaluation know of the samples and of the training.

    Attributes:
        annotations: annotations table.
        splits: split table.
        truth: what a simulator knows of each sample; no row for a real dataset.
        notes: what the dataset's adapter noted, `dae_aqa.tables.dataset.NOTE_COLUMNS`.
        extraction_notes: what was noted while frames were extracted: `sample_id`, `video_id`,
            `note`.
        excluded: samples left out: `sample_id`, `reason` and further columns.
        missing_videos: videos that could not be had, `dae_aqa.tables.dataset.MISSING_COLUMNS`.
        history: learning curves, `dae_aqa.training.history.COLUMNS`; no row where nothing was
            trained.
    """

    annotations: pd.DataFrame
    splits: pd.DataFrame
    truth: pd.DataFrame
    notes: pd.DataFrame
    extraction_notes: pd.DataFrame
    excluded: pd.DataFrame
    missing_videos: pd.DataFrame
    history: pd.DataFrame

    @property
    def num_train(self) -> int:
        """The number of samples that were trained on."""
        return split_counts(self.splits)["train"]

    @property
    def num_val(self) -> int:
        """The number of samples that validated."""
        return split_counts(self.splits)["val"]
