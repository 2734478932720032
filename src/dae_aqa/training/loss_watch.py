"""The losses of an epoch, added up, and the stop at one that is not finite."""

from __future__ import annotations

import math

from torch import Tensor

from dae_aqa.errors import TrainingError
from dae_aqa.inference.samples import ScoredSamples


class LossWatch:
    """Adds up the losses of an epoch and stops at one that is not finite.

    A loss is looked at when the next one has been asked for: on a GPU, looking at it at once would
    make the next step wait. What came after it is lost then, but the checkpoint before the epoch
    is not.
    """

    def __init__(self, samples: ScoredSamples, *, epoch: int) -> None:
        self._samples, self._epoch = samples, epoch
        self._pending: tuple[Tensor, Tensor, int] | None = None
        self._total = 0.0

    def add(self, loss: Tensor, indices: Tensor, *, num_counted: int) -> None:
        """Note the mean loss (scalar) of the samples `indices`, `num_counted` of which count.

        Raises:
            TrainingError: the loss before this one is not finite.
        """
        self._look()
        self._pending = (loss, indices, num_counted)

    def total(self) -> float:
        """Return the sum of all samples' losses.

        Raises:
            TrainingError: the last loss is not finite.
        """
        self._look()
        self._pending = None
        return self._total

    def _look(self) -> None:
        if self._pending is None:
            return
        loss, indices, num_counted = self._pending
        value = loss.item()
        if not math.isfinite(value):
            names = ", ".join(self._samples.sample_ids[index] for index in indices.tolist())
            raise TrainingError(
                f"the loss became {value} in epoch {self._epoch}, batch of samples {names}. The "
                "state before this epoch is kept. Lower lr, set train.clip_grad_norm, or look at "
                "these samples; the run then starts anew, since its parameters changed."
            )
        self._total += value * num_counted
