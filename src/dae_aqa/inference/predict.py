"""Predictions of a model over a feed: mu and sigma, never a random draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from dae_aqa.inference.feeds import Feed
from dae_aqa.inference.options import Precision
from dae_aqa.inference.processes import ALONE, Processes
from dae_aqa.inference.samples import Performances
from dae_aqa.models.model import ScoreModel
from dae_aqa.models.targets import ScorePrediction
from dae_aqa.running.progress import Progress

_AUTOCAST_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return the context in which a forward pass runs; with fp32 it changes nothing."""
    return torch.autocast(
        device.type,
        dtype=_AUTOCAST_DTYPES.get(precision, torch.bfloat16),
        enabled=precision != "fp32",
    )


@torch.no_grad()
def predict(
    model: ScoreModel,
    feed: Feed,
    *,
    performances: Performances,
    batch_size: int,
    precision: Precision,
    show_progress: bool,
    processes: Processes = ALONE,
) -> ScorePrediction:
    """Return the predictions for all samples of `feed`, in their order, on the CPU.

    Args:
        model: is left in evaluation mode.
        feed: gives the samples' inputs, not augmented.
        performances: those of `feed`.
        batch_size: samples per pass of the backbone; on a CPU it changes no bit.
        precision: of the forward pass.
        show_progress: whether to draw a progress bar.
        processes: share the samples between them; each returns all predictions.

    Raises:
        ModelError: the output for a sample is not finite.
    """
    own = range(processes.rank, len(performances), processes.count)
    parts: list[tuple[Tensor, ScorePrediction]] = []
    with Progress("predict", total=len(own), unit="sample", show=show_progress) as bar:
        batches = clip_features(model, feed, chunks(own, batch_size), precision=precision)
        for indices, features in batches:
            answer = score_features(model, features, performances.take(indices), precision)
            parts.append((indices, answer))
            bar.advance(len(indices))
    parts = [part for of_one in processes.gather(parts) for part in of_one]
    order = torch.cat([indices for indices, _ in parts]).argsort()
    return ScorePrediction.joined([part for _, part in parts]).take(order)


@torch.no_grad()
def clip_features(
    model: ScoreModel, feed: Feed, groups: Sequence[Sequence[int]], *, precision: Precision
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (indices, features) of each group of samples, not augmented; features (N, K, D).

    Args:
        model: is left in evaluation mode.
        feed: gives the samples' clips, or features that are known already.
        groups: samples per pass of the backbone; on a CPU it changes no bit.
        precision: of the forward pass.
    """
    model.eval()
    for indices, inputs in feed.batches(groups, epoch=None):
        if inputs.ndim == 3:
            yield indices, inputs
            continue
        with autocast(inputs.device, precision):
            features = model.features(inputs)
        yield indices, features


@torch.no_grad()
def score_features(
    model: ScoreModel, features: Tensor, performances: Performances, precision: Precision
) -> ScorePrediction:
    """Return the predictions for N performances from their clip features (N, K, D).

    Neck and head look at one performance at a time: the last bits of a product of matrices depend
    on how many rows there are, and a score must not depend on what it is scored beside.

    Raises:
        ModelError: the output for one is not finite, or its difficulty is not a number > 0.
    """
    answers = []
    for row in range(len(performances)):
        one = performances.take(torch.tensor([row]))
        with autocast(features.device, precision):
            output = model(features[row : row + 1])
        answer = model.predict(
            output,
            one.difficulty.to(features.device),
            action_class=one.action_class,
            sample_ids=one.sample_ids,
        )
        answers.append(answer)
    return ScorePrediction.joined(answers)


@torch.no_grad()
def exemplar_features(
    model: ScoreModel,
    feed: Feed,
    *,
    num_samples: int,
    batch_size: int,
    precision: Precision,
    processes: Processes = ALONE,
) -> Tensor:
    """Return what the head compares (N, D), of all samples of `feed`, which are not augmented.

    Args:
        model: is left in evaluation mode.
        feed: gives the samples' inputs.
        num_samples: their number N.
        batch_size: samples per forward pass.
        precision: of the forward pass.
        processes: share the samples between them; each returns all features.
    """
    own = range(processes.rank, num_samples, processes.count)
    parts = []
    for indices, features in clip_features(
        model, feed, chunks(own, batch_size), precision=precision
    ):
        with autocast(features.device, precision):
            parts.append((indices, model.head(model.vectors(features)).values.cpu()))
    return in_order(parts, processes)


def in_order(parts: list[tuple[Tensor, Tensor]], processes: Processes) -> Tensor:
    """Return the values of all samples in their order (N, ...), on all processes.

    Args:
        parts: rows of samples (M,) and their values (M, ...), those that this process computed.
        processes: those that shared the samples.
    """
    parts = [part for of_one in processes.gather(parts) for part in of_one]
    order = torch.cat([indices for indices, _ in parts]).argsort()
    return torch.cat([values for _, values in parts])[order]


def chunks(items: Sequence[int], size: int) -> list[list[int]]:
    """Return `items` in consecutive groups of `size`; the last one may be smaller."""
    return [list(items[first : first + size]) for first in range(0, len(items), size)]
