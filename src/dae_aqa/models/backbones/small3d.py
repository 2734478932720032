"""A small 3-D CNN that learns from scratch on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dae_aqa.models.backbones.base import Backbone
from dae_aqa.models.normalization import HALF
from dae_aqa.models.options import BACKBONES, ModelSpec

# Per layer: width, kernel and stride over (time, height, width). The first one leaves full
# resolution at once, where most of the arithmetic would go; space and time then shrink in turn, by
# thin kernels while maps are large and by full ones when they are small.
_LAYERS: tuple[tuple[int, tuple[int, int, int], tuple[int, int, int]], ...] = (
    (24, (3, 5, 5), (2, 4, 4)),
    (48, (1, 3, 3), (1, 2, 2)),
    (64, (3, 1, 1), (2, 1, 1)),
    (64, (1, 3, 3), (1, 1, 1)),
    (128, (3, 3, 3), (2, 2, 2)),
    (128, (3, 3, 3), (1, 1, 1)),
)


class Small3d(Backbone):
    """Six convolutions (0.73 M parameters); features join the mean and the maximum of the last.

    The mean tells how the performance was throughout, the maximum its most marked moment, wherever
    it lay. At 48 frames of 64 px a clip costs about 0.13 GMAC forward.
    """

    feature_dim = 2 * _LAYERS[-1][0]
    normalization = HALF
    min_clip = BACKBONES["small3d"].min_clip

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_width = 3
        for width, kernel, stride in _LAYERS:
            padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
            layers += [
                nn.Conv3d(in_width, width, kernel, stride=stride, padding=padding, bias=False),
                nn.BatchNorm3d(width),
                nn.ReLU(inplace=True),
            ]
            in_width = width
        self.layers = nn.Sequential(*layers)
        # in a tuple, they get no names of their own in the state dict
        self._stages = tuple(self.layers[first : first + 3] for first in range(0, len(layers), 3))

    def encode(self, clips: Tensor) -> Tensor:
        """Return features (B, 256) of clips (B, 3, T, H, W)."""
        x = self._maps(clips)
        return torch.cat((x.mean(dim=(2, 3, 4)), x.amax(dim=(2, 3, 4))), dim=1)

    def encode_steps(self, clips: Tensor) -> Tensor:
        """Return features (B, T/8, 256) of clips (B, 3, T, H, W): mean and maximum of each step."""
        x = self._maps(clips)
        return torch.cat((x.mean(dim=(3, 4)), x.amax(dim=(3, 4))), dim=1).transpose(1, 2)

    def _maps(self, clips: Tensor) -> Tensor:
        """Return the last maps (B, 128, T/8, H/16, W/16)."""
        x = clips
        for stage in self._stages:
            x = stage(x)
        return x

    def stages(self) -> Sequence[nn.Module]:
        """See `Backbone.stages`."""
        return self._stages


def build_backbone(spec: ModelSpec) -> Small3d:
    """Return a small3d with fresh weights."""
    del spec  # there is but one
    return Small3d()
