"""What a model is told of its training samples before it is trained."""

from __future__ import annotations

import pytest
import torch
from tests.tiny_training import FRAMES, MakeOptions

from dae_aqa.inference.samples import ScoredSamples
from dae_aqa.models.normalization import HALF, IMAGENET, KINETICS, Normalization
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
    trained = new_model(
        options, samples, scoring_rule=None, frames=FRAMES, device=torch.device("cpu")
    )
    assert trained.usage.has_difficulty is noted


@pytest.mark.parametrize(
    ("name", "pixels"),
    [("imagenet", IMAGENET), ("kinetics", KINETICS), ("half", HALF), ("backbone", HALF)],
)
def test_the_model_says_how_it_is_used(
    name: str, pixels: Normalization, small_options: MakeOptions
) -> None:
    targets = make_targets(
        final_score=[60.0, 70.5],
        difficulty=[2.0, 3.1],
        judge_scores=None,
        scoring_rule=None,
        sample_ids=["a", "b"],
    )
    options = small_options(
        {"model": "dae_mt", "train.clips.normalization": name, "train.finetune": "head"}
    )
    samples = ScoredSamples(["a", "b"], targets)
    device = torch.device("cpu")
    usage = new_model(options, samples, scoring_rule=None, frames=FRAMES, device=device).usage
    assert usage.normalization == pixels
    assert usage.layout == options.train.clips.layout
    assert usage.frames == FRAMES
    assert usage.from_features
    assert usage.trained_on is not None
    assert usage.trained_on.num_samples == 2
    assert usage.trained_on.final_score == (60.0, 70.5)
    assert usage.trained_on.difficulty == pytest.approx((2.0, 3.1))
