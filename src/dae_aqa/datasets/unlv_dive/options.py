"""The section `datasets.unlv_dive`."""

from __future__ import annotations

from dae_aqa.datasets.mtl_aqa.options import MtlAqaOptions
from dae_aqa.options import UserPath


class UnlvDiveOptions(MtlAqaOptions):
    """Where UNLV-Dive's split lies, besides what MTL-AQA's section says.

    Attributes:
        splits_dir: folder with `train_split_370_4.pkl` and `test_split_370_4.pkl`.
    """

    splits_dir: UserPath
