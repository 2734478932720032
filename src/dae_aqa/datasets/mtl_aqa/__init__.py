"""MTL-AQA: 1,412 dives from 15 broadcasts, with the marks of seven judges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dae_aqa.datasets.base import Dataset
from dae_aqa.datasets.mtl_aqa.options import MtlAqaOptions
from dae_aqa.datasets.mtl_aqa.references import CITATION, PUBLISHED
from dae_aqa.datasets.options import DownloadOptions
from dae_aqa.running.places import user_path

if TYPE_CHECKING:
    from dae_aqa.tables.dataset import DatasetTables


def _load(
    options: MtlAqaOptions, download: DownloadOptions, videos_dir: Path, cache_dir: Path
) -> DatasetTables:
    from dae_aqa.datasets.mtl_aqa.download import load

    return load(options, download, videos_dir, cache_dir)


def _own_files(options: MtlAqaOptions) -> list[Path]:
    from dae_aqa.video.probe import VIDEO_SUFFIXES

    files = [] if options.video_list is None else [user_path(options.video_list)]
    if "://" not in options.annotations_source:
        files += user_path(options.annotations_source).rglob("*")
    if options.videos_dir is not None:
        folder = user_path(options.videos_dir)
        files += [path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES]
    return [path for path in files if path.is_file()]


DATASET = Dataset(
    options=MtlAqaOptions,
    load=_load,
    own_files=_own_files,
    published=PUBLISHED,
    citation=CITATION,
)
