"""Backbones by name: `small3d`, `i3d` and torchvision's video models.

To add one, write a `Backbone` and its line in `BACKBONES`.
"""

from __future__ import annotations

from collections.abc import Callable

from dae_aqa.errors import ModelError
from dae_aqa.models.backbones.base import Backbone
from dae_aqa.models.backbones.i3d import I3D
from dae_aqa.models.backbones.small3d import Small3d
from dae_aqa.models.backbones.torchvision_video import TORCHVISION_MODELS, TorchvisionVideo

__all__ = [
    "BACKBONES",
    "I3D",
    "Backbone",
    "Small3d",
    "TorchvisionVideo",
    "build_backbone",
]

BACKBONES: dict[str, Callable[[], Backbone]] = {
    "small3d": Small3d,
    "i3d": I3D,
}


def build_backbone(name: str, *, i3d_layout: str | None, pretrained: bool) -> Backbone:
    """Return a backbone with fresh weights, or with torchvision's where `pretrained`.

    Args:
        name: a key of `BACKBONES` or the name of a torchvision video model.
        i3d_layout: which published I3D to compute, for `i3d` alone; None: `inception`.
        pretrained: fetch torchvision's Kinetics weights.

    Raises:
        ModelError: there is no such backbone, or its weights cannot be had.
    """
    if name in TORCHVISION_MODELS:
        return TorchvisionVideo(name, pretrained=pretrained)
    if name not in BACKBONES:
        raise ModelError(
            f"unknown backbone {name!r}; allowed: {', '.join([*BACKBONES, *TORCHVISION_MODELS])}."
        )
    if pretrained:
        raise ModelError(
            f"pretrained: true fetches torchvision's weights, which {name!r} has none of; "
            "set train.backbone_weights to a file instead."
        )
    if name == "i3d" and i3d_layout is not None:
        return I3D(layout=i3d_layout)
    return BACKBONES[name]()
