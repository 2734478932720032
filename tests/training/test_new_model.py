"""What a model is told of its training samples before it is trained."""

from __future__ import annotations

import pytest
import torch
from tests.tiny_training import MakeOptions

from dae_aqa.inference.samples import ScoredSamples
from dae_aqa.models.targets import make_targets
from dae_aqa.training.session import new_model


@pytest.mark.parametrize(
    ("difficulty", "noted"), [([1.0, 1.0], False), ([1.0, 2.0], True), ([3.0, 3.0], True)]
)
def test_whether_difficulties_vary_is_noted(
    difficulty: list[float], noted: bool, small_options: MakeOptions
) -> None:
    """A served model refuses to answer without difficulty where any sample had one."""
    targets = make_targets(
        final_score=[60.0, 70.0],
        difficulty=difficulty,
        judge_scores=None,
        scoring_rule=None,
        sample_ids=["a", "b"],
    )
    samples = ScoredSamples(["a", "b"], targets)
    options = small_options({"model": "dae_mt"})
    trained = new_model(options, samples, scoring_rule=None, device=torch.device("cpu"))
    assert trained.has_difficulty is noted
