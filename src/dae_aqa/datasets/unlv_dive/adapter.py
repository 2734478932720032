"""UNLV-Dive as a part of MTL-AQA: the same dives and broadcasts, split 370_4."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dae_aqa.datasets.mtl_aqa.download import find_release, take_dives
from dae_aqa.datasets.mtl_aqa.layout import Key, sample_id
from dae_aqa.datasets.mtl_aqa.release import Dives, dive_table, read_dives, read_split_lists
from dae_aqa.datasets.options import DownloadOptions
from dae_aqa.datasets.unlv_dive.options import UnlvDiveOptions
from dae_aqa.running.places import user_path
from dae_aqa.tables.dataset import DatasetTables, Note

logger = logging.getLogger(__name__)

# The split names a dive that the dictionary lacks, since only cameras behind the diver show it.
# Source: MTL-AQA release, Raw_Annotations/01.xlsx, row 250: inward 3.5 somersaults, tuck.
_BACK_VIEW: Key = (1, 64)
_BACK_VIEW_ENTRY: Mapping[str, Any] = {
    "start_frame": 96180,
    "end_frame": 96259,
    "difficulty": 3.2,
    "final_score": 40.0,
    "position": 2,
    "armstand": 0,
    "rotation_type": 2,
    "ss_no": 7,
    "tw_no": 0,
}
_BACK_VIEW_MARKS = (4.0, 4.0, 4.0, 4.0, 4.5, 4.5, 4.5)


def load(
    options: UnlvDiveOptions, download: DownloadOptions, videos_dir: Path, cache_dir: Path
) -> DatasetTables:
    """Bring the frames or the broadcasts of the 370 dives to `videos_dir`; return the tables.

    Args:
        options: where annotations, split, and frames or broadcasts come from.
        download: how they are fetched, and whether some may be missing.
        videos_dir: folder of the videos, an output of the pipeline.
        cache_dir: what was downloaded is kept here; no output of the pipeline.

    Raises:
        AnnotationError: annotations or split are damaged or not there.
        DownloadError: frames or broadcasts are missing, and may not be; all of them are named.
    """
    release_dir = find_release(
        options,
        dataset="unlv_dive",
        cache_dir=cache_dir,
        download=download,
        others=[user_path(options.splits_dir)],
    )
    dives = _with_back_view(read_dives(release_dir=release_dir, scoring_rule=options.scoring_rule))
    splits = read_split_lists(split_files(options), dives.entries)
    annotations, notes = dive_table(dives, splits, scoring_rule=options.scoring_rule)
    counts = annotations["split"].value_counts()
    logger.info("UNLV-Dive: %d training and %d test dives", counts["train"], counts["test"])
    return take_dives(
        annotations,
        notes,
        dataset="unlv_dive",
        release_dir=release_dir,
        options=options,
        download=download,
        videos_dir=videos_dir,
        cache_dir=cache_dir,
    )


def split_files(options: UnlvDiveOptions) -> dict[str, Path]:
    """Return the lists of the split by its names."""
    folder = user_path(options.splits_dir)
    return {name: folder / f"{name}_split_370_4.pkl" for name in ("train", "test")}


def _with_back_view(dives: Dives) -> Dives:
    """Return the dives with the one that the dictionary lacks."""
    if _BACK_VIEW in dives.entries:
        return dives
    note = Note(
        sample_id(_BACK_VIEW),
        "not_in_dictionary",
        f"{dives.source.name} lacks it; frames, score and marks are those of 01.xlsx, row 250, "
        "which shows it from behind",
    )
    return replace(
        dives,
        entries={**dives.entries, _BACK_VIEW: _BACK_VIEW_ENTRY},
        marks={**dives.marks, _BACK_VIEW: _BACK_VIEW_MARKS},
        notes=[*(n for n in dives.notes if n.sample_id != note.sample_id), note],
    )
