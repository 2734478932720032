"""Samples whose videos could not be had: left out, and each noted."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from dae_aqa.tables.dataset import DatasetTables, MissingVideo, Note, missing_table, notes_table


def without_missing(
    annotations: pd.DataFrame, notes: Sequence[Note], missing: Sequence[MissingVideo]
) -> DatasetTables:
    """Return the tables without the samples of missing videos, each of which gets a note.

    A sample with a folder of frames of its own is missing under its own name.
    """
    reasons = {video.video_id: video.reason for video in missing}
    names = annotations["sample_id"].where(
        annotations["sample_id"].isin(list(reasons)), annotations["video_id"]
    )
    excluded = names.isin(list(reasons))
    exclusions = [
        Note(sample, "excluded_video_missing", f"video {name}: {reasons[name]}")
        for sample, name in zip(
            annotations.loc[excluded, "sample_id"], names[excluded], strict=True
        )
    ]
    return DatasetTables(
        annotations=annotations[~excluded].reset_index(drop=True),
        notes=notes_table([*notes, *exclusions]),
        missing_videos=missing_table(missing),
    )
