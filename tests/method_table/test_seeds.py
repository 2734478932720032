"""The difference of two rows over seeds."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats
from tests.method_table.made_up import predictions

from dae_aqa.errors import EvaluationError
from dae_aqa.method_table.seeds import LEVEL, NUM_RESAMPLES, difference_over_seeds
from dae_aqa.metrics.paired import Ranking, paired_difference


def rho(table):
    return stats.spearmanr(table["mu"], table["final_score"]).statistic


def test_the_difference_is_the_mean_over_common_seeds():
    first = {seed: predictions(error=6.0, seed=seed) for seed in (0, 1, 2)}
    second = {seed: predictions(error=20.0, seed=seed + 10) for seed in (1, 2, 3)}
    found = difference_over_seeds(first, second)
    expected = np.mean([rho(second[seed]) - rho(first[seed]) for seed in (1, 2)])
    assert found.difference == pytest.approx(expected)
    assert found.low < found.difference < found.high < 0


def test_with_one_seed_it_is_the_paired_bootstrap():
    first, second = predictions(error=6.0, seed=0), predictions(error=9.0, seed=1)
    found = difference_over_seeds({4: first}, {4: second})
    expected = paired_difference(
        first,
        second,
        figure=Ranking("mu", "final_score"),
        level=LEVEL,
        num_resamples=NUM_RESAMPLES,
        seed=0,
    )
    assert astuple(found) == pytest.approx(astuple(expected))


def test_equal_rows_do_not_differ():
    row = {seed: predictions(error=6.0, seed=seed) for seed in (0, 1)}
    found = difference_over_seeds(row, row)
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)


def test_seeds_that_scatter_widen_the_interval():
    """A row that is as good in one seed and bad in another is not told apart from the best."""
    steady = {seed: predictions(error=8.0, seed=seed) for seed in (0, 1)}
    scattered = {0: predictions(error=8.0, seed=5), 1: predictions(error=40.0, seed=6)}
    over_both = difference_over_seeds(steady, scattered)
    in_the_bad_one = difference_over_seeds({1: steady[1]}, {1: scattered[1]})
    assert in_the_bad_one.is_distinguishable
    assert not over_both.is_distinguishable
    assert over_both.high - over_both.low > in_the_bad_one.high - in_the_bad_one.low


def test_rows_without_a_common_seed_are_refused():
    row = {0: predictions(error=6.0, seed=0)}
    with pytest.raises(EvaluationError, match="no seed in common"):
        difference_over_seeds(row, {1: row[0]})


def test_seeds_with_test_samples_of_their_own_are_refused():
    row = {0: predictions(error=6.0, seed=0), 1: predictions(error=6.0, seed=0, num=50)}
    with pytest.raises(EvaluationError, match="its seeds were tested on different samples"):
        difference_over_seeds(row, row)
