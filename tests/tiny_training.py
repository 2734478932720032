"""A training so small that it runs in a second: seven packed samples of 48x40 px."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from dae_aqa.inference.processes import ALONE, Processes
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.options import parse_options
from dae_aqa.packs.options import NumberedFrameOptions
from dae_aqa.params import Params
from dae_aqa.training.loop import EpochCallback, FitResult
from dae_aqa.training.options import TrainingOptions
from dae_aqa.training.session import inputs_of, train_model
from tests.packed_samples import HEIGHT, MARGIN, WIDTH, draw_frames, write_pack

MakeParams = Callable[..., Params]
MakeOptions = Callable[..., TrainingOptions]
NUM_FRAMES = 10
SMALL = {
    "lr": 3e-3,
    "weight_decay": 0.0,
    "train_batch_size": 2,
    "test_batch_size": 2,
    "num_epochs": 4,
    "num_workers": 0,
    "temporal_aug": 2,
    "device": "cpu",
    "extract_frames.num_frames": NUM_FRAMES,
    "extract_frames.margin_frames": MARGIN,
    "extract_frames.width": WIDTH,
    "extract_frames.height": HEIGHT,
    "train.clips.starts": [0, 1],
    "train.clips.num_frames": 8,
    "train.clips.stride": 1,
    "train.clips.crop_px": 32,
    "train.clips.size_px": 32,
    "train.clips.jitter_px": 1,
    "train.neck": "mean",
    "train.average_mirrored": False,
    "train.average_weights": 0.0,
    "train.dropout": 0.3,
    "train.loss.mse_warmup_fraction": 0.5,
    "train.warmup_epochs": 1,
    "train.num_threads": 1,
    "train.tracking": False,
}
FRAMES = NumberedFrameOptions(
    num_frames=NUM_FRAMES,
    margin_frames=MARGIN,
    window="end",
    width=WIDTH,
    height=HEIGHT,
    resize_filter="bicubic",
    image_format="png",
    jpeg_quality=92,
    early_end="error",
    numbering="decoded",
)
BRIGHTNESS = {"t0": 0.1, "t1": 0.9, "t2": 0.4, "t3": 0.6, "v0": 0.2, "v1": 0.8, "v2": 0.5}


@dataclass(frozen=True)
class TinyData:
    """Tables and packed samples; the brighter a sample, the better its score."""

    annotations: pd.DataFrame
    splits: pd.DataFrame
    frames_dir: Path

    def train(
        self,
        options: TrainingOptions,
        folder: Path,
        *,
        on_epoch: EpochCallback = lambda epoch, figures: None,
        processes: Processes = ALONE,
    ) -> tuple[TrainedModel, FitResult]:
        """Train with the work and feature folders in `folder`."""
        for name in ("work", "features"):
            (folder / name).mkdir(exist_ok=True, parents=True)
        inputs = inputs_of(options, frames_dir=self.frames_dir, features_dir=folder / "features")
        return train_model(
            options,
            scoring_rule="diving",
            frames=FRAMES,
            annotations=self.annotations,
            splits=self.splits,
            inputs=inputs,
            work_dir=folder / "work",
            on_epoch=on_epoch,
            processes=processes,
        )


def make_small_params(shipped: Path, changes: dict[str, Any] | None = None) -> Params:
    """Return the shipped parameters made small, with further changes by dotted key."""
    content = yaml.safe_load(shipped.read_text())
    for key, value in (SMALL | (changes or {})).items():
        *sections, name = key.split(".")
        target = content
        for section in sections:
            target = target[section]
        target[name] = value
    return parse_options(Params, content, source="params.yaml")


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
            "judge_scores": [
                ";".join([f"{round(20 * BRIGHTNESS[name]) / 2}"] * 7) for name in names
            ],
            "action_class": ["bright" if BRIGHTNESS[name] > 0.5 else "dark" for name in names],
        }
    )
    splits = pd.DataFrame(
        {
            "sample_id": names,
            "split": ["train" if name.startswith("t") else "val" for name in names],
            "part": "",
        }
    )
    return TinyData(annotations, splits, folder)
