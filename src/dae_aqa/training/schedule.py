"""The optimizer and its learning rate over a training."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import nn

from dae_aqa.params import Params


def make_optimizer(
    parameters: Iterable[nn.Parameter],
    *,
    name: Literal["adam", "adamw"],
    lr: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """Return the optimizer over the parameters that are trained.

    `adam` adds the decay to the gradient, as the released code has it; `adamw` decouples it.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    # one kernel for all parameters: on a CPU a third of the time of a head's step
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in trained)
    return kind(trained, lr=lr, weight_decay=weight_decay, fused=fused, foreach=not fused)


def lr_factor(
    step: int, *, num_steps: int, num_warmup_steps: int, schedule: Literal["constant", "cosine"]
) -> float:
    """Return what the peak learning rate is multiplied with at `step` (counted from 0).

    It rises linearly over the warm-up, then stays at 1 or falls to 0 on half a cosine.
    Source: Loshchilov and Hutter 2017 (arXiv 1608.03983), equation 5, without restarts.
    """
    if step < num_warmup_steps:
        return (step + 1) / (num_warmup_steps + 1)
    if schedule == "constant":
        return 1.0
    progress = (step - num_warmup_steps) / max(1, num_steps - num_warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def first_likelihood_epoch(params: Params) -> int:
    """Return the number of epochs of the MSE warm-up: the first one after it, counted from 0."""
    return math.ceil(params.train.loss.mse_warmup_fraction * params.num_epochs)
