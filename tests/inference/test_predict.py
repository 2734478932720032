"""Predictions over a feed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from dae_aqa.inference.predict import predict
from dae_aqa.inference.samples import ScoredSamples
from dae_aqa.models.build import build_model
from dae_aqa.models.exemplars import ExemplarHead
from dae_aqa.models.options import METHODS, Bins, Exemplars
from dae_aqa.models.targets import make_targets

NUM_SAMPLES = 5


class ClipsInMemory:
    """A feed of clips (N, 1, 3, T, S, S)."""

    wait_seconds = 0.0

    def __init__(self, clips: Tensor) -> None:
        self._clips = clips

    def batches(
        self, groups: Sequence[Sequence[int]], *, epoch: int | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        del epoch
        for group in groups:
            yield torch.tensor(group), self._clips[list(group)]


@pytest.mark.parametrize("neck", ["mean", "attention"])
@pytest.mark.parametrize("model", list(METHODS))
def test_a_score_does_not_depend_on_what_is_scored_beside_it(model: str, neck: str) -> None:
    torch.manual_seed(0)
    ids = [f"dive-{row}" for row in range(NUM_SAMPLES)]
    marks = np.round(np.random.default_rng(0).normal(7.0, 1.0, (NUM_SAMPLES, 7)) * 2) / 2
    difficulty = [3.0, 3.2, 2.8, 3.6, 3.0]
    final = np.sort(marks, axis=1)[:, 2:5].sum(axis=1) * difficulty
    targets = make_targets(
        final_score=final.tolist(),
        difficulty=difficulty,
        judge_scores=marks.tolist(),
        scoring_rule="diving",
        sample_ids=ids,
    )
    samples = ScoredSamples(ids, targets)
    num_bins, high = (21, 10.0) if model == "musdl" else (101, 104.5)
    net = build_model(
        model=model,
        backbone="small3d",
        backbone_weights=None,
        pretrained=False,
        scoring_rule="diving",
        num_judges=7,
        dropout=0.0,
        neck=neck,
        average_mirrored=neck == "attention",
        bins=Bins(num=num_bins, low=0.0, high=high, std=5.0) if METHODS[model].has_bins else None,
        exemplars=Exemplars(by="difficulty", num_voters=3, pairs="batch", sample_ids=ids)
        if METHODS[model].has_exemplars
        else None,
    ).eval()
    net.head.fit_to(targets, standardize=True)
    clips = ClipsInMemory(torch.randn(NUM_SAMPLES, 1, 3, 16, 48, 48))
    if isinstance(net.head, ExemplarHead):
        with torch.no_grad():
            inputs = torch.cat([inputs for _, inputs in clips.batches([range(5)], epoch=0)])
            net.head.hold(net.head(net.vectors(inputs)).values)
    together, *others = (
        predict(
            net,
            clips,
            performances=samples.performances,
            batch_size=batch_size,
            precision="fp32",
            show_progress=False,
        )
        for batch_size in (NUM_SAMPLES, 1, 2, 3)
    )
    for other in others:
        assert torch.equal(other.mu, together.mu)
        assert torch.equal(other.sigma, together.sigma)
