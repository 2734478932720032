"""Activation checkpointing: less memory in training, for a second forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from dae_aqa.errors import ModelError
from dae_aqa.models.backbones.base import Backbone


def recompute_activations(backbone: Backbone) -> None:
    """Keep only what enters each stage for the backward pass, and compute the rest anew there.

    Gradients, the batch norms' statistics and the names of all parameters stay the same.

    Raises:
        ModelError: the backbone names no stages.
    """
    stages = backbone.stages()
    if not stages:
        raise ModelError(
            f"{type(backbone).__name__} has no stages to recompute. Set "
            "train.activation_checkpointing to false, or write its method `stages`."
        )
    for stage in stages:
        stage.forward = partial(_run, stage, stage.forward)


def _run(stage: nn.Module, forward: Callable[[Tensor], Tensor], *inputs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs)
    return checkpoint(
        forward, *inputs, use_reentrant=False, context_fn=partial(_first_and_second_pass, stage)
    )


def _first_and_second_pass(
    stage: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _statistics_at_rest(stage)


@contextmanager
def _statistics_at_rest(stage: nn.Module) -> Iterator[None]:
    """Let batch norms add what they see to a copy of their statistics, which counted it before."""
    norms = [module for module in stage.modules() if isinstance(module, _BatchNorm)]
    kept = [(norm, name, value) for norm in norms for name, value in norm.named_buffers()]
    try:
        for norm, name, value in kept:
            setattr(norm, name, value.clone())
        yield
    finally:
        for norm, name, value in kept:
            setattr(norm, name, value)
