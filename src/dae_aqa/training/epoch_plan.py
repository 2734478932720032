"""The plan of an epoch: which samples go through the network at once, and how much they weigh."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dae_aqa.inference.predict import chunks
from dae_aqa.inference.processes import Processes
from dae_aqa.training.fit_inputs import FitOptions


@dataclass(frozen=True)
class Piece:
    """What goes through the network at once: a part of this process's share of a batch.

    Attributes:
        rows: of the samples.
        weight: of its mean loss. The weighted losses of all pieces of a batch add up to the batch's
            mean loss, times the number of processes, whose gradients are averaged.
        num_counted: how many of the samples count; 0 where another process counts them.
    """

    rows: list[int]
    weight: float
    num_counted: int


def plan_epoch(
    num_samples: int, *, epoch: int, options: FitOptions, processes: Processes
) -> list[list[Piece]]:
    """Return the steps of an epoch for this process: a batch each, cut into pieces."""
    order = np.random.default_rng([options.seed, epoch]).permutation(num_samples).tolist()
    steps = []
    for batch in chunks(order, options.train_batch_size):
        own, num_counted = processes.share(batch)
        pieces = chunks(own, math.ceil(len(own) / options.accumulate_steps))
        counts = num_counted > 0
        steps.append(
            [
                Piece(
                    rows,
                    weight=len(rows) / len(batch) * processes.count if counts else 0.0,
                    num_counted=len(rows) if counts else 0,
                )
                for rows in pieces
            ]
        )
    return steps


def epoch_seed(seed: int, epoch: int, *, rank: int) -> int:
    """Return the seed of dropout and of the draws of z in an epoch, for the process `rank`."""
    own = [rank] if rank else []
    return int(np.random.SeedSequence([seed, epoch, *own]).generate_state(1, np.uint64)[0])
