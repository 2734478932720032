"""An average of the weights over the steps of a training, which is what validates and is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_RAMP_STEPS = 10  # the average looks back over a share of the steps at first


class WeightAverage:
    """Exponential moving average of a module's weights and statistics, in a copy beside them.

    After step n the average moves towards the weights by 1 - d, where d is the smaller of `decay`
    and (1 + n) / (10 + n), so that it does not remember where the weights began.

    Args:
        module: what is trained.
        decay: d in the long run, in (0, 1): 0.99 looks back over about a hundred steps.

    Source: Polyak and Juditsky 1992; with this ramp, the moving averages of Inception's training,
    Szegedy et al. 2016, "Rethinking the inception architecture", section 8.
    """

    def __init__(self, module: nn.Module, *, decay: float) -> None:
        self._module = module
        self._decay = decay
        self._num_steps = 0
        self._average = {name: value.detach().clone() for name, value in self._current().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take over a step that the optimizer has made."""
        decay = min(self._decay, (1 + self._num_steps) / (_RAMP_STEPS + self._num_steps))
        current = self._current()
        torch._foreach_lerp_(
            [self._average[name] for name in current], list(current.values()), 1 - decay
        )
        self._num_steps += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average into the module, and its own weights back at the end."""
        own = {name: value.detach().clone() for name, value in self._current().items()}
        self._copy(self._average)
        try:
            yield
        finally:
            self._copy(own)

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` goes on from."""
        return {"average": self._average, "num_steps": self._num_steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that was saved."""
        self._num_steps = state["num_steps"]
        for name, value in self._average.items():
            value.copy_(state["average"][name])

    def _current(self) -> dict[str, Tensor]:
        """Return the weights and statistics that are averaged: all that are no whole numbers."""
        state = self._module.state_dict()
        return {name: value for name, value in state.items() if value.is_floating_point()}

    @torch.no_grad()
    def _copy(self, values: Mapping[str, Tensor]) -> None:
        for name, value in self._current().items():
            value.copy_(values[name])
