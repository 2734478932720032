"""Feeds: what a model is fed with, batch by batch, on its device.

A `ClipFeed` gives clips, for training and evaluating the whole network. A `FeatureFeed` gives clip
features that were computed once, for a head on a frozen backbone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dae_aqa.clips.dataset import SampleDataset, collate
from dae_aqa.clips.layout import ClipLayout
from dae_aqa.clips.transform import make_clips
from dae_aqa.models.normalization import Normalization
from dae_aqa.running.lifetime import follow_parent


class Feed(Protocol):
    """What the training loop and the prediction need of their input."""

    wait_seconds: float

    def batches(
        self, groups: Sequence[Sequence[int]], *, epoch: int | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (indices, inputs) for each group of samples; indices on the CPU, int64 (N,).

        Without an epoch, the inputs are not augmented.
        """
        ...


class ClipFeed:
    """Feeds clips (N, K, 3, T, S, S).

    Args:
        dataset: the samples.
        layout: of the clips.
        normalization: of the pixels.
        num_workers: loader processes; 0 where the dataset holds its frames in memory.
        device: where the clips are made.
    """

    def __init__(
        self,
        dataset: SampleDataset,
        *,
        layout: ClipLayout,
        normalization: Normalization,
        num_workers: int,
        device: torch.device,
    ) -> None:
        self.wait_seconds = 0.0
        self._layout = layout
        self._normalization = normalization
        self._device = device
        self._batches = _Batches()
        self._loader = DataLoader(
            dataset,
            batch_sampler=self._batches,
            collate_fn=collate,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            worker_init_fn=follow_parent,
            pin_memory=device.type == "cuda",
            # without one of its own, the loader draws from the global generator, once per pass or
            # once per life of its workers: dropout would depend on num_workers
            generator=torch.Generator(),
        )

    def batches(
        self, groups: Sequence[Sequence[int]], *, epoch: int | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Feed.batches`."""
        self._batches.keys = [[(epoch, index) for index in group] for group in groups]
        self.wait_seconds = 0.0
        asked = time.perf_counter()
        for batch in self._loader:
            self.wait_seconds += time.perf_counter() - asked
            clips = make_clips(
                batch,
                layout=self._layout,
                normalization=self._normalization,
                device=self._device,
            )
            yield batch.indices, clips
            asked = time.perf_counter()


class FeatureFeed:
    """Feeds clip features (N, K, D) that were computed once.

    Args:
        features: of the samples.
        device: where they are kept.
        averaged: give their mean (N, 1, D), taken once and not in every step, where that is all
            that a model sees of them.
    """

    def __init__(self, features: Tensor, *, device: torch.device, averaged: bool = True) -> None:
        self.wait_seconds = 0.0
        features = features.to(device)
        self._features = features.mean(dim=1, keepdim=True) if averaged else features

    def batches(
        self, groups: Sequence[Sequence[int]], *, epoch: int | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Feed.batches`; features are the same in every epoch."""
        del epoch
        for group in groups:
            indices = torch.tensor(group)
            yield indices, self._features[indices.to(self._features.device)]


class _Batches:
    """A batch sampler whose keys the feed sets anew for each pass, under workers that live on."""

    def __init__(self) -> None:
        self.keys: list[list[tuple[int | None, int]]] = []

    def __iter__(self) -> Iterator[list[tuple[int | None, int]]]:
        return iter(self.keys)

    def __len__(self) -> int:
        return len(self.keys)
