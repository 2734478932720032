"""The optimizer and its learning rate over a training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from dae_aqa.training.options import OptimizerName, Schedule


def make_optimizer(
    groups: Sequence[tuple[Iterable[nn.Parameter], float]],
    *,
    name: OptimizerName,
    lr: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """Return the optimizer over the parameters that are trained.

    `adam` adds the decay to the gradient, as the released code has it; `adamw` decouples it.

    Args:
        groups: parameters, and what the learning rate of each group is multiplied with.
        name: `adam` or `adamw`.
        lr: peak rate.
        weight_decay: strength of the decay.
    """
    chosen: list[dict[str, Any]] = [
        {"params": [each for each in parameters if each.requires_grad], "lr": lr * factor}
        for parameters, factor in groups
    ]
    chosen = [group for group in chosen if group["params"]]
    trained = [parameter for group in chosen for parameter in group["params"]]
    kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    # one kernel for all parameters: on a CPU a third of the time of a head's step
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in trained)
    return kind(chosen, lr=lr, weight_decay=weight_decay, fused=fused, foreach=not fused)


def set_lr(optimizer: torch.optim.Optimizer, *, factor: float) -> None:
    """Set the learning rate to the optimizer's peak rate times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor


def lr_factor(step: int, *, num_steps: int, num_warmup_steps: int, schedule: Schedule) -> float:
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
