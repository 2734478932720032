"""What every backbone is: a map from clips to features, with the facts that its users need."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dae_aqa.errors import ModelError
from dae_aqa.models.normalization import Normalization


class Backbone(nn.Module, ABC):
    """A network from clips to one feature vector per clip.

    Attributes:
        feature_dim: length D of the feature vector.
        normalization: what its input is normalised with.
        min_clip: smallest (frames, height_px, width_px) that it takes.
    """

    feature_dim: int
    normalization: Normalization
    min_clip: tuple[int, int, int]

    @abstractmethod
    def encode(self, clips: Tensor) -> Tensor:
        """Return features (B, D) of normalised clips (B, 3, T, H, W); shapes are checked before."""

    def encode_steps(self, clips: Tensor) -> Tensor:
        """Return features (B, S, D) of the time steps of clips; of most backbones S is 1."""
        return self.encode(clips)[:, None]

    def forward(self, clips: Tensor, *, steps: bool = False) -> Tensor:
        """Return features (B, D) of normalised clips (B, 3, T, H, W), or (B, S, D) with `steps`.

        On a CPU the features of a clip do not depend on how many others are in the batch, to the
        bit, as long as the number of threads is the same.

        Raises:
            ModelError: the clips are no such array or are smaller than `min_clip`.
        """
        if clips.ndim != 5 or clips.shape[1] != 3:
            raise ModelError(
                f"{type(self).__name__} takes clips of shape (B, 3, T, H, W), "
                f"got {tuple(clips.shape)}."
            )
        if any(size < least for size, least in zip(clips.shape[2:], self.min_clip, strict=True)):
            raise ModelError(
                f"{type(self).__name__} needs clips of at least {self.min_clip} (frames, height, "
                f"width), got {tuple(clips.shape[2:])}. Raise train.clips.num_frames or size_px."
            )
        encode = self.encode_steps if steps else self.encode
        if self.training or clips.device.type != "cpu":
            return encode(clips)
        if any(isinstance(module, nn.Linear) for module in self.modules()):
            # a product of matrices is rounded by the number of their rows
            return torch.cat([encode(clip[None]) for clip in clips])
        if len(clips) == 1:
            # PyTorch convolves a single clip by slower kernels, with other last bits
            return encode(torch.cat((clips, clips)))[:1]
        return encode(clips)

    def stages(self) -> Sequence[nn.Module]:
        """Return the modules that activations pass one after the other.

        With `recompute_activations` what is computed within each of them is not kept for the
        backward pass; none: the backbone cannot do that.
        """
        return ()
