"""A trained model and how it looks at a performance: all that scoring needs, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dae_aqa.clips.dataset import FrameBatch, SampleDataset, scale_frames
from dae_aqa.clips.sampling import ClipLayout
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
    """

    model: ScoreModel
    layout: ClipLayout
    normalization: Normalization

    @classmethod
    def for_training(cls, model: ScoreModel, clips: ClipsParams) -> TrainedModel:
        """Return `model` with the clips that `train.clips` describes."""
        backbone = model.backbone.normalization
        return cls(
            model,
            layout=clip_layout(clips),
            normalization=NORMALIZATIONS.get(clips.normalization, backbone),
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
            ModelError: the file is missing, damaged or of another kind.
        """
        model, usage = load_model(path)
        try:
            layout = ClipLayout(**usage["layout"] | {"starts": tuple(usage["layout"]["starts"])})
            mean, std = usage["normalization"]["mean"], usage["normalization"]["std"]
        except (KeyError, TypeError) as error:
            raise ModelError(
                f"{path}: says nothing usable on how its clips are made ({error}). Train it again."
            ) from error
        return cls(model, layout, Normalization(mean=tuple(mean), std=tuple(std)))

    def save(self, path: Path) -> None:
        """Write the model file, whole or not at all."""
        layout = asdict(self.layout) | {"starts": list(self.layout.starts)}
        normalization = {name: list(value) for name, value in asdict(self.normalization).items()}
        save_model(self.model, path, usage={"layout": layout, "normalization": normalization})

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
            ModelError: the windows are shorter than the model's clips reach.
        """
        indices = self.layout.frame_indices
        if frames.shape[1] <= indices[-1]:
            raise ModelError(
                f"the model looks at frames up to {indices[-1]} of a window, but the windows have "
                f"only {frames.shape[1]} frames. Give longer ones."
            )
        device = next(self.model.parameters()).device
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
    return ServedModel(TrainedModel.load(Path(path)).score_frames)
