"""Metrics of uncertainty against closed forms, numerical integration and calibrated forecasts."""

from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from dae_aqa.errors import EvaluationError
from dae_aqa.metrics import calibration
from dae_aqa.metrics.accuracy import MetricUndefinedError
from dae_aqa.metrics.mixture import Mixture

Forecast = dict[str, np.ndarray]


def forecast(*, samples: int, sigma_factor: float = 1.0, seed: int = 0) -> Forecast:
    """A forecast whose true sigma is the returned one divided by `sigma_factor`."""
    rng = np.random.default_rng(seed)
    mu, sigma = rng.uniform(30, 90, samples), rng.uniform(1, 12, samples)
    return {"mu": mu, "sigma": sigma * sigma_factor, "target": rng.normal(mu, sigma)}


def as_forecast(case: Forecast) -> dict[str, Any]:
    """The same as the metrics of whole distributions take it."""
    gaussian = Mixture.gaussian(mu=case["mu"], sigma=case["sigma"])
    return {"forecast": gaussian, "target": case["target"]}


def test_nll_equals_scipys_log_density():
    case = forecast(samples=50)
    expected = -stats.norm.logpdf(case["target"], case["mu"], case["sigma"]).mean()
    assert calibration.nll(**as_forecast(case)) == pytest.approx(expected, rel=1e-12)


def test_crps_equals_its_definition_as_an_integral():
    case = forecast(samples=4)

    def one(mu: float, sigma: float, score: float) -> float:
        def below(x: float) -> float:
            return stats.norm.cdf(x, mu, sigma) ** 2

        def above(x: float) -> float:
            return stats.norm.sf(x, mu, sigma) ** 2

        reach = 40 * sigma
        return (
            integrate.quad(below, mu - reach, score, limit=200)[0]
            + integrate.quad(above, score, mu + reach, limit=200)[0]
        )

    expected = np.mean([one(*row) for row in zip(*case.values(), strict=True)])
    assert calibration.crps(**as_forecast(case)) == pytest.approx(expected, rel=1e-6)


def test_crps_of_an_almost_certain_forecast_is_the_absolute_error():
    case = {"mu": [3.0, 5.0], "sigma": [1e-9, 1e-9], "target": [4.0, 2.0]}
    assert calibration.crps(**as_forecast(case)) == pytest.approx(2.0)


def test_constant_sigma_nll_is_the_least_over_all_constant_sigmas():
    case = forecast(samples=80)
    least = min(
        calibration.nll(**as_forecast({**case, "sigma": np.full(80, sigma)}))
        for sigma in np.linspace(2, 15, 2001)
    )
    best = calibration.constant_sigma_nll(mu=case["mu"], target=case["target"])
    assert best == pytest.approx(least, abs=1e-5)
    assert best <= least


def test_constant_sigma_nll_of_exact_predictions_is_undefined():
    with pytest.raises(MetricUndefinedError, match="every prediction is exact"):
        calibration.constant_sigma_nll(mu=[1.0, 2.0], target=[1.0, 2.0])


def test_coverage_counts_the_scores_within_the_interval():
    # 90 %: 1.645 sigma; 50 %: 0.674 sigma
    case = {"mu": [0.0] * 4, "sigma": [2.0] * 4, "target": [0.0, 1.34, 3.28, -3.30]}
    assert calibration.coverage(**as_forecast(case), level=0.5) == 0.5
    assert calibration.coverage(**as_forecast(case), level=0.9) == 0.75


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(1.0, 0.9), (0.5, 2 * stats.norm.cdf(1.6449 * 0.5) - 1), (2.0, 2 * stats.norm.cdf(3.29) - 1)],
)
def test_coverage_of_a_large_sample_is_the_theoretical_one(factor, expected):
    case = forecast(samples=40_000, sigma_factor=factor)
    assert calibration.coverage(**as_forecast(case), level=0.9) == pytest.approx(
        expected, abs=0.006
    )


def test_a_calibrated_forecast_has_uniform_pit_and_no_calibration_error():
    case = forecast(samples=20_000)
    assert stats.kstest(calibration.pit(**as_forecast(case)), "uniform").pvalue > 0.01
    assert calibration.calibration_error(**as_forecast(case)) < 0.01
    assert calibration.calibration_error(**as_forecast({**case, "sigma": case["sigma"] / 4})) > 0.2


def test_reliability_curve_agrees_with_coverage():
    case = forecast(samples=97, sigma_factor=0.7)
    nominal, observed = calibration.reliability_curve(**as_forecast(case))
    assert nominal.tolist() == pytest.approx([0.05 * i for i in range(1, 20)])
    assert observed.tolist() == [
        calibration.coverage(**as_forecast(case), level=level) for level in nominal
    ]


def test_noise_interval_of_the_coverage_is_the_exact_binomial_one():
    counts = stats.binom.rvs(100, 0.9, size=20_000, random_state=0) / 100
    low, high = calibration.coverage_noise_interval(level=0.9, num_samples=100)
    assert 0.95 <= np.mean((counts >= low) & (counts <= high)) < 0.98


def test_rejection_tau_is_one_where_the_error_grows_with_sigma_and_minus_one_where_it_falls():
    error = np.linspace(0.1, 10, 60)
    order = np.random.default_rng(0).permutation(60)
    grows = {"mu": error[order], "sigma": error[order] ** 2, "target": np.zeros(60)}
    falls = {"mu": error[order], "sigma": 1 / error[order], "target": np.zeros(60)}
    assert calibration.rejection_tau(**grows) == pytest.approx(1.0)
    assert calibration.rejection_tau(**falls) == pytest.approx(-1.0)


def test_rejection_tau_equals_a_plain_loop_over_the_ten_bins():
    case = forecast(samples=143)
    edges = np.percentile(case["sigma"], np.arange(0, 101, 10))
    means, sigmas = [], []
    for index in range(10):
        inside = case["sigma"] >= edges[index]
        if index < 9:
            inside &= case["sigma"] < edges[index + 1]
        means.append(np.abs(case["mu"] - case["target"])[inside].mean())
        sigmas.append(case["sigma"][inside].mean())
    pairs = [(i, j) for i in range(10) for j in range(i)]
    tau = sum(np.sign(means[i] - means[j]) for i, j in pairs) / len(pairs)
    found = calibration.uncertainty_bins(**case)
    assert [part.tolist() for part in found] == [pytest.approx(sigmas), pytest.approx(means)]
    assert calibration.rejection_tau(**case) == pytest.approx(tau)


@pytest.mark.parametrize(("different", "empty"), [([1.0], 9), ([1.0, 2.0], 8)])
def test_rejection_tau_of_too_few_different_sigmas_is_undefined(different, empty):
    sigma = np.resize(different, 50)
    message = rf"{empty} of the 10 .* \(50 samples, {len(different)} different sigmas\)"
    with pytest.raises(MetricUndefinedError, match=message):
        calibration.rejection_tau(mu=np.arange(50.0), sigma=sigma, target=np.zeros(50))


def test_rejection_curve_keeps_the_surest_first_and_shares_ties():
    share, error = calibration.rejection_curve(uncertainty=[3, 1, 2, 2], error=[8.0, 1.0, 2.0, 4.0])
    assert share.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert error.tolist() == pytest.approx([1.0, 2.0, 7 / 3, 15 / 4])


def test_sharpness_is_the_mean_sigma():
    assert calibration.sharpness(sigma=[1.0, 2.0, 6.0]) == 3.0


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_a_sigma_that_is_not_positive_is_an_error(bad):
    with pytest.raises(EvaluationError, match=r"sigma must be positive .* at position 1"):
        Mixture.gaussian(mu=[0.0, 0.0], sigma=[1.0, bad])


def test_a_score_on_the_border_lies_within():
    border = 2.0 * stats.norm.ppf(0.95)
    case = {"mu": [0.0, 0.0], "sigma": [2.0, 2.0], "target": [border, -border]}
    assert calibration.coverage(**as_forecast(case), level=0.9) == 1.0


def test_pit_is_the_probability_of_a_lower_score():
    values = calibration.pit(
        forecast=Mixture.gaussian(mu=[10.0, 10.0], sigma=[2.0, 4.0]), target=[12.0, 6.0]
    )
    assert values.tolist() == pytest.approx([0.841345, 0.158655], abs=1e-6)


def test_rejection_tau_of_equal_errors_is_undefined():
    with pytest.raises(MetricUndefinedError, match="bins of sigma have the same mean error"):
        calibration.rejection_tau(mu=np.ones(50), sigma=np.arange(1, 51), target=np.zeros(50))
