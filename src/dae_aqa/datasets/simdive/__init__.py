"""simdive: simulated broadcasts of platform diving, the embedded dataset.

The README of this folder tells of the physics, the faults and the calibration.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dae_aqa.datasets.base import Dataset
from dae_aqa.datasets.options import DownloadOptions
from dae_aqa.datasets.simdive.options import SimDiveOptions
from dae_aqa.datasets.simdive.references import BASELINE_LABELS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from dae_aqa.tables.dataset import DatasetTables


def _load(
    options: SimDiveOptions, download: DownloadOptions, videos_dir: Path, cache_dir: Path
) -> DatasetTables:
    from dae_aqa.datasets.simdive.adapter import load

    return load(options, download, videos_dir, cache_dir)


def _baselines(
    truth: pd.DataFrame, annotations: pd.DataFrame
) -> dict[str, npt.NDArray[np.float64]]:
    from dae_aqa.datasets.simdive.baselines import single_fault_baselines

    return single_fault_baselines(truth=truth, annotations=annotations)


DATASET = Dataset(
    options=SimDiveOptions,
    load=_load,
    baselines=_baselines,
    baseline_labels=BASELINE_LABELS,
)
