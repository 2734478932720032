"""Mixtures of Gaussians against numerical integration, SciPy and closed forms."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from dae_aqa.errors import EvaluationError
from dae_aqa.metrics.forecast import forecast_of
from dae_aqa.metrics.mixture import Mixture

Function = Callable[[float], float]


def mixture(*, samples: int = 5, components: int = 4, seed: int = 0) -> Mixture:
    rng = np.random.default_rng(seed)
    shape = (samples, components)
    weights = rng.dirichlet(np.ones(components), samples)
    return Mixture(weights, rng.uniform(20, 60, shape), rng.uniform(0.5, 8, shape))


def density(forecast: Mixture, row: int, score: float) -> float:
    parts = stats.norm.pdf(score, forecast.means[row], forecast.sigmas[row])
    return float((forecast.weights[row] * parts).sum())


def moment(forecast: Mixture, row: int, power: int, score: float) -> float:
    return score**power * density(forecast, row, score)


def below(forecast: Mixture, row: int, score: float) -> float:
    parts = stats.norm.cdf(score, forecast.means[row], forecast.sigmas[row])
    return float((forecast.weights[row] * parts).sum())


def squared(function: Function, *, minus: float = 0.0) -> Function:
    return lambda score: (function(score) - minus) ** 2


def integral(function: Function, low: float, high: float) -> float:
    points = np.linspace(low, high, 41)
    pieces = [integrate.quad(function, *ends, epsabs=1e-12) for ends in pairwise(points)]
    return sum(piece[0] for piece in pieces)


def test_density_mean_and_sigma_are_those_of_the_integral() -> None:
    forecast = mixture()
    score = np.linspace(25, 55, 5)
    for row in range(5):
        moments = [integral(partial(moment, forecast, row, power), -60, 140) for power in range(3)]
        assert moments[0] == pytest.approx(1, abs=1e-9)
        assert forecast.mean[row] == pytest.approx(moments[1], rel=1e-6)
        assert forecast.sigma[row] ** 2 == pytest.approx(moments[2] - moments[1] ** 2, rel=1e-6)
        known = np.log(density(forecast, row, score[row]))
        assert forecast.log_density(score)[row] == pytest.approx(known, rel=1e-6)
        chance = integral(partial(density, forecast, row), -60, score[row])
        assert forecast.cdf(score)[row] == pytest.approx(chance, abs=1e-6)


def test_crps_is_its_definition_as_an_integral() -> None:
    forecast, score = mixture(), np.array([30.0, 42.0, 15.0, 70.0, 55.5])
    for row in range(5):
        chance = partial(below, forecast, row)
        expected = integral(squared(chance), -60, score[row]) + integral(
            squared(chance, minus=1.0), score[row], 140
        )
        assert forecast.crps(score)[row] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("probability", [0.001, 0.05, 0.5, 0.95])
def test_quantiles_are_the_inverse_of_the_distribution(probability: float) -> None:
    forecast = mixture()
    found = forecast.quantile(probability)
    reached = [below(forecast, row, score) for row, score in enumerate(found)]
    np.testing.assert_allclose(reached, probability, rtol=1e-9)


def test_one_component_is_a_gaussian() -> None:
    mu, sigma, score = np.array([3.0, 5.0]), np.array([0.5, 4.0]), np.array([3.3, -1.0])
    forecast = Mixture.gaussian(mu=mu, sigma=sigma)
    np.testing.assert_allclose(forecast.quantile(0.95), stats.norm.ppf(0.95, mu, sigma), rtol=1e-12)
    np.testing.assert_allclose(forecast.log_density(score), stats.norm.logpdf(score, mu, sigma))
    assert forecast.mean.tolist() == mu.tolist()
    assert forecast.sigma.tolist() == sigma.tolist()


def test_a_component_without_weight_says_nothing() -> None:
    plain = Mixture(np.array([[1.0]]), np.array([[5.0]]), np.array([[2.0]]))
    padded = Mixture(np.array([[1.0, 0.0]]), np.array([[5.0, 0.0]]), np.array([[2.0, 1.0]]))
    score = np.array([9.0])
    for name in ("log_density", "cdf", "crps"):
        assert getattr(padded, name)(score) == pytest.approx(getattr(plain, name)(score))
    assert padded.quantile(0.01) == pytest.approx(plain.quantile(0.01))


def test_stretching_keeps_the_mean_and_multiplies_sigma() -> None:
    forecast = mixture()
    wide = forecast.stretched(1.7)
    np.testing.assert_allclose(wide.mean, forecast.mean)
    np.testing.assert_allclose(wide.sigma, 1.7 * forecast.sigma)
    middle, high = forecast.mean, wide.quantile(0.9)
    np.testing.assert_allclose(high - middle, 1.7 * (forecast.quantile(0.9) - middle))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": [[0.5, 0.4]]}, "add up to 1, the forecast at position 0"),
        ({"weights": [[1.2, -0.2]]}, "weights must be >= 0"),
        ({"sigmas": [[1.0, 0.0]]}, "sigma must be positive"),
        ({"means": [[1.0, np.nan]]}, "must be finite"),
        ({"means": [[1.0]]}, r"one shape \(N, K\)"),
    ],
)
def test_what_is_no_mixture_is_refused(change: dict[str, list[list[float]]], message: str) -> None:
    good = {"weights": [[0.5, 0.5]], "means": [[1.0, 2.0]], "sigmas": [[1.0, 1.0]]}
    with pytest.raises(EvaluationError, match=message):
        Mixture(**{name: np.array(values) for name, values in {**good, **change}.items()})


def test_the_table_gives_mixtures_of_different_lengths_on_both_scales() -> None:
    table = pd.DataFrame(
        {"difficulty": [2.0, 3.0], "mixture_execution": ["0.25:20:1 0.75:24:2", "1:10:0.5"]}
    )
    execution, final = forecast_of(table, scale="execution"), forecast_of(table)
    np.testing.assert_allclose(execution.mean, [23.0, 10.0])
    np.testing.assert_allclose(final.mean, [46.0, 30.0])
    np.testing.assert_allclose(final.sigma, execution.sigma * [2.0, 3.0])
