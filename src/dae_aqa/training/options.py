"""The options of training: the keys that stand first in `params.yaml`, and the section `train`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from dae_aqa.clips.options import ClipOptions
from dae_aqa.inference.options import Device, Precision
from dae_aqa.models.options import (
    BACKBONES,
    METHODS,
    BackboneName,
    BatchNormMode,
    BinOptions,
    Decoding,
    Dropout,
    ExemplarOptions,
    Finetune,
    LossOptions,
    ModelName,
    NeckName,
)
from dae_aqa.options import (
    CountInt,
    NonNegativeFloat,
    Options,
    PositiveFloat,
    PositiveInt,
    Rule,
    Seed,
    Text,
    UserPath,
    Workers,
)

OptimizerName = Literal["adam", "adamw"]
Schedule = Literal["constant", "cosine"]
SelectBy = Literal["spearman", "loss"]
# honest: validation samples choose the epoch, and the test samples are looked at once.
# as_published: all training samples train, and the test samples choose the epoch.
Protocol = Literal["honest", "as_published"]
# by protocol, the splits that train, and those that choose the epoch
SPLITS_OF: dict[Protocol, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "honest": (("train",), ("val",)),
    "as_published": (("train", "val"), ("test",)),
}


def splits_seen(protocol: Protocol) -> list[str]:
    """Return the splits whose samples train, or choose the epoch."""
    return [split for splits in SPLITS_OF[protocol] for split in splits]


def _memory_is_saved_one_way(train: TrainSection) -> Iterator[str]:
    if train.compile and train.activation_checkpointing:
        yield (
            "compile: cannot go together with train.activation_checkpointing, since compiled code "
            "decides by itself what it keeps; set one of the two to false."
        )


class TrainSection(Options):
    """`train`: the optimisation; docs/params.md tells of every key."""

    RULES = (_memory_is_saved_one_way,)

    clips: ClipOptions
    loss: LossOptions
    neck: NeckName
    average_mirrored: bool
    decoding: Decoding
    bins: BinOptions
    exemplars: ExemplarOptions
    backbone_weights: UserPath | None
    pretrained: bool
    finetune: Finetune
    bn: BatchNormMode
    dropout: Dropout
    optimizer: OptimizerName
    schedule: Schedule
    warmup_epochs: NonNegativeFloat
    clip_grad_norm: PositiveFloat | None
    backbone_lr_factor: PositiveFloat
    average_weights: Annotated[float, Field(ge=0, le=0.9999)]
    accumulate_steps: PositiveInt
    precision: Precision
    channels_last: bool
    compile: bool
    activation_checkpointing: bool
    deterministic: bool
    num_threads: Annotated[int, Field(ge=0, le=4096)]
    num_processes: Workers
    parts_at_once: Workers
    select_by: SelectBy
    early_stopping_patience: PositiveInt | None
    calibrate_sigma: bool
    tracking: bool
    experiment: Annotated[Text, Field(max_length=250)]  # MLflow's column holds 256


def _clips_fit_backbone(options: TrainingOptions) -> Iterator[str]:
    facts, clips = BACKBONES[options.backbone], options.train.clips
    frames, side_px, _ = facts.min_clip
    word = "exactly" if facts.exact_clip else "at least"
    for key, value, least in (
        ("num_frames", clips.num_frames, frames),
        ("size_px", clips.size_px, side_px),
    ):
        if value < least or (facts.exact_clip and value != least):
            yield f"train.clips.{key}: {value}, but {options.backbone} takes {word} {least}."


def _one_way_to_share_the_machine(options: TrainingOptions) -> Iterator[str]:
    together, at_once = options.train.num_processes, options.train.parts_at_once
    if together > 1 and at_once > 1:
        yield (
            f"train.parts_at_once: {at_once} parts at once, each of which would train in "
            f"{together} processes (train.num_processes); set one of the two to 1."
        )


def _pairs_need_two(options: TrainingOptions) -> Iterator[str]:
    steps, processes = options.train.accumulate_steps, options.train.num_processes
    pairs = METHODS[options.model].has_exemplars and options.train.exemplars.pairs == "batch"
    if pairs and math.ceil(options.train_batch_size // processes / steps) < 2:
        yield (
            "train.exemplars.pairs: batch compares the samples of a batch with each other, but one "
            "goes through the network at once; make train_batch_size at least "
            f"{2 * steps * processes}, or set train.exemplars.pairs to released."
        )


def _pretrained_weights_exist(options: TrainingOptions) -> Iterator[str]:
    if options.train.pretrained and not BACKBONES[options.backbone].is_torchvision:
        yield (
            f"train.pretrained: true fetches torchvision's weights, which {options.backbone} has "
            "none of; set it to false and train.backbone_weights to a file."
        )


class TrainingOptions(Options):
    """All that a training is told: the keys that stand first in the file, and `train`.

    Attributes:
        model: which method, see `dae_aqa.models.options.METHODS`.
        backbone: which network looks at a clip, see `dae_aqa.models.options.BACKBONES`.
        lr: peak learning rate.
        weight_decay: of the optimizer.
        train_batch_size: samples per step, of all processes together.
        test_batch_size: samples per forward pass where nothing is trained.
        num_epochs: passes over the training samples.
        num_workers: loader processes; 0 loads in the training process.
        temporal_aug: the window moves by up to half as many frames, either way.
        seed: of everything that is random.
        protocol: which samples train, and which choose the epoch.
        device: where the network computes.
        train: the section `train`.
    """

    RULES: ClassVar[tuple[Rule, ...]] = (
        _clips_fit_backbone,
        _one_way_to_share_the_machine,
        _pairs_need_two,
        _pretrained_weights_exist,
    )

    model: ModelName
    backbone: BackboneName
    lr: PositiveFloat
    weight_decay: NonNegativeFloat
    train_batch_size: PositiveInt
    test_batch_size: PositiveInt
    num_epochs: PositiveInt
    num_workers: Annotated[int, Field(ge=0, le=256)]
    temporal_aug: CountInt
    seed: Seed
    protocol: Protocol
    device: Device
    train: TrainSection

    @property
    def num_warmup_epochs(self) -> int:
        """Epochs of the MSE warm-up, which trains the means alone; 0 where sigma is not learned."""
        if not METHODS[self.model].learns_sigma:
            return 0
        return math.ceil(self.train.loss.mse_warmup_fraction * self.num_epochs)
