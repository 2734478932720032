"""torchvision's video models as backbones: their classifier is cut off."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.error import URLError

import torchvision
from torch import Tensor, nn
from torchvision.models import video

from dae_aqa.errors import ModelError
from dae_aqa.models.backbones.base import Backbone
from dae_aqa.models.normalization import IMAGENET, KINETICS, Normalization
from dae_aqa.models.options import BACKBONES

# Of torchvision's MViT weights.
_MVIT = Normalization(mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225))


class _Family(NamedTuple):
    """How networks of one class become backbones.

    Attributes:
        classifier: attribute that holds the last layers.
        normalization: what the weights were trained with.
        blocks: attribute whose children are the stages; "": the network's own children.
    """

    classifier: str
    normalization: Normalization
    blocks: str


# Source: https://docs.pytorch.org/vision/stable/models.html#video-classification
_FAMILIES: dict[type[nn.Module], _Family] = {
    video.VideoResNet: _Family("fc", KINETICS, blocks=""),
    video.S3D: _Family("classifier", KINETICS, blocks="features"),
    video.MViT: _Family("head", _MVIT, blocks="blocks"),
    video.SwinTransformer3d: _Family("head", IMAGENET, blocks="features"),
}


class TorchvisionVideo(Backbone):
    """A torchvision video classifier without its last layers.

    Args:
        name: a backbone of torchvision's.
        pretrained: fetch the Kinetics-400 weights that torchvision gives by default.

    Raises:
        ModelError: the weights cannot be fetched.
    """

    def __init__(self, name: str, *, pretrained: bool) -> None:
        super().__init__()
        self.net = _torchvision_model(name, pretrained=pretrained)
        family = _FAMILIES[type(self.net)]
        self.feature_dim = _cut_classifier(self.net, family.classifier)
        self.normalization = family.normalization
        self.min_clip = BACKBONES[name].min_clip
        self._name = name
        self._blocks = family.blocks

    def encode(self, clips: Tensor) -> Tensor:
        """Return features (B, D) of clips (B, 3, T, H, W)."""
        is_exact = BACKBONES[self._name].exact_clip  # its position embedding fits that size alone
        if is_exact and tuple(clips.shape[2:]) != self.min_clip:
            raise ModelError(
                f"{self._name} takes clips of exactly {self.min_clip} (frames, height, width), "
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
