"""The backbones: a file each, with its class and `build_backbone`; torchvision's share a file."""

from __future__ import annotations

import importlib

from dae_aqa.errors import ModelError
from dae_aqa.models.backbones.base import Backbone
from dae_aqa.models.options import BACKBONES, ModelSpec


def build_backbone(spec: ModelSpec, *, pretrained: bool) -> Backbone:
    """Return the backbone with fresh weights, or with torchvision's where `pretrained`.

    Args:
        spec: says which one.
        pretrained: fetch torchvision's Kinetics weights.

    Raises:
        ModelError: its weights cannot be had.
    """
    name = spec.backbone
    if BACKBONES[name].is_torchvision:
        from dae_aqa.models.backbones.torchvision_video import TorchvisionVideo

        return TorchvisionVideo(name, pretrained=pretrained)
    if pretrained:
        raise ModelError(
            f"pretrained: true fetches torchvision's weights, which {name!r} has none of; "
            "set train.backbone_weights to a file instead."
        )
    # By name, as methods are (`models/build.py`): a spec holds no name that is not in the table.
    module = importlib.import_module(f"{__name__}.{name}")
    built: Backbone = module.build_backbone(spec)
    return built
