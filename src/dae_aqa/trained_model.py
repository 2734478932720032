"""A trained model and how it looks at a performance: all that scoring needs, in one file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dae_aqa.clips.dataset import FrameBatch, SampleDataset, scale_frames
from dae_aqa.clips.sampling import ClipLayout, layout_faults
from dae_aqa.clips.transform import make_clips
from dae_aqa.errors import ModelError
from dae_aqa.models import (
    HALF,
    IMAGENET,
    KINETICS,
    Normalization,
    ScoreModel,
    load_model,
    load_released_checkpoint,
    save_model,
)
from dae_aqa.params import ClipsParams
from dae_aqa.tracking.served import ServedModel
from dae_aqa.training.feeds import ClipFeed

NORMALIZATIONS = {"imagenet": IMAGENET, "kinetics": KINETICS, "half": HALF}


@dataclass(frozen=True)
class TrainedModel:
    """A model, and how clips are made for it.

    Attributes:
        model: in evaluation mode unless it is being trained.
        layout: of the clips.
        normalization: of the pixels.
        has_difficulty: whether its training samples had difficulties other than 1.0; True where
            that is not known, as of files that were written before it was noted.
    """

    model: ScoreModel
    layout: ClipLayout
    normalization: Normalization
    has_difficulty: bool = True

    @classmethod
    def for_training(
        cls, model: ScoreModel, clips: ClipsParams, *, has_difficulty: bool
    ) -> TrainedModel:
        """Return `model` with the clips that `train.clips` describes."""
        backbone = model.backbone.normalization
        return cls(
            model,
            layout=clip_layout(clips),
            normalization=NORMALIZATIONS.get(clips.normalization, backbone),
            has_difficulty=has_difficulty,
        )

    @classmethod
    def released(cls, path: Path, *, model: str, clips: ClipsParams) -> TrainedModel:
        """Return the model of a checkpoint of the released DAE code, with ImageNet normalisation.

        Raises:
            ModelError: the file is no such checkpoint.
        """
        return cls(load_released_checkpoint(path, model=model), clip_layout(clips), IMAGENET)

    @classmethod
    def load(cls, path: Path) -> TrainedModel:
        """Return what `save` wrote.

        Raises:
            ModelError: the file is missing, damaged, edited or of another kind.
        """
        model, usage = load_model(path)
        try:
            layout = _layout_of(usage)
            faults = layout_faults(layout)
            normalization = _normalization_of(usage)
        except (KeyError, TypeError, ValueError) as error:
            faults = [f"{type(error).__name__}: {error}"]
        has_difficulty = usage.get("has_difficulty", True)
        if type(has_difficulty) is not bool:
            faults.append("has_difficulty must be true or false")
        if faults:
            raise ModelError(
                f"{path}: says nothing usable on how its clips are made "
                f"({'; '.join(faults)[:500]}). Train it again."
            )
        return cls(model, layout, normalization, has_difficulty)

    def save(self, path: Path) -> None:
        """Write the model file, whole or not at all."""
        layout = asdict(self.layout) | {"starts": list(self.layout.starts)}
        normalization = {name: list(value) for name, value in asdict(self.normalization).items()}
        usage = {
            "layout": layout,
            "normalization": normalization,
            "has_difficulty": self.has_difficulty,
        }
        save_model(self.model, path, usage=usage)

    @property
    def needs_difficulty(self) -> bool:
        """Whether a final score cannot be told from the frames alone."""
        return self.has_difficulty and self.model.head.needs_difficulty

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return next(self.model.parameters()).device

    def feed(
        self, sample_ids: Sequence[str], *, frames_dir: Path, num_workers: int, cache: bool
    ) -> ClipFeed:
        """Return a feed of the samples' clips, not augmented, on the model's device.

        Args:
            sample_ids: the samples.
            frames_dir: folder of packed samples.
            num_workers: loader processes.
            cache: keep the scaled frames in memory, for more than one pass.
        """
        dataset = SampleDataset(
            sample_ids=sample_ids,
            frames_dir=frames_dir,
            layout=self.layout,
            augment=False,
            num_shifts=0,
            flip=False,
            color_jitter=0.0,
            seed=0,
            cache=cache,
        )
        return self.feed_of(dataset, num_workers=num_workers)

    def feed_of(self, dataset: SampleDataset, *, num_workers: int) -> ClipFeed:
        """Return a feed of the clips of `dataset`, on the model's device."""
        return ClipFeed(
            dataset,
            layout=self.layout,
            normalization=self.normalization,
            num_workers=num_workers,
            device=self.device,
        )

    @torch.no_grad()
    def score_frames(
        self, frames: NDArray[np.uint8], *, difficulty: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mu and sigma of the final score, (N,) each, for windows held in memory.

        Args:
            frames: uint8 RGB, (N, F, H, W, 3): the frames of N windows.
            difficulty: (N,), 1.0 where the sport has none.

        Raises:
            ModelError: there is no window, or they are shorter than the model's clips reach or
                smaller than its crop.
        """
        num_windows, num_frames, height, width, _ = frames.shape
        layout = self.layout
        if num_windows == 0 or num_frames < layout.reach:
            raise ModelError(
                f"the model looks at {layout.reach} frames of a window, got {num_windows} "
                f"window(s) of {num_frames} frames. Give longer ones."
            )
        if min(height, width) < layout.padded_crop_px:
            raise ModelError(
                f"the model looks at the centre square of {layout.padded_crop_px} px of a frame, "
                f"got frames of {width}x{height} px. Give them in the size that it was trained "
                "with (extract_frames.width and height)."
            )
        indices, device = layout.frame_indices, self.device
        windows = torch.from_numpy(np.ascontiguousarray(frames[:, indices]))
        scaled = [scale_frames(window.permute(0, 3, 1, 2), self.layout) for window in windows]
        centre = self.layout.jitter_px
        batch = FrameBatch(
            indices=torch.arange(len(frames)),
            frames=torch.stack(scaled),
            flips=torch.zeros(len(frames), dtype=torch.bool),
            offsets_px=torch.full((len(frames), 2), centre),
            color_gains=torch.ones(len(frames), 3),
        )
        clips = make_clips(
            batch, layout=self.layout, normalization=self.normalization, device=device
        )
        prediction = self.model.predict(
            self.model(clips), torch.from_numpy(difficulty).to(device, torch.float32)
        )
        return prediction.mu.cpu().numpy(), prediction.sigma.cpu().numpy()


def clip_layout(clips: ClipsParams) -> ClipLayout:
    """Return the layout that `train.clips` describes."""
    return ClipLayout(
        starts=clips.starts,
        num_frames=clips.num_frames,
        stride=clips.stride,
        crop_px=clips.crop_px,
        size_px=clips.size_px,
        jitter_px=clips.jitter_px,
    )


def _load_pyfunc(path: str) -> ServedModel:
    """Return the model file at `path` as MLflow serves it; called by `mlflow.pyfunc`."""
    trained = TrainedModel.load(Path(path))
    return ServedModel(trained.score_frames, needs_difficulty=trained.needs_difficulty)


def _layout_of(usage: Mapping[str, Any]) -> ClipLayout:
    """Return the layout that a file describes, not checked yet.

    Raises:
        KeyError, TypeError: it is none.
    """
    section = usage["layout"]
    if not isinstance(section, dict) or not isinstance(section["starts"], list):
        raise TypeError("layout must be a section with a list of starts")
    return ClipLayout(**section | {"starts": tuple(section["starts"])})


def _normalization_of(usage: Mapping[str, Any]) -> Normalization:
    """Return the normalisation that a file describes.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    section = usage["normalization"]
    if not isinstance(section, dict):
        raise TypeError("normalization must be a section")
    mean, std = section["mean"], section["std"]
    for values in (mean, std):
        is_list = isinstance(values, list) and len(values) == 3
        if not is_list or not all(type(value) in (int, float) for value in values):
            raise TypeError("normalization must have a mean and an std of three numbers each")
    numbers = (*mean, *std)
    if not all(map(math.isfinite, numbers)) or min(std) <= 0:
        raise ValueError(f"normalization must be finite with every std above 0, got {mean}, {std}")
    return Normalization(mean=tuple(mean), std=tuple(std))
