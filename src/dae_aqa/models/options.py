"""The names of models and backbones, what must be known of them before they are built, the loss.

A check of `params.yaml` needs all this and must not wait for torch to be imported.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from dae_aqa.options import Fraction, Options, PositiveFloat, one_of

LossName = Literal["mse", "nll", "beta_nll", "crps"]
BatchNormMode = Literal["train", "frozen"]
Finetune = Literal["all", "head"]


class MethodFacts(NamedTuple):
    """What must be known of a model before it is built.

    Attributes:
        needs_judges: it learns from the marks of judges, and needs the rule that combines them.
        is_released: the released DAE code saves checkpoints of it.
    """

    needs_judges: bool = False
    is_released: bool = False


class BackboneFacts(NamedTuple):
    """What must be known of a backbone before it is built.

    Attributes:
        min_clip: smallest (frames, height_px, width_px) of a clip.
        exact_clip: it takes clips of that size alone.
        is_torchvision: torchvision has it, and pretrained weights for it.
    """

    min_clip: tuple[int, int, int]
    exact_clip: bool = False
    is_torchvision: bool = True


METHODS = {
    "mlp": MethodFacts(),
    "dae": MethodFacts(is_released=True),
    "dae_mt": MethodFacts(is_released=True),
    "dae_judges": MethodFacts(needs_judges=True),
}
BACKBONES = {
    "small3d": BackboneFacts((8, 32, 32), is_torchvision=False),
    "i3d": BackboneFacts((8, 32, 32), is_torchvision=False),
    "r3d_18": BackboneFacts((8, 32, 32)),
    "mc3_18": BackboneFacts((2, 32, 32)),
    "r2plus1d_18": BackboneFacts((8, 32, 32)),
    "s3d": BackboneFacts((14, 224, 224)),
    "mvit_v1_b": BackboneFacts((16, 224, 224), exact_clip=True),
    "mvit_v2_s": BackboneFacts((16, 224, 224), exact_clip=True),
    "swin3d_t": BackboneFacts((2, 32, 32)),
    "swin3d_s": BackboneFacts((2, 32, 32)),
    "swin3d_b": BackboneFacts((2, 32, 32)),
}
ModelName = Annotated[str, one_of(METHODS)]
BackboneName = Annotated[str, one_of(BACKBONES)]


class LossOptions(Options):
    """`train.loss`: what the predicted distribution is trained on.

    Attributes:
        name: which loss, see `dae_aqa.models.losses`.
        alpha: weight of the squared error in `nll`.
        beta: weight of the log-variance in `nll`.
        beta_nll: exponent in `beta_nll`: 0 is the likelihood, 1 has the mean gradient of the MSE.
        mse_warmup_fraction: share of the epochs in which the mean alone is trained, by its MSE.
        standardize_targets: train on scores with mean 0 and standard deviation 1.
    """

    name: LossName
    alpha: PositiveFloat
    beta: PositiveFloat
    beta_nll: Fraction
    mse_warmup_fraction: Fraction
    standardize_targets: bool
