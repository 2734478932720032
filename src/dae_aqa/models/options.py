"""The methods and backbones by name, what a model is, and its loss.

A check of `params.yaml` needs all this and must not wait for torch to be imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from dae_aqa.options import Fraction, Options, PositiveFloat, one_of
from dae_aqa.scoring import RuleName
from dae_aqa.wording import shown

LossName = Literal["mse", "nll", "beta_nll", "crps"]
BatchNormMode = Literal["train", "frozen"]
Finetune = Literal["all", "head"]
NeckName = Literal["mean", "attention"]
Decoding = Literal["mean", "published"]
ExemplarsBy = Literal["difficulty", "action_class", "any"]
Pairing = Literal["batch", "released"]


class MethodFacts(NamedTuple):
    """What must be known of a method before its model is built.

    Attributes:
        needs_judges: it learns from the marks of judges, and needs the rule that combines them.
        is_released: the released DAE code saves checkpoints of it.
        has_bins: it predicts distributions over the bins of a scale, see `BinOptions`.
        has_exemplars: it compares with training samples, see `ExemplarOptions`.
        learns_sigma: by `train.loss`, so that the mean can be trained alone at first.
    """

    needs_judges: bool = False
    is_released: bool = False
    has_bins: bool = False
    has_exemplars: bool = False
    learns_sigma: bool = True


class BackboneFacts(NamedTuple):
    """What must be known of a backbone before it is built.

    Attributes:
        min_clip: smallest (frames, height_px, width_px) of a clip.
        exact_clip: it takes clips of that size alone.
        is_torchvision: torchvision has it, and pretrained weights for it.
    """

    min_clip: tuple[int, int, int]
    exact_clip: bool = False
    is_torchvision: bool = False


# The file `models/heads/<name>.py` holds each method.
METHODS = {
    "mlp": MethodFacts(),
    "dae": MethodFacts(is_released=True),
    "dae_mt": MethodFacts(is_released=True),
    "dae_judges": MethodFacts(needs_judges=True),
    "usdl": MethodFacts(has_bins=True, learns_sigma=False),
    "musdl": MethodFacts(needs_judges=True, has_bins=True, learns_sigma=False),
    "core": MethodFacts(has_exemplars=True, learns_sigma=False),
    "dae_core": MethodFacts(has_exemplars=True),
}


def released_methods() -> list[str]:
    """Return the methods that a checkpoint of the released DAE code may hold."""
    return [name for name, facts in METHODS.items() if facts.is_released]


def released_checkpoint_fault(*, model: str, backbone: str) -> str | None:
    """Return why no checkpoint of the released DAE code is such a model; None where one can be."""
    if backbone == "i3d" and model in released_methods():
        return None
    return (
        "a released checkpoint holds the backbone i3d with the head of a "
        f"{' or a '.join(released_methods())}, but backbone is {shown(backbone)} and model "
        f"{model!r}. Set both, as `dae-aqa recipe mtl_aqa_dae_mt` does, or set it to null to train."
    )


def methods_without_judges() -> list[str]:
    """Return the methods that learn from scores alone."""
    return [name for name, facts in METHODS.items() if not facts.needs_judges]


# The file `models/backbones/<name>.py` holds each backbone that torchvision does not have.
BACKBONES = {
    "small3d": BackboneFacts((8, 32, 32)),
    "i3d": BackboneFacts((8, 32, 32)),
    "r3d_18": BackboneFacts((8, 32, 32), is_torchvision=True),
    "mc3_18": BackboneFacts((2, 32, 32), is_torchvision=True),
    "r2plus1d_18": BackboneFacts((8, 32, 32), is_torchvision=True),
    "s3d": BackboneFacts((14, 224, 224), is_torchvision=True),
    "mvit_v1_b": BackboneFacts((16, 224, 224), exact_clip=True, is_torchvision=True),
    "mvit_v2_s": BackboneFacts((16, 224, 224), exact_clip=True, is_torchvision=True),
    "swin3d_t": BackboneFacts((2, 32, 32), is_torchvision=True),
    "swin3d_s": BackboneFacts((2, 32, 32), is_torchvision=True),
    "swin3d_b": BackboneFacts((2, 32, 32), is_torchvision=True),
}
ModelName = Annotated[str, one_of(METHODS)]
BackboneName = Annotated[str, one_of(BACKBONES)]
I3dLayout = Literal["inception", "model_rgb"]
Dropout = Annotated[float, Field(ge=0, le=0.95)]


def _judges_where_needed(spec: ModelSpec) -> Iterator[str]:
    has_judges = spec.scoring_rule is not None and spec.num_judges is not None
    if METHODS[spec.model].needs_judges and not has_judges:
        yield (
            f"model: {spec.model} needs judge scores and the dataset's scoring_rule, got "
            f"scoring_rule {spec.scoring_rule!r} and {spec.num_judges} judges. Set "
            "datasets.<name>.scoring_rule, or choose one of the models "
            f"{', '.join(methods_without_judges())}."
        )


def _layout_where_needed(spec: ModelSpec) -> Iterator[str]:
    if (spec.backbone == "i3d") != (spec.i3d_layout is not None):
        yield (
            f"i3d_layout: {spec.i3d_layout!r} does not fit the backbone {spec.backbone!r}; an i3d "
            "has a layout, other backbones have none."
        )


def _scale_rises(bins: BinOptions) -> Iterator[str]:
    if bins.low is not None and bins.high is not None and bins.low >= bins.high:
        yield f"high: {bins.high:g} must be above low, {bins.low:g}."


NumBins = Annotated[int, Field(ge=2, le=10_000)]


class BinOptions(Options):
    """`train.bins`: the scale over which usdl (final scores) and musdl (marks) spread probability.

    Attributes:
        num: number of bins, whose centres lie evenly from `low` to `high`; None: 101, and of marks
            as many as the sport has.
        low: centre of the lowest bin, in points; None: from the rule or the training samples.
        high: centre of the highest bin, likewise.
        std: standard deviation of the Gaussian around a true score that is learned, in bins.
    """

    RULES = (_scale_rises,)

    num: NumBins | None
    low: float | None
    high: float | None
    std: PositiveFloat


class ExemplarOptions(Options):
    """`train.exemplars`: whom core and dae_core compare a performance with.

    Attributes:
        by: what exemplars have in common with it: the difficulty, the action class, or nothing.
        num_voters: how many of them vote.
        pairs: training compares all samples of a batch with each other, or as released each with a
            random exemplar that has that in common, and goes through the backbone too.
    """

    by: ExemplarsBy
    num_voters: Annotated[int, Field(ge=1, le=1000)]
    pairs: Pairing


class Bins(Options):
    """The bins of a model, all known; see `BinOptions`."""

    num: NumBins
    low: float
    high: float
    std: PositiveFloat


class Exemplars(ExemplarOptions):
    """The exemplars that a model holds.

    Attributes:
        sample_ids: their names: training samples, in the order of the model's buffers.
    """

    sample_ids: list[str]


def _parts_of_method(spec: ModelSpec) -> Iterator[str]:
    facts = METHODS[spec.model]
    for key, is_needed in (("bins", facts.has_bins), ("exemplars", facts.has_exemplars)):
        if is_needed and getattr(spec, key) is None:
            yield f"{key}: {spec.model} needs them, got none."


class ModelSpec(Options):
    """All that is needed to rebuild a model before its weights are loaded.

    Attributes:
        model: which method.
        backbone: which backbone.
        i3d_layout: published layout that an I3D computes; None for other backbones.
        scoring_rule: rule that combines judges; None where the method needs none.
        num_judges: marks per sample; None where the method needs none.
        dropout: probability with which the head drops inputs in training.
        neck: how the clips of a performance become one vector.
        average_mirrored: score the mean of a clip's features and of its mirror image's.
        decoding: what the answer is of a distribution that is no Gaussian: its mean, or what the
            published code takes.
        bins: of methods that have them.
        exemplars: of methods that compare.
    """

    RULES = (_judges_where_needed, _layout_where_needed, _parts_of_method)

    model: ModelName
    backbone: BackboneName
    i3d_layout: I3dLayout | None
    scoring_rule: RuleName | None
    num_judges: Annotated[int, Field(ge=1, le=100)] | None
    dropout: Dropout
    neck: NeckName = "mean"
    average_mirrored: bool = False
    decoding: Decoding = "mean"
    bins: Bins | None = None
    exemplars: Exemplars | None = None


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
