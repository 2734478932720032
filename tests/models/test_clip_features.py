"""Clip features: which frames make them, and the mode that the backbone is run and left in."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dae_aqa.errors import ModelError
from dae_aqa.models import HALF, Backbone, clip_features


class FrameLevels(Backbone):
    """Its features are the levels of a clip's frames; dropout shows the mode."""

    feature_dim = 3
    normalization = HALF
    min_clip = (1, 1, 1)

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.dropout = torch.nn.Dropout(0.9)

    def encode(self, clips: Tensor) -> Tensor:
        return self.dropout(clips.mean(dim=(1, 3, 4)) * self.weight)


def features(frames: Tensor, *, starts: list[int], training: bool = False) -> Tensor:
    backbone = FrameLevels().train(training)
    found = clip_features(
        backbone, frames, starts=starts, num_frames_per_clip=3, stride=2, clips_per_batch=2
    )
    assert backbone.training is training
    return found


@pytest.mark.parametrize("training", [False, True])
def test_clips_begin_where_they_are_told_and_end_with_the_video(training: bool) -> None:
    frames = torch.arange(8, dtype=torch.float32).view(8, 1, 1, 1).expand(8, 3, 4, 4)
    found = features(frames, starts=[3, 0, 1], training=training)
    assert found.tolist() == [[3.0, 5.0, 7.0], [0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]


def test_pixels_are_normalised_as_the_backbone_asks() -> None:
    frames = torch.tensor([0, 51, 255, 0, 204], dtype=torch.uint8).view(5, 1, 1, 1)
    found = features(frames.expand(5, 3, 4, 4), starts=[0])
    torch.testing.assert_close(found, torch.tensor([[-1.0, 1.0, 0.6]]))


@pytest.mark.parametrize("starts", [[], [-1], [0, 4]])
def test_a_clip_beyond_the_video_is_refused(starts: list[int]) -> None:
    with pytest.raises(ModelError, match=r"do not lie within the 8 frames"):
        features(torch.zeros(8, 3, 4, 4), starts=starts)
