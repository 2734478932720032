"""The score model: backbone → neck → head, from clips to a distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dae_aqa.errors import ModelError
from dae_aqa.metrics.sigma_scale import sigma_factor
from dae_aqa.models.backbones.base import Backbone
from dae_aqa.models.heads.base import Head, HeadOutput
from dae_aqa.models.neck import Neck
from dae_aqa.models.options import BatchNormMode, Finetune, LossOptions, ModelSpec
from dae_aqa.models.targets import ScorePrediction, Targets, check_output

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class ScoreModel(nn.Module):
    """From the clips of a performance to the distribution of its score.

    Args:
        backbone: clips → features.
        neck: features of all clips → one vector.
        head: vector → distribution.
        spec: what rebuilds them.
    """

    def __init__(self, *, backbone: Backbone, neck: Neck, head: Head, spec: ModelSpec) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.head = head
        self.spec = spec
        self._frozen_bn = False
        self._frozen_backbone = False

    def forward(self, inputs: Tensor, *, means_only: bool = False) -> HeadOutput:
        """Return the head's output.

        Args:
            inputs: normalised clips (N, K, 3, T, H, W), or their features (N, K, D).
            means_only: leave the variances out, where the loss does not use them: several processes
                would wait for their gradients.
        """
        output: HeadOutput = self.head(self.vectors(inputs))
        return HeadOutput(output.values) if means_only else output

    def vectors(self, inputs: Tensor) -> Tensor:
        """Return what the head gets (N, D'), of clips or features as `forward` takes them."""
        features = inputs if inputs.ndim == 3 else self.features(inputs)
        vectors: Tensor = self.neck(features)
        return vectors

    def features(self, clips: Tensor) -> Tensor:
        """Return features (N, K, D) of normalised clips (N, K, 3, T, H, W), in one backbone call.

        Where the neck looks at time steps, K counts those of all clips. With `average_mirrored`, a
        backbone that is not learning sees every clip twice.

        Raises:
            ModelError: the clips have another number of axes.
        """
        if clips.ndim != 6:
            raise ModelError(
                f"the model takes clips of shape (N, K, 3, T, H, W), got {tuple(clips.shape)}."
            )
        num_samples, num_clips = clips.shape[:2]
        steps, each = self.neck.needs_steps, clips.flatten(0, 1)
        features: Tensor = self.backbone(each, steps=steps)  # (N * K, S?, D)
        if self.spec.average_mirrored and not self.backbone.training:
            features = (features + self.backbone(each.flip(-1), steps=steps)) / 2
        num_steps = num_clips * features.shape[1] if steps else num_clips
        return features.reshape(num_samples, num_steps, -1)

    def loss(
        self, output: HeadOutput, targets: Targets, *, options: LossOptions, warmup: bool
    ) -> Tensor:
        """Return the mean loss of a batch (scalar).

        Args:
            output: what `forward` gave.
            targets: true scores on the same device.
            options: which loss.
            warmup: train the means alone, by their squared error.
        """
        return self.head.loss(output, targets, options=options, warmup=warmup)

    @torch.no_grad()
    def predict(
        self,
        output: HeadOutput,
        difficulty: Tensor,
        *,
        action_class: Tensor | None = None,
        sample_ids: Sequence[str] | None = None,
    ) -> ScorePrediction:
        """Return the distributions of the scores; the same every time, on the CPU.

        Args:
            output: what `forward` gave.
            difficulty: degrees of difficulty (N,).
            action_class: `targets.class_codes` (N,), where the head needs them.
            sample_ids: names for messages; rows of the batch are named where there are none.

        Raises:
            ModelError: a difficulty is not a finite number > 0, or the output is not finite.
        """
        names = sample_ids or [f"row {row} of the batch" for row in range(len(output.values))]
        check_output(output.values, sample_ids=names)
        return self.head.predict(output, difficulty, action_class=action_class)

    def fit_sigma_scale(self, prediction: ScorePrediction, targets: Targets) -> float:
        """Scale all sigma by what the validation samples say of it; return the factor.

        The factor (`metrics.sigma_scale.sigma_factor`) keeps the order of sigma and every mu.

        Raises:
            ModelError: the factor is not a finite number.
        """
        forecast, target = prediction.forecast(), targets.final_score.cpu().double().numpy()
        squares = ((target - forecast.mean) / forecast.sigma) ** 2
        factor = sigma_factor(float(squares.sum()), num_samples=len(squares))
        if not math.isfinite(factor):
            raise ModelError(
                f"cannot calibrate sigma on {len(target)} validation sample(s): the factor would "
                f"be {factor}. Look at their scores, or set train.calibrate_sigma to false."
            )
        self.head.sigma_scale.mul_(factor)
        return factor

    def set_bn_mode(self, mode: BatchNormMode) -> None:
        """Keep the backbone's batch norms in evaluation mode ("frozen"), or let them train.

        Frozen, their statistics stay, while their gains and biases still learn, as in the released
        DAE code.
        """
        self._frozen_bn = mode == "frozen"
        self.train(self.training)

    def set_finetune(self, part: Finetune) -> None:
        """Train everything, or neck and head alone with the backbone in evaluation mode."""
        self._frozen_backbone = part == "head"
        self.backbone.requires_grad_(not self._frozen_backbone)
        self.train(self.training)

    @property
    def trained_part(self) -> nn.Module:
        """What is trained: all of the model, or what follows the backbone that is frozen.

        A neck without weights is left out, so that the head's keep their names.
        """
        if not self._frozen_backbone:
            return self
        has_weights = any(True for _ in self.neck.parameters())
        return nn.ModuleDict({"neck": self.neck, "head": self.head}) if has_weights else self.head

    def train(self, mode: bool = True) -> ScoreModel:
        """Set training mode, except for what `set_bn_mode` and `set_finetune` froze."""
        super().train(mode)
        if self._frozen_backbone:
            self.backbone.eval()
        elif self._frozen_bn:
            for module in self.backbone.modules():
                if isinstance(module, _BATCH_NORMS):
                    module.eval()
        return self
