"""Whether a performance looks like those that a model was trained on.

A performance looks like the mean of its clip features. Its distance is that to the nearest training
sample. What distances are usual is known from the training samples themselves, each measured
against the others. `benchmarks/familiarity.py` compares this with a Gaussian of the features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from dae_aqa.errors import ModelError
from dae_aqa.inference.feeds import Feed
from dae_aqa.inference.options import Precision
from dae_aqa.inference.predict import chunks, clip_features, in_order
from dae_aqa.inference.processes import ALONE, Processes
from dae_aqa.models.model import ScoreModel

# A distance beyond this many times the 99th percentile of the training samples' own is unlike
# training: chosen by measurement, benchmarks/results/familiarity.json.
UNLIKE_FACTOR = 1.25
_USUAL = 0.99


@dataclass(frozen=True, eq=False)
class TrainingFeatures:
    """What the training samples look like to a model.

    Attributes:
        values: mean clip features of M > 1 training samples, float32 (M, D).
    """

    values: Tensor

    @classmethod
    def from_file(cls, values: object, *, path: Path) -> TrainingFeatures:
        """Return what a model file holds.

        Raises:
            ModelError: `values` are no such features; `path` is named.
        """
        if not (
            isinstance(values, Tensor)
            and values.dtype == torch.float32
            and values.ndim == 2
            and len(values) > 1
            and bool(torch.isfinite(values).all())
        ):
            raise ModelError(f"{path}: its features of training samples are damaged; train again.")
        return cls(values)

    @cached_property
    def usual(self) -> Tensor:
        """Distances of the training samples to the nearest other one, ascending, (M,)."""
        distance = _distances(self.values, self.values)
        distance.fill_diagonal_(torch.inf)
        return distance.min(dim=1).values.sort().values

    @property
    def threshold(self) -> float:
        """The distance beyond which a performance is unlike training."""
        return UNLIKE_FACTOR * float(torch.quantile(self.usual, _USUAL))

    def distance(self, features: Tensor) -> float:
        """Return the distance of a performance to the nearest training sample.

        Args:
            features: its clip features (K, D).

        Raises:
            ModelError: they have another length D.
        """
        look = mean_look(features)
        if look.shape != self.values.shape[1:]:
            raise ModelError(
                f"the model's training samples have features of length {self.values.shape[1]}, got "
                f"{len(look)}; the file is damaged, train it again."
            )
        return float(_distances(look[None], self.values).min())

    def percentile(self, distance: float) -> float:
        """Return how many of 100 training samples lie nearer to another one than `distance`."""
        return 100.0 * float((self.usual < distance).double().mean())


def mean_look(features: Tensor) -> Tensor:
    """Return what a performance with clip features (..., K, D) looks like, float32 (..., D)."""
    return features.float().cpu().mean(dim=-2)


def training_features(
    model: ScoreModel,
    feed: Feed,
    *,
    num_samples: int,
    batch_size: int,
    precision: Precision,
    processes: Processes = ALONE,
) -> TrainingFeatures | None:
    """Return what all samples of `feed` look like, not augmented; None where there is but one.

    Args:
        model: is left in evaluation mode.
        feed: gives the samples' inputs.
        num_samples: their number M.
        batch_size: samples per forward pass.
        precision: of the forward pass.
        processes: share the samples between them; each returns all.
    """
    if num_samples < 2:
        return None
    own: Sequence[int] = range(processes.rank, num_samples, processes.count)
    parts = [
        (indices, mean_look(features))
        for indices, features in clip_features(
            model, feed, chunks(own, batch_size), precision=precision
        )
    ]
    return TrainingFeatures(in_order(parts, processes))


def _distances(one: Tensor, other: Tensor) -> Tensor:
    """Return the distances between the rows of (A, D) and (B, D), float64 (A, B)."""
    return torch.cdist(one.double(), other.double(), compute_mode="donot_use_mm_for_euclid_dist")
