"""Targets and models that the model tests share."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from dae_aqa.models.build import build_model
from dae_aqa.models.model import ScoreModel
from dae_aqa.models.options import METHODS, Bins, Exemplars
from dae_aqa.models.targets import Targets, make_targets

BINS = {
    "usdl": Bins(num=101, low=0.0, high=104.5, std=5.0),
    "musdl": Bins(num=21, low=0.0, high=10.0, std=5.0),
}
EXEMPLARS = Exemplars(
    by="difficulty", num_voters=2, pairs="batch", sample_ids=[f"dive-{row}" for row in range(6)]
)


@pytest.fixture
def dives() -> Targets:
    """Six dives with seven marks each."""
    rng = np.random.default_rng(0)
    marks = np.round(rng.normal(7.0, 1.0, (6, 7)) * 2) / 2
    difficulty = np.array([3.0, 3.2, 2.8, 3.6, 3.0, 3.4])
    final = np.sort(marks, axis=1)[:, 2:5].sum(axis=1) * difficulty
    return make_targets(
        final_score=final.tolist(),
        difficulty=difficulty.tolist(),
        judge_scores=marks.tolist(),
        scoring_rule="diving",
        sample_ids=[f"dive-{row}" for row in range(6)],
    )


@pytest.fixture
def small_model() -> Callable[..., ScoreModel]:
    """Build a model by name on the small backbone, with fixed fresh weights."""

    def build(model: str, *, dropout: float = 0.0) -> ScoreModel:
        torch.manual_seed(0)
        facts = METHODS[model]
        return build_model(
            model=model,
            bins=BINS[model] if facts.has_bins else None,
            exemplars=EXEMPLARS if facts.has_exemplars else None,
            backbone="small3d",
            backbone_weights=None,
            pretrained=False,
            scoring_rule="diving",
            num_judges=7,
            dropout=dropout,
        )

    return build
