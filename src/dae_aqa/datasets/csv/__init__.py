"""csv: the user's own videos and a table of scores; its README describes the columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dae_aqa.datasets.base import Dataset
from dae_aqa.datasets.csv.options import CsvOptions
from dae_aqa.datasets.options import DownloadOptions
from dae_aqa.running.places import user_path

if TYPE_CHECKING:
    from dae_aqa.tables.dataset import DatasetTables


def _load(
    options: CsvOptions, download: DownloadOptions, videos_dir: Path, cache_dir: Path
) -> DatasetTables:
    from dae_aqa.datasets.csv.table import load

    del download, cache_dir  # the videos are here already
    return load(options, videos_dir)


def _own_files(options: CsvOptions) -> list[Path]:
    """Return the table and what it names as videos; AnnotationError where it cannot be read."""
    from dae_aqa.datasets.csv.rows import read_rows

    table = user_path(options.annotations_csv)
    folder = user_path(options.frames_dir or options.videos_dir or "")
    return [table, *(folder / name for name in {row.cells["video"] for row in read_rows(table)})]


DATASET = Dataset(
    options=CsvOptions,
    load=_load,
    own_files=_own_files,
    is_users_own=True,
)
