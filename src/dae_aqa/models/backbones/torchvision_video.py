"""torchvision's video models as backbones: their classifier is cut off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.error import URLError

import torchvision
from torch import Tensor, nn

from dae_aqa.errors import ModelError
from dae_aqa.models.backbones.base import Backbone
from dae_aqa.models.normalization import KINETICS, Normalization

# Half-range normalisation of torchvision's MViT and Swin3D weights.
_MVIT = Normalization(mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225))
_SWIN = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@dataclass(frozen=True)
class _Facts:
    """How to use one model: its classifier's attribute, normalisation and smallest clip."""

    classifier: str
    normalization: Normalization
    min_clip: tuple[int, int, int]
    exact_clip: bool = False  # its position embedding fits that size alone
    blocks: str = "features"  # attribute whose children are its stages; "": its own children


# Source: https://docs.pytorch.org/vision/stable/models.html#video-classification
TORCHVISION_MODELS: dict[str, _Facts] = {
    "r3d_18": _Facts("fc", KINETICS, (8, 32, 32), blocks=""),
    "mc3_18": _Facts("fc", KINETICS, (2, 32, 32), blocks=""),
    "r2plus1d_18": _Facts("fc", KINETICS, (8, 32, 32), blocks=""),
    "s3d": _Facts("classifier", KINETICS, (14, 224, 224)),
    "mvit_v1_b": _Facts("head", _MVIT, (16, 224, 224), exact_clip=True, blocks="blocks"),
    "mvit_v2_s": _Facts("head", _MVIT, (16, 224, 224), exact_clip=True, blocks="blocks"),
    "swin3d_t": _Facts("head", _SWIN, (2, 32, 32)),
    "swin3d_s": _Facts("head", _SWIN, (2, 32, 32)),
    "swin3d_b": _Facts("head", _SWIN, (2, 32, 32)),
}


class TorchvisionVideo(Backbone):
    """A torchvision video classifier without its last layers.

    Args:
        name: a key of `TORCHVISION_MODELS`.
        pretrained: fetch the Kinetics-400 weights that torchvision gives by default.

    Raises:
        ModelError: the weights cannot be fetched.
    """

    def __init__(self, name: str, *, pretrained: bool) -> None:
        super().__init__()
        facts = TORCHVISION_MODELS[name]
        self.net = _torchvision_model(name, pretrained=pretrained)
        self.feature_dim = _cut_classifier(self.net, facts.classifier)
        self.normalization = facts.normalization
        self.min_clip = facts.min_clip
        self._exact_clip = facts.min_clip if facts.exact_clip else None
        self._name = name
        self._blocks = facts.blocks

    def encode(self, clips: Tensor) -> Tensor:
        """Return features (B, D) of clips (B, 3, T, H, W)."""
        if self._exact_clip is not None and tuple(clips.shape[2:]) != self._exact_clip:
            raise ModelError(
                f"{self._name} takes clips of exactly {self._exact_clip} (frames, height, width), "
                f"got {tuple(clips.shape[2:])}. Set train.clips.num_frames and size_px."
            )
        features: Tensor = self.net(clips)
        return features.flatten(1)

    def stages(self) -> list[nn.Module]:
        """See `Backbone.stages`."""
        return list(self.net.get_submodule(self._blocks).children())


def _torchvision_model(name: str, *, pretrained: bool) -> nn.Module:
    try:
        model: nn.Module = torchvision.models.get_model(
            name, weights="DEFAULT" if pretrained else None
        )
    except (URLError, OSError, RuntimeError) as error:
        weights: Any = torchvision.models.get_model_weights(name).DEFAULT
        raise ModelError(
            f"the pretrained weights of {name} could not be had ({error}). Fetch {weights.url} "
            "into the torch hub's checkpoints folder ($TORCH_HOME/hub/checkpoints), "
            "or set train.pretrained to false."
        ) from error
    return model


def _cut_classifier(model: nn.Module, attribute: str) -> int:
    """Replace the classifier of `model` by the identity; return the width of what enters it."""
    classifier = getattr(model, attribute)
    layers = [layer for layer in classifier.modules() if isinstance(layer, nn.Linear | nn.Conv3d)]
    width = layers[0].in_features if isinstance(layers[0], nn.Linear) else layers[0].in_channels
    setattr(model, attribute, nn.Identity())
    return int(width)
