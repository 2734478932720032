"""Adapters: every dataset becomes one annotations table.

To add a dataset, write a function like those in `adapters` and its line in `ADAPTERS` there.
"""

from dae_aqa.datasets.adapters import ADAPTERS, load_dataset
from dae_aqa.datasets.tables import DatasetTables

__all__ = ["ADAPTERS", "DatasetTables", "load_dataset"]
