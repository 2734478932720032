"""Datasets: a folder each, with its options, its adapter and its recipes.

To add one, write a folder like those here and its line in `DATASETS` (docs/extending.md).
"""

from dae_aqa.datasets import aqa7, csv, finediving, jigsaws, mtl_aqa, simdive, unlv_dive
from dae_aqa.datasets.base import Dataset

DATASETS: dict[str, Dataset] = {
    "simdive": simdive.DATASET,
    "mtl_aqa": mtl_aqa.DATASET,
    "unlv_dive": unlv_dive.DATASET,
    "jigsaws": jigsaws.DATASET,
    "aqa7": aqa7.DATASET,
    "finediving": finediving.DATASET,
    "csv": csv.DATASET,
}

__all__ = ["DATASETS", "Dataset"]
