"""AQA-7: 1,106 performances of six sports, each of which is trained and tested by itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dae_aqa.datasets.aqa7.options import Aqa7Options
from dae_aqa.datasets.aqa7.references import CITATION, PUBLISHED
from dae_aqa.datasets.base import Dataset
from dae_aqa.datasets.options import DownloadOptions

if TYPE_CHECKING:
    from dae_aqa.tables.dataset import DatasetTables


def _load(
    options: Aqa7Options, download: DownloadOptions, videos_dir: Path, cache_dir: Path
) -> DatasetTables:
    from dae_aqa.datasets.aqa7.adapter import load

    del cache_dir  # nothing is fetched
    return load(options, videos_dir, allow_missing=download.allow_missing)


def _own_files(options: Aqa7Options) -> list[Path]:
    from dae_aqa.datasets.aqa7.adapter import folders_of, videos_of
    from dae_aqa.datasets.aqa7.lists import list_files
    from dae_aqa.running.places import user_path

    files = list(list_files(user_path(options.annotations_dir)).values())
    if options.frames_dir is not None:
        return [*files, *folders_of(user_path(options.frames_dir)).values()]
    return [*files, *videos_of(user_path(options.videos_dir or "")).values()]


DATASET = Dataset(
    options=Aqa7Options,
    load=_load,
    own_files=_own_files,
    published=PUBLISHED,
    citation=CITATION,
)
