"""Distributions over bins: soft labels, their loss, and what is made of them."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from dae_aqa.errors import ModelError
from dae_aqa.models import bins
from dae_aqa.models.heads import musdl
from dae_aqa.models.heads.base import HeadOutput
from dae_aqa.models.options import BinOptions, Bins, ModelSpec
from dae_aqa.scoring import SCORING_RULES, diving

SCALE = Bins(num=5, low=0.0, high=8.0, std=1.5)  # centres 0, 2, 4, 6, 8
MARKS = Bins(num=21, low=0.0, high=10.0, std=2.0)


def spec(
    model: str, scale: Bins, *, decoding: str = "mean", judges: int | None = None
) -> ModelSpec:
    return ModelSpec(
        model=model,
        backbone="small3d",
        i3d_layout=None,
        scoring_rule="diving" if judges else None,
        num_judges=judges,
        dropout=0.0,
        decoding=decoding,
        bins=scale,
    )


def test_soft_labels_are_a_normal_density_at_the_bins() -> None:
    found = bins.soft_labels(torch.tensor([3.0, 8.0]), SCALE).numpy()
    for row, value in zip(found, (3.0, 8.0), strict=True):
        density = stats.norm.pdf([0, 2, 4, 6, 8], value, 1.5 * 2)
        np.testing.assert_allclose(row, density / density.sum(), rtol=1e-9)


def test_the_label_of_a_score_far_outside_is_the_last_bin() -> None:
    label = bins.soft_labels(torch.tensor([1e6]), SCALE)
    assert label.argmax().item() == 4
    assert label.sum().item() == pytest.approx(1)


def test_the_divergence_has_the_gradient_of_finite_differences() -> None:
    logits = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    labels = bins.soft_labels(torch.tensor([1.0, 4.0, 7.5]), SCALE)
    assert torch.autograd.gradcheck(lambda x: bins.divergence(x, labels), (logits,))
    assert bins.divergence(labels.log(), labels).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("options", "values", "rule", "expected"),
    [
        ({}, [20.0, 60.0], None, (101, 18.0, 62.0)),
        ({"num": 25, "low": 6.0, "high": 30.0}, [7.0, 29.0], None, (25, 6.0, 30.0)),
        ({}, [[6.5, 7.0], [8.0, 9.0]], "diving", (21, 0.0, 10.0)),
        ({}, [[2.0, 5.0], [1.0, 3.0]], "sum_of_elements", (5, 1.0, 5.0)),
    ],
)
def test_bins_follow_from_the_rule_or_the_samples(
    options: dict[str, float], values: list[float], rule: str | None, expected: tuple[float, ...]
) -> None:
    section = BinOptions(**{"num": None, "low": None, "high": None, "std": 5.0, **options})
    known = SCORING_RULES[rule] if rule else None
    found = bins.known_bins(section, torch.tensor(values), rule=known)
    assert (found.num, found.low, found.high) == expected


@pytest.mark.parametrize(
    ("options", "values", "message"),
    [
        ({"high": 50.0}, [20.0, 60.0], r"reach from 18 to 50, .* scores from 20 to 60"),
        ({}, [20.0, 20.0], "all training samples have the score 20"),
    ],
)
def test_bins_that_do_not_fit_say_why(
    options: dict[str, float], values: list[float], message: str
) -> None:
    section = BinOptions(**{"num": None, "low": None, "high": None, "std": 5.0, **options})
    with pytest.raises(ModelError, match=message):
        bins.known_bins(section, torch.tensor(values), rule=None)


def test_usdl_by_hand() -> None:
    """Chances of 1/4 and 3/4 for 2 and 6 points, with difficulty 2."""
    from dae_aqa.models.heads.usdl import build_head

    logits = torch.tensor([0.0, 0.25, 0.0, 0.75, 0.0]).log()[None]
    difficulty = torch.tensor([2.0])
    mean = build_head(4, spec("usdl", SCALE)).predict(HeadOutput(logits), difficulty)
    assert mean.mu.item() == pytest.approx(5.0)
    assert mean.mu_execution.item() == pytest.approx(2.5)
    variance = 3.0 + 2.0**2 / 12  # of the two centres, and within a bin
    assert mean.sigma.item() == pytest.approx(math.sqrt(variance))
    assert mean.forecast().sigma[0] == pytest.approx(math.sqrt(variance))
    head = build_head(4, spec("usdl", SCALE, decoding="published"))
    likeliest = head.predict(HeadOutput(logits), difficulty)
    assert likeliest.mu.item() == pytest.approx(6.0)
    assert likeliest.sigma.item() == pytest.approx(mean.sigma.item())


def test_quantiles_of_marks_are_those_of_a_histogram() -> None:
    chances = torch.tensor([[[0.1, 0.0, 0.6, 0.3, 0.0]]], dtype=torch.float64)
    points = torch.tensor([[0.05], [0.1], [0.4], [0.7], [0.85], [1.0]], dtype=torch.float64)
    found = musdl.quantiles(chances, points, SCALE).flatten()
    # bins reach 1 to either side of 0, 4 and 6
    np.testing.assert_allclose(found, [0.0, 1.0, 4.0, 5.0, 6.0, 7.0])


def test_musdl_has_the_distribution_of_independent_judges() -> None:
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(0, 1.5, (2, 7, 21)))
    head = musdl.build_head(4, spec("musdl", MARKS, judges=7))
    prediction = head.predict(HeadOutput(logits), torch.tensor([3.0, 2.0]))
    chances = logits.softmax(dim=-1).numpy()
    for row in range(2):
        draws = [rng.choice(21, 400_000, p=chances[row, judge]) for judge in range(7)]
        marks = (np.stack(draws, axis=1) + rng.uniform(-0.5, 0.5, (400_000, 7))) / 2
        scores = diving(marks)
        assert prediction.mu_execution[row].item() == pytest.approx(scores.mean(), rel=0.01)
        assert prediction.sigma_execution[row].item() == pytest.approx(scores.std(), rel=0.03)
    final = prediction.forecast()
    assert final.mean[0] == pytest.approx(3 * prediction.mu_execution[0].item())


def test_musdl_decodes_as_published_by_hand() -> None:
    """Likeliest marks 9, 8.5, 9, 8, 9, 8.5, 9 with difficulty 3.8 are 100.70 points."""
    marks = torch.tensor([9.0, 8.5, 9.0, 8.0, 9.0, 8.5, 9.0])
    logits = torch.nn.functional.one_hot((2 * marks).long(), 21).float()[None] * 5
    head = musdl.build_head(4, spec("musdl", MARKS, decoding="published", judges=7))
    assert head.predict(HeadOutput(logits), torch.tensor([3.8])).mu.item() == pytest.approx(100.7)
