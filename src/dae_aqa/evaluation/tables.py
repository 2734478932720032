"""The tables that an evaluation needs, as the stages before wrote them."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from dae_aqa.splits.make import part_names, rows_of_part, split_counts
from dae_aqa.tables.parts import Part
from dae_aqa.training.options import SPLITS_OF, Protocol


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
        protocol: which samples trained, and which chose the epoch.
    """

    annotations: pd.DataFrame
    splits: pd.DataFrame
    truth: pd.DataFrame
    notes: pd.DataFrame
    extraction_notes: pd.DataFrame
    excluded: pd.DataFrame
    missing_videos: pd.DataFrame
    history: pd.DataFrame
    protocol: Protocol = "honest"

    @property
    def has_published_parts(self) -> bool:
        """Whether the dataset itself says which samples each part tests."""
        annotations = self.annotations.set_index("sample_id")
        tested = self.splits[self.splits["split"] == "test"]
        own = annotations.loc[tested["sample_id"], ["fold", "split"]].reset_index(drop=True)
        fold = tested["part"].map(lambda name: Part.parse(name).fold).reset_index(drop=True)
        return bool(((own["fold"] == fold) & (own["fold"] != "")).all()) or bool(
            ((own["split"] == "test") & (fold == "")).all()
        )

    @property
    def sizes(self) -> dict[str, dict[str, int]]:
        """By part, the number of samples that were trained on, and that chose the epoch."""
        counts = {
            name: split_counts(rows_of_part(self.splits, name)) for name in part_names(self.splits)
        }
        train, val = SPLITS_OF[self.protocol]
        return {
            name: {
                "num_train": sum(of_part[split] for split in train),
                "num_val": sum(of_part[split] for split in val),
            }
            for name, of_part in counts.items()
        }

    @property
    def num_train(self) -> int:
        """The number of samples that were trained on, in the part with the fewest."""
        return min(size["num_train"] for size in self.sizes.values())

    @property
    def num_val(self) -> int:
        """The number of samples that validated, in the part with the fewest."""
        return min(size["num_val"] for size in self.sizes.values())


def rows_of(table: pd.DataFrame, sample_ids: list[str]) -> pd.DataFrame:
    """Return the rows of the samples, in their order."""
    return table.set_index("sample_id").loc[sample_ids].reset_index()
