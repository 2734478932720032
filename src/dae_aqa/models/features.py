"""Clip features of one video: what a backbone makes of its frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dae_aqa.errors import ModelError
from dae_aqa.models.backbones.base import Backbone, Normalization


@torch.inference_mode()
def clip_features(
    backbone: Backbone,
    frames: Tensor,
    *,
    starts: Sequence[int],
    num_frames_per_clip: int,
    stride: int = 1,
    normalization: Normalization | None = None,
    clips_per_batch: int,
) -> Tensor:
    """Return the features (K, D), float32 on the CPU, of the clips that begin at `starts`.

    The backbone is run in evaluation mode, on the device of its weights, and left in the mode that
    it had.

    Args:
        backbone: the network.
        frames: RGB frames (F, 3, H, W), cropped to what the backbone is to see: uint8, or float32
            that is normalised already.
        starts: first frame of each clip, K of them.
        num_frames_per_clip: frames of a clip.
        stride: frames from one frame of a clip to the next.
        normalization: of uint8 frames; None for the backbone's own.
        clips_per_batch: clips that go through the backbone at once; memory grows with it.

    Raises:
        ModelError: the frames are no such array, a clip leaves them, or features are not finite.
    """
    if frames.ndim != 4 or frames.shape[1] != 3 or frames.dtype not in (torch.uint8, torch.float32):
        raise ModelError(
            "clip features need frames of shape (F, 3, H, W), uint8 or normalised float32, got "
            f"{frames.dtype} {tuple(frames.shape)}."
        )
    reach = (num_frames_per_clip - 1) * stride + 1
    if not starts or min(starts) < 0 or max(starts) + reach > len(frames):
        raise ModelError(
            f"clips of {num_frames_per_clip} frames at {list(starts)} do not lie within the "
            f"{len(frames)} frames of the video; choose other starts."
        )
    weights = next(backbone.parameters())
    pixels = normalization or backbone.normalization
    mean = torch.tensor(pixels.mean, device=weights.device).view(3, 1, 1, 1)
    std = torch.tensor(pixels.std, device=weights.device).view(3, 1, 1, 1)
    was_training = backbone.training
    backbone.eval()
    features = []
    for first in range(0, len(starts), clips_per_batch):
        batch = [frames[s : s + reach : stride] for s in starts[first : first + clips_per_batch]]
        clips = torch.stack(batch).transpose(1, 2).to(weights.device)  # (B, 3, T, H, W)
        if clips.dtype == torch.uint8:
            clips = (clips.float() / 255.0 - mean) / std
        features.append(backbone(clips.to(weights.dtype)).float().cpu())
    backbone.train(was_training)
    joined = torch.cat(features)
    if not bool(torch.isfinite(joined).all()):
        raise ModelError("clip features hold NaN or infinity; the weights are damaged.")
    return joined
