"""The limits are what they are said to be."""

import numpy as np
import pytest
from scipy import stats

from dae_aqa.metrics.sample_size import MIN_CHOOSING, MIN_COVERED, MIN_RANKED, too_few

# Source: Zar, JASA 1972, table of critical values of Spearman's rho, two-sided, 5 %
CRITICAL_RHO = {10: 0.648, 11: 0.618}


def share_told_from_chance(num: int, *, critical: float) -> float:
    """Return the share of draws from a normal of Spearman's rho 0.9 that reach `critical`."""
    rng = np.random.default_rng(0)
    pearson = 2 * np.sin(np.pi * 0.9 / 6)
    x = rng.normal(size=(20_000, num))
    y = pearson * x + np.sqrt(1 - pearson**2) * rng.normal(size=x.shape)
    difference = x.argsort(1).argsort(1) - y.argsort(1).argsort(1)
    rho = 1 - 6 * (difference**2).sum(1) / (num * (num**2 - 1))
    return float(np.mean(rho >= critical))


def test_rho_of_the_fewest_samples_tells_a_good_model_from_chance():
    shares = [
        share_told_from_chance(num, critical=CRITICAL_RHO[num])
        for num in (MIN_RANKED - 1, MIN_RANKED)
    ]
    assert shares[0] < 0.95 < shares[1]


def test_likelihood_of_the_fewest_samples_refuses_a_sigma_five_times_too_narrow():
    """Simulated: scores of sigma 1, once forecast with sigma 1 and once with 1 / 5."""
    rng = np.random.default_rng(0)
    wrong = []
    for num in (MIN_CHOOSING - 1, MIN_CHOOSING):
        scores = rng.normal(size=(20_000, num))
        honest, narrow = (stats.norm.logpdf(scores, 0, sigma).sum(1) for sigma in (1.0, 0.2))
        wrong.append(float(np.mean(narrow > honest)))
    assert wrong[1] < 0.05 < wrong[0]


def test_intervals_too_wide_can_be_found_from_the_fewest_samples_on():
    """All of n scores within: unlikely enough (2.5 %) with the fewest, not with one less."""
    assert 0.9**MIN_COVERED < 0.025 < 0.9 ** (MIN_COVERED - 1)


@pytest.mark.parametrize(
    ("num", "reason"), [(2, "a rho needs at least 3 samples, got 2"), (3, ""), (4, "")]
)
def test_the_limit_itself_is_enough(num, reason):
    assert too_few(num, 3, "a rho") == reason
