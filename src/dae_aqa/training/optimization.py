"""The steps of a training: from losses to weights, by the learning rate of each step."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from dae_aqa.models.model import ScoreModel
from dae_aqa.training.averaging import WeightAverage
from dae_aqa.training.fit_inputs import FitOptions
from dae_aqa.training.schedule import lr_factor, make_optimizer, set_lr


class Optimization:
    """Changes the weights of a model, one step for each batch.

    Args:
        model: what is trained, on its device.
        options: how to train.
    """

    def __init__(self, model: ScoreModel, options: FitOptions) -> None:
        self._trained, self._options = model.trained_part, options
        self._optimizer = _optimizer_of(model, options)
        device = next(model.parameters()).device
        # by default it works on CUDA alone and is silently off elsewhere
        self._scaler = torch.amp.GradScaler(device.type, enabled=options.precision == "fp16")
        self._average = None
        if options.average_weights:
            self._average = WeightAverage(self._trained, decay=options.average_weights)

    @property
    def stateful(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the weights, by its name there."""
        kept = {"optimizer": self._optimizer, "scaler": self._scaler, "average": self._average}
        return {name: part for name, part in kept.items() if part is not None}

    @property
    def lr(self) -> float:
        """The learning rate of the last step; of two rates, that of neck and head."""
        return float(self._optimizer.param_groups[-1]["lr"])

    def start_step(self, number: int, *, num_per_epoch: int) -> None:
        """Set the learning rate of a step, and forget the gradients of the one before.

        Args:
            number: of the step, counted from 0 over all epochs.
            num_per_epoch: how many steps an epoch has.
        """
        factor = lr_factor(
            number,
            num_steps=self._options.num_epochs * num_per_epoch,
            num_warmup_steps=round(self._options.warmup_epochs * num_per_epoch),
            schedule=self._options.schedule,
        )
        set_lr(self._optimizer, factor=factor)
        self._optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor, weight: float) -> None:
        """Add the gradients of `loss` (scalar), times `weight`, to those of this step."""
        self._scaler.scale(loss * weight).backward()  # type: ignore[no-untyped-call]

    def finish_step(self) -> None:
        """Change the weights by the gradients of this step, and let the average follow."""
        if self._options.clip_grad_norm is not None:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._trained.parameters(), self._options.clip_grad_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if self._average is not None:
            self._average.update()

    def averaged(self) -> AbstractContextManager[None]:
        """Return the context in which the model has the averaged weights, if they are averaged."""
        return nullcontext() if self._average is None else self._average.in_place()


def _optimizer_of(model: ScoreModel, options: FitOptions) -> torch.optim.Optimizer:
    """Return the optimizer of what is trained; the backbone may learn at a rate of its own."""
    trained = model.trained_part
    backbone = list(model.backbone.parameters())
    is_backbone = {id(parameter) for parameter in backbone}
    others = [each for each in trained.parameters() if id(each) not in is_backbone]
    groups = [(list(trained.parameters()), 1.0)]
    if options.backbone_lr_factor != 1.0:
        groups = [(backbone, options.backbone_lr_factor), (others, 1.0)]
    return make_optimizer(
        groups,
        name=options.optimizer,
        lr=options.lr,
        weight_decay=options.weight_decay,
    )
