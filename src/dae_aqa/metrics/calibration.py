"""Metrics of a predicted uncertainty: pure functions on NumPy arrays.

`forecast` is what a model says of N samples, a `Mixture`, and `target` (N,) what the judges gave,
in points of the score scale. Functions that look at no more than the error and the spread take
`mu` and `sigma` (> 0), (N,) likewise. The order of the samples changes no value. A function that
has no value for the samples raises `MetricUndefinedError`.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from dae_aqa.errors import EvaluationError
from dae_aqa.metrics.accuracy import FloatArray, check_columns, check_level, require, rmse
from dae_aqa.metrics.mixture import Mixture

_NUM_REJECTION_BINS = 10  # Source: RICA2, the quantile bins of its calibration figure and table


def nll(*, forecast: Mixture, target: npt.ArrayLike) -> float:
    """Return the mean negative log-likelihood of the scores, in nats per sample; lower is better.

    Source: as a scoring rule, Gneiting and Raftery (2007), section 4.1.
    """
    return float(np.mean(-forecast.log_density(target)))


def constant_sigma_nll(*, mu: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Return the NLL of the same `mu` with the one sigma that fits these very samples best.

    That sigma is their RMSE, chosen with the scores known, so a predicted sigma that is not below
    this value carries no information worth having.

    Raises:
        MetricUndefinedError: every prediction is exact.

    Source: maximum of the normal likelihood over sigma, 0.5 * log(2 * pi * e * MSE).
    """
    best_sigma = rmse(predicted=mu, target=target)
    require(best_sigma > 0, "every prediction is exact, so the best constant sigma is 0")
    return 0.5 * math.log(2 * math.pi * math.e) + math.log(best_sigma)


def coverage(*, forecast: Mixture, target: npt.ArrayLike, level: float) -> float:
    """Return the share of scores within the central interval that should hold the share `level`.

    The interval leaves out as much probability below as above.
    """
    check_level(level)
    return float(np.mean(central_level(forecast=forecast, target=target) <= level))


def central_level(*, forecast: Mixture, target: npt.ArrayLike) -> FloatArray:
    """Return the level (N,), in [0, 1], of the central interval at whose end each score lies."""
    return np.abs(2 * forecast.cdf(target) - 1)


def coverage_noise_interval(*, level: float, num_samples: int) -> tuple[float, float]:
    """Return the 95 % range of the coverage that a perfectly calibrated model would show.

    Source: exact quantiles of the binomial distribution of the number of scores inside.
    """
    check_level(level)
    low, high = stats.binom.ppf([0.025, 0.975], num_samples, level) / num_samples
    return float(low), float(high)


def calibration_error(*, forecast: Mixture, target: npt.ArrayLike) -> float:
    """Return the mean of |observed - nominal| coverage over the levels 0.05, 0.10, …, 0.95.

    Source: after Kuleshov, Fenner and Ermon (ICML 2018), section 3.5, with the absolute difference
    and on central intervals, the ones that `coverage` reports.
    """
    nominal, observed = reliability_curve(forecast=forecast, target=target)
    return float(np.mean(np.abs(observed - nominal)))


def reliability_curve(*, forecast: Mixture, target: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return nominal levels (19,) from 0.05 to 0.95 and the coverage (19,) observed at each."""
    nominal = np.arange(1, 20) / 20
    needed = central_level(forecast=forecast, target=target)
    return nominal, np.mean(needed[None, :] <= nominal[:, None], axis=1)


def pit(*, forecast: Mixture, target: npt.ArrayLike) -> FloatArray:
    """Return the probability integral transform (N,), in [0, 1]: uniform where calibrated.

    Source: Dawid (1984); Gneiting, Balabdaoui and Raftery (2007), section 3.1.
    """
    return forecast.cdf(target)


def crps(*, forecast: Mixture, target: npt.ArrayLike) -> float:
    """Return the mean continuous ranked probability score, in points; lower is better."""
    return float(np.mean(forecast.crps(target)))


def sharpness(*, sigma: npt.ArrayLike) -> float:
    """Return the mean sigma, in points: how narrow the forecasts are, right or wrong."""
    (sigma,) = check_columns(sigma=sigma)
    return float(np.mean(sigma))


def uncertainty_bins(
    *, mu: npt.ArrayLike, sigma: npt.ArrayLike, target: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Return mean sigma (10,) and mean absolute error (10,) of ten quantile bins of sigma.

    Bins ascend; one holds the samples from its lower quantile to below the next one.

    Raises:
        MetricUndefinedError: a bin is empty (too few samples, or too many equal sigmas).

    Source: Majeedi et al., RICA2 (ECCV 2024), and its released evaluation.
    """
    mu, sigma, target = _checked(mu=mu, sigma=sigma, target=target)
    edges = np.quantile(sigma, np.arange(1, _NUM_REJECTION_BINS) / _NUM_REJECTION_BINS)
    bins = np.searchsorted(edges, sigma, side="right")
    counts = np.bincount(bins, minlength=_NUM_REJECTION_BINS)
    require(
        bool(np.all(counts > 0)),
        f"{int(np.sum(counts == 0))} of the {_NUM_REJECTION_BINS} quantile bins of sigma are empty "
        f"({len(sigma)} samples, {len(np.unique(sigma))} different sigmas)",
    )
    errors = np.bincount(bins, weights=np.abs(mu - target), minlength=_NUM_REJECTION_BINS)
    sigmas = np.bincount(bins, weights=sigma, minlength=_NUM_REJECTION_BINS)
    return sigmas / counts, errors / counts


def rejection_tau(*, mu: npt.ArrayLike, sigma: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Return Kendall's tau between the rank of a sigma bin and its mean absolute error, in [-1, 1].

    1 where the error grows from each of ten quantile bins of sigma to the next, about 0 where sigma
    says nothing of the error, negative where the model is surest when it is most wrong.

    Raises:
        MetricUndefinedError: a bin is empty, or all bins have the same error.

    Source: Majeedi et al., RICA2 (ECCV 2024), its measure of calibration.
    """
    _, errors = uncertainty_bins(mu=mu, sigma=sigma, target=target)
    require(bool(np.ptp(errors) > 0), "all ten bins of sigma have the same mean error")
    return float(stats.kendalltau(np.arange(len(errors)), errors).statistic)


def rejection_curve(
    *, uncertainty: npt.ArrayLike, error: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Return the share kept (N,), from 1/N to 1, and the mean error (N,) of these surest samples.

    Samples of one uncertainty are exchangeable: each counts with their mean error.
    """
    uncertainty, error = check_columns(uncertainty=uncertainty, error=error)
    _, group = np.unique(uncertainty, return_inverse=True)
    group_error = np.bincount(group, weights=error) / np.bincount(group)
    kept = np.arange(1, len(group) + 1)
    return kept / len(group), np.cumsum(group_error[np.sort(group)]) / kept


def _checked(
    *, mu: npt.ArrayLike, sigma: npt.ArrayLike, target: npt.ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the forecast as float64 (N,), after checking that every sigma is positive too."""
    mu, sigma, target = check_columns(mu=mu, sigma=sigma, target=target)
    if not np.all(sigma > 0):
        worst = int(np.argmin(sigma))
        raise EvaluationError(
            f"sigma must be positive for every sample, got {sigma[worst]:g} at position {worst}."
        )
    return mu, sigma, target
