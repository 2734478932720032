"""Clip features of one video: what a backbone makes of its frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dae_aqa.errors import ModelError
from dae_aqa.models.backbones.base import Backbone


@torch.inference_mode()
def clip_features(
    backbone: Backbone,
    frames: Tensor,
    *,
    starts: Sequence[int],
    num_frames_per_clip: int,
    clips_per_batch: int,
) -> Tensor:
    """Return the features (K, D), float32 on the CPU, of the clips that begin at `starts`.

    The backbone is run in evaluation mode, on the device of its weights, and left in the mode that
    it had.

    Args:
        backbone: the network.
        frames: RGB frames (F, 3, H, W), uint8, cropped to what the backbone is to see.
        starts: first frame of each clip, K of them.
        num_frames_per_clip: consecutive frames of a clip.
        clips_per_batch: clips that go through the backbone at once; memory grows with it.

    Raises:
        ModelError: the frames are no such array, a clip leaves them, or features are not finite.
    """
    if frames.ndim != 4 or frames.shape[1] != 3 or frames.dtype != torch.uint8:
        raise ModelError(
            "clip features need uint8 frames of shape (F, 3, H, W), got "
            f"{frames.dtype} {tuple(frames.shape)}."
        )
    outside = [s for s in starts if s < 0 or s + num_frames_per_clip > len(frames)]
    if outside or not starts:
        raise ModelError(
            f"clips of {num_frames_per_clip} frames at {list(starts)} do not lie within the "
            f"{len(frames)} frames of the video; choose other starts."
        )
    weights = next(backbone.parameters())
    mean = torch.tensor(backbone.normalization.mean, device=weights.device).view(3, 1, 1, 1)
    std = torch.tensor(backbone.normalization.std, device=weights.device).view(3, 1, 1, 1)
    was_training = backbone.training
    backbone.eval()
    features = []
    for first in range(0, len(starts), clips_per_batch):
        batch = [
            frames[s : s + num_frames_per_clip] for s in starts[first : first + clips_per_batch]
        ]
        clips = torch.stack(batch).transpose(1, 2).to(weights.device)  # (B, 3, T, H, W)
        clips = (clips.float() / 255.0 - mean) / std
        features.append(backbone(clips.to(weights.dtype)).float().cpu())
    backbone.train(was_training)
    joined = torch.cat(features)
    if not bool(torch.isfinite(joined).all()):
        raise ModelError("clip features hold NaN or infinity; the weights are damaged.")
    return joined
