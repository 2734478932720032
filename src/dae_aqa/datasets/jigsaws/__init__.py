"""JIGSAWS: 103 trials of three surgical tasks, rated by six elements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dae_aqa.datasets.base import Dataset
from dae_aqa.datasets.jigsaws.options import JigsawsOptions
from dae_aqa.datasets.jigsaws.references import CITATION, PUBLISHED
from dae_aqa.datasets.options import DownloadOptions

if TYPE_CHECKING:
    from dae_aqa.tables.dataset import DatasetTables


def _load(
    options: JigsawsOptions, download: DownloadOptions, videos_dir: Path, cache_dir: Path
) -> DatasetTables:
    from dae_aqa.datasets.jigsaws.adapter import load

    del cache_dir  # nothing is fetched
    return load(options, videos_dir, allow_missing=download.allow_missing)


def _own_files(options: JigsawsOptions) -> list[Path]:
    from dae_aqa.datasets.jigsaws.adapter import annotation_files, folders_of, videos_of
    from dae_aqa.running.places import user_path

    files = annotation_files(user_path(options.annotations_dir))
    if options.frames_dir is not None:
        return [*files, *folders_of(user_path(options.frames_dir), camera=options.camera).values()]
    return [*files, *videos_of(user_path(options.videos_dir or ""), camera=options.camera).values()]


DATASET = Dataset(
    options=JigsawsOptions,
    load=_load,
    own_files=_own_files,
    published=PUBLISHED,
    citation=CITATION,
)
