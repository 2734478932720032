"""The data of a tiny training, see the fixtures in `tests/training/conftest.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.params import Params
from dae_aqa.training.loop import EpochCallback, FitResult
from dae_aqa.training.session import train_model
from tests.packed_samples import draw_frames, write_pack

MakeParams = Callable[..., Params]
NUM_FRAMES = 10
BRIGHTNESS = {"t0": 0.1, "t1": 0.9, "t2": 0.4, "t3": 0.6, "v0": 0.2, "v1": 0.8, "v2": 0.5}


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


def make_tiny_data(folder: Path, *, num_frames: int = NUM_FRAMES) -> TinyData:
    """Pack the samples of `BRIGHTNESS` into `folder`; those named t… train, v… validate."""
    for name, brightness in BRIGHTNESS.items():
        write_pack(folder, name, draw_frames(name, num_frames=num_frames, brightness=brightness))
    names = list(BRIGHTNESS)
    annotations = pd.DataFrame(
        {
            "sample_id": names,
            "final_score": [100.0 * BRIGHTNESS[name] for name in names],
            "difficulty": [2.0 + 0.1 * row for row in range(len(names))],
            "judge_scores": "",
        }
    )
    splits = pd.DataFrame(
        {
            "sample_id": names,
            "split": ["train" if name.startswith("t") else "val" for name in names],
        }
    )
    return TinyData(annotations, splits, folder)
