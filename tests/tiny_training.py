"""The data of a tiny training, see the fixtures in `tests/training/conftest.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dae_aqa.params import Params
from dae_aqa.trained_model import TrainedModel
from dae_aqa.training.loop import EpochCallback, FitResult
from dae_aqa.training.session import train_model

MakeParams = Callable[..., Params]


@dataclass(frozen=True)
class TinyData:
    """Tables and packed samples; the brighter a sample, the better its score."""

    annotations: pd.DataFrame
    splits: pd.DataFrame
    frames_dir: Path

    def train(
        self,
        params: Params,
        folder: Path,
        *,
        on_epoch: EpochCallback = lambda epoch, figures: None,
    ) -> tuple[TrainedModel, FitResult]:
        """Train with the work and feature folders in `folder`."""
        for name in ("work", "features"):
            (folder / name).mkdir(exist_ok=True, parents=True)
        return train_model(
            params,
            annotations=self.annotations,
            splits=self.splits,
            frames_dir=self.frames_dir,
            features_dir=folder / "features",
            work_dir=folder / "work",
            on_epoch=on_epoch,
        )
