"""What happens to a batch on the device: offset, flip, cut into clips, normalise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dae_aqa.clips.dataset import FrameBatch
from dae_aqa.clips.sampling import ClipLayout


@dataclass(frozen=True)
class Normalization:
    """Per-channel RGB mean and standard deviation on the scale 0 … 1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


# Source: torchvision's documentation of its ImageNet weights; the released DAE code uses these too.
IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# Source: torchvision's documentation of its Kinetics-400 video weights.
KINETICS = Normalization((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
# To -1 … 1, as the original I3D release was trained.
HALF = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
NORMALIZATIONS = {"imagenet": IMAGENET, "kinetics": KINETICS, "half": HALF}


def make_clips(
    batch: FrameBatch, *, layout: ClipLayout, normalization: Normalization, device: torch.device
) -> Tensor:
    """Return the batch's clips, float32 of shape (N, K, 3, T, S, S), normalised, on `device`."""
    frames = batch.frames.to(device, non_blocking=True)  # (N, F, 3, P, P) uint8
    frames = _cut_and_flip(frames, batch=batch, size=layout.size_px)  # (N, F, 3, S, S)
    positions = torch.from_numpy(layout.clip_positions).to(device)
    clips = frames[:, positions].transpose(2, 3)  # (N, K, T, 3, S, S) -> (N, K, 3, T, S, S)
    mean = torch.tensor(normalization.mean, device=device).view(3, 1, 1, 1) * 255.0
    std = torch.tensor(normalization.std, device=device).view(3, 1, 1, 1) * 255.0
    return clips.to(torch.float32).sub_(mean).div_(std)


def _cut_and_flip(frames: Tensor, *, batch: FrameBatch, size: int) -> Tensor:
    if frames.shape[-1] > size:
        cut = [
            sample[..., top : top + size, left : left + size]
            for sample, (top, left) in zip(frames, batch.offsets_px.tolist(), strict=True)
        ]
        frames = torch.stack(cut)
    if not bool(batch.flips.any()):
        return frames
    flips = batch.flips.to(frames.device).view(-1, 1, 1, 1, 1)
    return torch.where(flips, frames.flip(-1), frames)
