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


def own_files(options: MtlAqaOptions) -> list[Path]:
    """Return the user's files and folders of images that are read."""
    from dae_aqa.datasets.mtl_aqa.frames import frame_folders, info_folder
    from dae_aqa.video.probe import VIDEO_SUFFIXES

    files = [] if options.video_list is None else [user_path(options.video_list)]
    if options.annotations_source is not None and "://" not in options.annotations_source:
        source = user_path(options.annotations_source)
        files += [path for path in source.rglob("*") if path.suffix in (".pkl", ".xlsx")]
    folders = []
    if options.frames_dir is not None:
        root = user_path(options.frames_dir)
        files += info_folder(root).glob("*")
        folders = [path for path in frame_folders(root).iterdir() if path.is_dir()]
    elif options.videos_dir is not None:
        folder = user_path(options.videos_dir)
        files += [path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES]
    return [*(path for path in files if path.is_file()), *folders]


DATASET = Dataset(
    options=MtlAqaOptions,
    load=_load,
    own_files=own_files,
    published=PUBLISHED,
    citation=CITATION,
)
