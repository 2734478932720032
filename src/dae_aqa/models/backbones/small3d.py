"""A small 3-D CNN that learns from scratch on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dae_aqa.models.backbones.base import HALF, Backbone

# Width, spatial stride and temporal stride of each block.
_BLOCKS = (
    (32, 2, 1),
    (64, 1, 2),
    (64, 2, 1),
    (128, 1, 2),
    (128, 2, 1),
)
_STEM_WIDTH = 16


class Small3d(Backbone):
    """A strided spatial stem and factorised blocks; features keep the mean and the worst moment.

    The input is halved in space at once, since form is seen in the outline of the body; time is
    halved twice, late, since entry and splash take few frames. Pooling over space and time joins
    the mean (how it was throughout) and the maximum (its worst moment).
    """

    feature_dim = 256
    normalization = HALF
    min_clip = (8, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(3, _STEM_WIDTH, (1, 5, 5), stride=(1, 2, 2), padding=(0, 2, 2), bias=False),
            nn.BatchNorm3d(_STEM_WIDTH),
            nn.ReLU(inplace=True),
        )
        layers: list[nn.Module] = []
        width = _STEM_WIDTH
        for out_width, space_stride, time_stride in _BLOCKS:
            layers.append(_block(width, out_width, space=space_stride, time=time_stride))
            width = out_width
        self.blocks = nn.Sequential(*layers)

    def encode(self, clips: Tensor) -> Tensor:
        """Return features (B, 256) of clips (B, 3, T, H, W)."""
        x = self.blocks(self.stem(clips))  # (B, 128, T/4, H/16, W/16)
        mean = x.mean(dim=(2, 3, 4))
        worst = x.mean(dim=(3, 4)).amax(dim=2)
        return torch.cat((mean, worst), dim=1)


def _block(in_width: int, width: int, *, space: int, time: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(in_width, width, 3, stride=(time, space, space), padding=1, bias=False),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )
