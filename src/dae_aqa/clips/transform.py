"""From a batch of frames to normalised clips, on the device: offset, flip, clips, colours."""

from __future__ import annotations

import torch
from torch import Tensor

from dae_aqa.clips.dataset import FrameBatch
from dae_aqa.clips.layout import ClipLayout
from dae_aqa.models.normalization import Normalization


def make_clips(
    batch: FrameBatch, *, layout: ClipLayout, normalization: Normalization, device: torch.device
) -> Tensor:
    """Return the batch's clips, float32 of shape (N, K, 3, T, S, S), normalised, on `device`."""
    frames = batch.frames.to(device, non_blocking=True)  # (N, F, 3, P, P) uint8
    frames = _cut_and_flip(frames, batch=batch, size=layout.size_px)  # (N, F, 3, S, S)
    clips = cut_into_clips(frames, layout)
    mean = torch.tensor(normalization.mean, device=device).view(3, 1, 1, 1) * 255.0
    std = torch.tensor(normalization.std, device=device).view(3, 1, 1, 1) * 255.0
    gains = batch.color_gains.to(device, non_blocking=True).view(-1, 1, 3, 1, 1, 1)
    return clips.to(torch.float32).mul_(gains).sub_(mean).div_(std)


def cut_into_clips(frames: Tensor, layout: ClipLayout) -> Tensor:
    """Return the clips (N, K, 3, T, S, S) of frames (N, F, 3, S, S) of any type."""
    positions = torch.from_numpy(layout.clip_positions).to(frames.device)
    return frames[:, positions].transpose(2, 3)  # (N, K, T, 3, S, S) -> (N, K, 3, T, S, S)


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
