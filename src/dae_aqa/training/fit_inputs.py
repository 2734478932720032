"""What a training loop is given: its options, and samples with what feeds them."""

from __future__ import annotations

from dataclasses import dataclass, fields

from dae_aqa.inference.feeds import Feed
from dae_aqa.inference.options import Precision
from dae_aqa.inference.samples import ScoredSamples
from dae_aqa.models.options import LossOptions
from dae_aqa.training.options import OptimizerName, Schedule, TrainingOptions


@dataclass(frozen=True)
class FitOptions:
    """The options that `fit` needs, under their names in `TrainingOptions`."""

    num_epochs: int
    train_batch_size: int
    test_batch_size: int
    lr: float
    weight_decay: float
    seed: int
    loss: LossOptions
    optimizer: OptimizerName
    schedule: Schedule
    warmup_epochs: float
    clip_grad_norm: float | None
    backbone_lr_factor: float
    average_weights: float
    accumulate_steps: int
    precision: Precision
    early_stopping_patience: int | None
    calibrate_sigma: bool

    @classmethod
    def of(cls, options: TrainingOptions) -> FitOptions:
        """Return those of a training with these options."""
        known = dict(options) | dict(options.train)
        if options.protocol == "as_published":  # no sample is left that sigma could be scaled by
            known["calibrate_sigma"] = False
        return cls(**{each.name: known[each.name] for each in fields(cls)})


@dataclass(frozen=True)
class FedSamples:
    """The samples of one split, and the feed that gives their clips or features."""

    samples: ScoredSamples
    feed: Feed
