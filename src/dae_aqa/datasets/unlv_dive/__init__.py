"""UNLV-Dive: 370 dives of MTL-AQA's first three broadcasts, with a split of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dae_aqa.datasets import mtl_aqa
from dae_aqa.datasets.base import Dataset
from dae_aqa.datasets.options import DownloadOptions
from dae_aqa.datasets.unlv_dive.options import UnlvDiveOptions
from dae_aqa.datasets.unlv_dive.references import CITATION

if TYPE_CHECKING:
    from dae_aqa.tables.dataset import DatasetTables


def _load(
    options: UnlvDiveOptions, download: DownloadOptions, videos_dir: Path, cache_dir: Path
) -> DatasetTables:
    from dae_aqa.datasets.unlv_dive.adapter import load

    return load(options, download, videos_dir, cache_dir)


def _own_files(options: UnlvDiveOptions) -> list[Path]:
    from dae_aqa.datasets.unlv_dive.adapter import split_files

    return [*mtl_aqa.own_files(options), *split_files(options).values()]


DATASET = Dataset(
    options=UnlvDiveOptions,
    load=_load,
    own_files=_own_files,
    citation=CITATION,
)
