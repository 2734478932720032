"""Predictions of a model over a feed: mu and sigma, never a random draw."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from dae_aqa.inference.feeds import Feed
from dae_aqa.inference.options import Precision
from dae_aqa.inference.processes import ALONE, Processes
from dae_aqa.inference.samples import ScoredSamples
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
    samples: ScoredSamples,
    batch_size: int,
    precision: Precision,
    show_progress: bool,
    processes: Processes = ALONE,
) -> ScorePrediction:
    """Return the predictions for all samples of `feed`, in their order, on the CPU.

    Args:
        model: is left in evaluation mode.
        feed: gives the samples' inputs, not augmented.
        samples: those of `feed`; their difficulty is used.
        batch_size: samples per pass of the backbone; on a CPU it changes no bit.
        precision: of the forward pass.
        show_progress: whether to draw a progress bar.
        processes: share the samples between them; each returns all predictions.

    Raises:
        ModelError: the output for a sample is not finite.
    """
    model.eval()
    device = next(model.parameters()).device
    own = list(range(processes.rank, len(samples), processes.count))
    parts: list[tuple[Tensor, ScorePrediction]] = []
    with Progress("predict", total=len(own), unit="sample", show=show_progress) as bar:
        for indices, inputs in feed.batches(chunks(own, batch_size), epoch=0):
            with autocast(device, precision):
                features = model.features(inputs) if inputs.ndim == 6 else inputs
            for index, own_features in zip(indices[:, None], features[:, None], strict=True):
                parts.append((index, _answer(model, own_features, samples, index, precision)))
            bar.advance(len(indices))
    parts = [part for of_one in processes.gather(parts) for part in of_one]
    order = torch.cat([indices for indices, _ in parts]).argsort()
    return ScorePrediction.joined([part for _, part in parts]).take(order)


def _answer(
    model: ScoreModel, features: Tensor, samples: ScoredSamples, index: Tensor, precision: Precision
) -> ScorePrediction:
    """Return the prediction for one sample from its features (1, K, D).

    Neck and head look at one sample at a time: the last bits of a product of matrices depend on how
    many rows there are, and a score must not depend on what it is scored beside.
    """
    with autocast(features.device, precision):
        output = model(features)
    codes = samples.targets.action_class
    return model.predict(
        output,
        samples.targets.difficulty[index].to(features.device),
        action_class=None if codes is None else codes[index],
        sample_ids=[samples.sample_ids[int(index)]],
    )


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
    model.eval()
    device = next(model.parameters()).device
    own = list(range(processes.rank, num_samples, processes.count))
    parts = []
    for indices, inputs in feed.batches(chunks(own, batch_size), epoch=None):
        with autocast(device, precision):
            parts.append((indices, model.head(model.vectors(inputs)).values.cpu()))
    parts = [part for of_one in processes.gather(parts) for part in of_one]
    order = torch.cat([indices for indices, _ in parts]).argsort()
    return torch.cat([features for _, features in parts])[order]


def chunks(items: Sequence[int], size: int) -> list[list[int]]:
    """Return `items` in consecutive groups of `size`; the last one may be smaller."""
    return [list(items[first : first + size]) for first in range(0, len(items), size)]
