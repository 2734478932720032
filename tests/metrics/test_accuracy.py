"""Metrics of scores against SciPy and worked examples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from dae_aqa.errors import EvaluationError
from dae_aqa.metrics import accuracy as metrics
from dae_aqa.metrics.accuracy import MetricUndefinedError


@pytest.fixture
def scores() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    target = np.round(rng.normal(67, 17, 141) * 2) / 2  # half points, hence ties
    return target + rng.normal(0, 8, 141), target


def test_spearman_equals_scipy_with_ties(scores):
    predicted, target = scores
    predicted = np.round(predicted / 5)
    assert len(np.unique(predicted)) < len(predicted)
    expected = stats.spearmanr(predicted, target).statistic
    assert metrics.spearman(predicted=predicted, target=target) == pytest.approx(
        expected, abs=1e-12
    )


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(np.float64, st.tuples(st.just(2), st.integers(2, 30)), elements=st.integers(-5, 5))
)
def test_spearman_equals_scipy_on_any_small_integers(pair):
    predicted, target = pair
    if np.ptp(predicted) == 0 or np.ptp(target) == 0:
        with pytest.raises(MetricUndefinedError, match="are equal"):
            metrics.spearman(predicted=predicted, target=target)
        return
    expected = stats.spearmanr(predicted, target).statistic
    assert metrics.spearman(predicted=predicted, target=target) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("monotone", [np.exp, lambda x: x**3, lambda x: 5 * x - 2])
def test_spearman_ignores_any_monotone_map(scores, monotone):
    predicted, target = scores
    rho = metrics.spearman(predicted=predicted, target=target)
    assert metrics.spearman(predicted=monotone(predicted / 50), target=target) == pytest.approx(rho)
    assert metrics.spearman(predicted=-monotone(predicted / 50), target=target) == pytest.approx(
        -rho
    )


def test_the_order_of_the_samples_does_not_matter(scores):
    predicted, target = scores
    order = np.random.default_rng(1).permutation(len(target))
    for metric in (metrics.spearman, metrics.mae, metrics.rmse, metrics.bias):
        assert metric(predicted=predicted[order], target=target[order]) == pytest.approx(
            metric(predicted=predicted, target=target), rel=1e-12
        )
    settings_ = {"level": 0.95, "num_resamples": 200, "seed": 3}
    assert metrics.spearman_interval(
        predicted=predicted[order], target=target[order], **settings_
    ) == metrics.spearman_interval(predicted=predicted, target=target, **settings_)


def test_interval_equals_scipys_percentile_bootstrap(scores):
    predicted, target = scores
    low, high = metrics.spearman_interval(
        predicted=predicted, target=target, level=0.95, num_resamples=4000, seed=0
    )
    oracle = stats.bootstrap(
        (predicted, target),
        lambda x, y: stats.spearmanr(x, y).statistic,
        paired=True,
        vectorized=False,
        n_resamples=800,
        method="percentile",
        rng=np.random.default_rng(7),
    ).confidence_interval
    # Two independent Monte Carlo estimates; the interval itself is about 0.08 wide.
    assert (low, high) == pytest.approx((oracle.low, oracle.high), abs=0.015)
    assert low < metrics.spearman(predicted=predicted, target=target) < high


def test_interval_depends_on_the_seed_alone_and_narrows_with_the_level(scores):
    predicted, target = scores

    def interval(level: float, seed: int) -> tuple[float, float]:
        return metrics.spearman_interval(
            predicted=predicted, target=target, level=level, num_resamples=700, seed=seed
        )

    assert interval(0.95, 0) == interval(0.95, 0)
    assert interval(0.95, 0) != interval(0.95, 1)
    outer, inner = interval(0.95, 0), interval(0.5, 0)
    assert outer[0] < inner[0] < inner[1] < outer[1]


def test_interval_of_two_samples_is_undefined_because_resamples_are_constant():
    with pytest.raises(MetricUndefinedError, match=r"bootstrap resamples are constant: 2 samples"):
        metrics.spearman_interval(
            predicted=[1.0, 2.0], target=[1.0, 2.0], level=0.95, num_resamples=200, seed=0
        )


def test_interval_of_one_order_is_undefined_because_it_would_be_a_point():
    order = np.arange(30.0)
    with pytest.raises(MetricUndefinedError, match="every resample has the same rho"):
        metrics.spearman_interval(
            predicted=order, target=order**2, level=0.95, num_resamples=100, seed=0
        )


def test_worked_examples_of_the_error_metrics():
    predicted, target = [60.0, 75.0, 90.0], [50.0, 80.0, 90.0]
    assert metrics.mae(predicted=predicted, target=target) == pytest.approx(5.0)
    assert metrics.rmse(predicted=predicted, target=target) == pytest.approx((125 / 3) ** 0.5)
    assert metrics.bias(predicted=predicted, target=target) == pytest.approx(5 / 3)
    # (0.25² + 0.125² + 0) / 3 over the range 40 of the targets; (0.1² + 0.05²) / 3 over 0 to 100
    own = metrics.relative_l2(predicted=predicted, target=target, score_range=(50.0, 90.0))
    fixed = metrics.relative_l2(predicted=predicted, target=target, score_range=(0.0, 100.0))
    assert own == pytest.approx((0.0625 + 0.015625) / 3)
    assert fixed == pytest.approx(0.0125 / 3)


@pytest.mark.parametrize(
    ("predicted", "target", "message"),
    [
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], "all predictions are equal"),
        ([1.0, 2.0, 3.0], [4.0, 4.0, 4.0], "all scores are equal"),
        ([1.0], [1.0], "at least 2 samples, got 1"),
        ([], [], "no samples"),
    ],
)
def test_an_undefined_rank_correlation_says_why(predicted, target, message):
    with pytest.raises(MetricUndefinedError, match=message):
        metrics.spearman(predicted=predicted, target=target)


def test_relative_l2_of_equal_scores_is_undefined():
    with pytest.raises(MetricUndefinedError, match=r"score range \[4, 4\] is empty"):
        metrics.relative_l2(predicted=[1.0, 2.0], target=[4.0, 4.0], score_range=(4.0, 4.0))


@pytest.mark.parametrize(
    ("predicted", "target", "message"),
    [
        ([1.0, np.nan], [1.0, 2.0], r"predicted must be finite .* got nan at position 1"),
        ([1.0, 2.0], [np.inf, 2.0], r"target must be finite .* got inf at position 0"),
        ([1.0, 2.0], [1.0, 2.0, 3.0], r"one length, got shapes"),
        ([[1.0, 2.0]], [[1.0, 2.0]], r"1-D arrays"),
    ],
)
def test_bad_input_is_an_error_and_not_merely_undefined(predicted, target, message):
    with pytest.raises(EvaluationError, match=message) as caught:
        metrics.mae(predicted=predicted, target=target)
    assert not isinstance(caught.value, MetricUndefinedError)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_is_a_share(level):
    with pytest.raises(EvaluationError, match="level must lie between 0 and 1"):
        metrics.spearman_interval(
            predicted=[1, 2, 3], target=[1, 2, 3], level=level, num_resamples=10, seed=0
        )


@pytest.mark.parametrize("level", [0.5, 0.8])
def test_the_level_is_the_share_of_resampled_rhos_inside(scores, level):
    predicted, target = scores
    low, high = metrics.spearman_interval(
        predicted=predicted, target=target, level=level, num_resamples=2000, seed=0
    )
    rng = np.random.default_rng(8)
    draws = [rng.integers(len(target), size=len(target)) for _ in range(600)]
    rhos = np.array([stats.spearmanr(predicted[d], target[d]).statistic for d in draws])
    assert np.mean((rhos >= low) & (rhos <= high)) == pytest.approx(level, abs=0.06)
    assert np.mean(rhos < low) == pytest.approx((1 - level) / 2, abs=0.05)


@pytest.mark.parametrize("num_resamples", [0, -1])
def test_an_interval_needs_resamples(num_resamples):
    with pytest.raises(EvaluationError, match=f"must be at least 1, got {num_resamples}"):
        metrics.spearman_interval(
            predicted=[1, 2, 3], target=[1, 2, 3], level=0.9, num_resamples=num_resamples, seed=0
        )


def test_the_first_value_that_is_not_finite_is_named_and_all_are_counted():
    with pytest.raises(EvaluationError, match=r"got nan at position 1 \(2 such sample"):
        metrics.mae(predicted=[1.0, np.nan, 2.0, np.inf], target=[1.0, 2.0, 3.0, 4.0])
