"""Predictions of a model over a feed: mu and sigma, never a random draw."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from tqdm import tqdm

from dae_aqa.models.model import ScoreModel
from dae_aqa.models.targets import ScorePrediction
from dae_aqa.params import Precision
from dae_aqa.training.feeds import Feed

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
    difficulty: Tensor,
    batch_size: int,
    precision: Precision,
    show_progress: bool,
) -> ScorePrediction:
    """Return the predictions for all samples of `feed`, in their order, on the CPU.

    Args:
        model: is left in evaluation mode.
        feed: gives the samples' inputs, not augmented.
        difficulty: of the samples, (N,).
        batch_size: samples per forward pass; it does not change the predictions.
        precision: of the forward pass.
        show_progress: whether to draw a progress bar.
    """
    model.eval()
    device = next(model.parameters()).device
    groups = chunks(list(range(len(difficulty))), batch_size)
    parts: list[ScorePrediction] = []
    with tqdm(
        total=len(difficulty), desc="predict", unit="sample", disable=not show_progress
    ) as bar:
        for indices, inputs in feed.batches(groups, epoch=0):
            with autocast(device, precision):
                output = feed.forward(model, inputs)
            parts.append(model.predict(output, difficulty[indices].to(device)))
            bar.update(len(indices))
    return ScorePrediction(
        **{
            name: torch.cat([getattr(part, name) for part in parts]).cpu()
            for name in ("mu", "sigma", "mu_execution", "sigma_execution")
        }
    )


def chunks(items: Sequence[int], size: int) -> list[list[int]]:
    """Return `items` in consecutive groups of `size`; the last one may be smaller."""
    return [list(items[first : first + size]) for first in range(0, len(items), size)]
