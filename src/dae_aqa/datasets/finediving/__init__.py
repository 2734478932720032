"""FineDiving: 3,000 dives of 30 events, held as frames, with the marks that count."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dae_aqa.datasets.base import Dataset
from dae_aqa.datasets.finediving.options import FineDivingOptions
from dae_aqa.datasets.finediving.references import CITATION, PUBLISHED
from dae_aqa.datasets.options import DownloadOptions

if TYPE_CHECKING:
    from dae_aqa.tables.dataset import DatasetTables


def _load(
    options: FineDivingOptions, download: DownloadOptions, videos_dir: Path, cache_dir: Path
) -> DatasetTables:
    from dae_aqa.datasets.finediving.adapter import load

    del cache_dir  # nothing is fetched
    return load(options, videos_dir, allow_missing=download.allow_missing)


def _own_files(options: FineDivingOptions) -> list[Path]:
    from dae_aqa.datasets.finediving.adapter import event_folders
    from dae_aqa.datasets.finediving.release import release_files
    from dae_aqa.running.places import user_path

    files = release_files(user_path(options.annotations_dir))
    events = event_folders(user_path(options.frames_dir))
    folders = [path for event in events.values() for path in event.iterdir() if path.is_dir()]
    return [*files.values(), *folders]


DATASET = Dataset(
    options=FineDivingOptions,
    load=_load,
    own_files=_own_files,
    published=PUBLISHED,
    citation=CITATION,
)
