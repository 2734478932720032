"""Mixtures of Gaussians: what a forecast says of each sample's score, whatever its shape.

A Gaussian forecast has one component. A distribution over bins has one for each bin, and several
voters have one each (or several). Pure functions on NumPy arrays, in points of the score scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from dae_aqa.errors import EvaluationError
from dae_aqa.metrics.accuracy import FloatArray, check_columns

_NUM_HALVINGS = 80  # of the interval that holds a quantile: to the last digit of a double
_MAX_WEIGHT_ERROR = 1e-3  # of the sum of weights, which are rounded where a table is written


@dataclass(frozen=True)
class Mixture:
    """Mixtures of N samples with K components each.

    Attributes:
        weights: (N, K), each row adds up to 1; a component of weight 0 says nothing.
        means: (N, K), in points.
        sigmas: (N, K), standard deviations > 0, in points.
    """

    weights: FloatArray
    means: FloatArray
    sigmas: FloatArray

    def __post_init__(self) -> None:
        """Check the components, and make the weights add up to 1 exactly.

        Raises:
            EvaluationError: shapes differ, a number is not finite, a weight is negative or the
                weights of a sample do not add up to 1, a sigma is not positive.
        """
        shapes = {self.weights.shape, self.means.shape, self.sigmas.shape}
        if len(shapes) != 1 or self.means.ndim != 2:
            raise EvaluationError(
                f"a mixture needs weights, means and sigmas of one shape (N, K), got {shapes}."
            )
        total = self.weights.sum(axis=1, keepdims=True)
        faults = {
            "its numbers must be finite": ~np.isfinite(total[:, 0])
            | ~np.isfinite(self.means + self.sigmas).all(axis=1),
            "its weights must be >= 0 and add up to 1": (self.weights < 0).any(axis=1)
            | (np.abs(total[:, 0] - 1) > _MAX_WEIGHT_ERROR),
            "sigma must be positive for every sample": ~(self.sigmas > 0).all(axis=1),
        }
        for message, bad in faults.items():
            if bad.any():
                raise EvaluationError(
                    f"{message}, the forecast at position {int(np.argmax(bad))} is none such."
                )
        object.__setattr__(self, "weights", self.weights / total)

    @classmethod
    def gaussian(cls, *, mu: npt.ArrayLike, sigma: npt.ArrayLike) -> Mixture:
        """Return forecasts of one component: means (N,) and standard deviations (N,), > 0."""
        mu, sigma = check_columns(mu=mu, sigma=sigma)
        return cls(np.ones((len(mu), 1)), mu[:, None], sigma[:, None])

    @property
    def mean(self) -> FloatArray:
        """Means of the mixtures (N,)."""
        return np.asarray((self.weights * self.means).sum(axis=1), dtype=np.float64)

    @property
    def sigma(self) -> FloatArray:
        """Standard deviations of the mixtures (N,), by the law of total variance."""
        spread = self.sigmas**2 + (self.means - self.mean[:, None]) ** 2
        return np.asarray(np.sqrt((self.weights * spread).sum(axis=1)), dtype=np.float64)

    def stretched(self, factor: float | FloatArray) -> Mixture:
        """Return the same about the same means, `factor` times as wide; one number, or (N,)."""
        wide, mean = np.broadcast_to(factor, len(self.means))[:, None], self.mean[:, None]
        return Mixture(self.weights, mean + wide * (self.means - mean), wide * self.sigmas)

    def scaled(self, factor: FloatArray) -> Mixture:
        """Return the forecasts of the score times `factor` (N,), > 0."""
        return Mixture(self.weights, factor[:, None] * self.means, factor[:, None] * self.sigmas)

    def log_density(self, score: npt.ArrayLike) -> FloatArray:
        """Return the logarithm of the density at the scores (N,), in nats per point."""
        z = self._standardized(score)
        log_normal = -0.5 * z**2 - np.log(self.sigmas) - 0.5 * math.log(2 * math.pi)
        return np.asarray(special.logsumexp(log_normal, b=self.weights, axis=1), dtype=np.float64)

    def cdf(self, score: npt.ArrayLike) -> FloatArray:
        """Return the probability of at most the scores (N,)."""
        below = (self.weights * special.ndtr(self._standardized(score))).sum(axis=1)
        return np.asarray(below, dtype=np.float64)

    def quantile(self, probability: float) -> FloatArray:
        """Return the scores (N,) that are exceeded with chance 1 - `probability`.

        Each lies between the least and the greatest quantile of its components, and is found by
        halving that interval.
        """
        own = self.means + special.ndtri(probability) * self.sigmas
        low = np.where(self.weights > 0, own, np.inf).min(axis=1)
        high = np.where(self.weights > 0, own, -np.inf).max(axis=1)
        for _ in range(_NUM_HALVINGS if self.means.shape[1] > 1 else 0):
            middle = 0.5 * (low + high)
            is_below = self.cdf(middle) < probability
            low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
        return np.asarray(0.5 * (low + high), dtype=np.float64)

    def crps(self, score: npt.ArrayLike) -> FloatArray:
        """Return the continuous ranked probability scores (N,), in points; lower is better.

        Source: Grimit et al. 2006, "The continuous ranked probability score for circular variables
        and its application to mesoscale forecast ensemble verification", equation 5.
        """
        (score,) = check_columns(score=score)
        to_score = (self.weights * _mean_abs(score[:, None] - self.means, self.sigmas)).sum(axis=1)
        between = np.zeros(len(score))
        for one in range(self.means.shape[1]):  # row by row, or memory would grow with K²
            wide = np.hypot(self.sigmas, self.sigmas[:, one, None])
            apart = _mean_abs(self.means - self.means[:, one, None], wide)
            between += self.weights[:, one] * (self.weights * apart).sum(axis=1)
        return np.asarray(to_score - 0.5 * between, dtype=np.float64)

    def _standardized(self, score: npt.ArrayLike) -> FloatArray:
        (score,) = check_columns(score=score)
        if len(score) != len(self.means):
            raise EvaluationError(
                f"{len(self.means)} forecasts need as many scores, got {len(score)}."
            )
        return np.asarray((score[:, None] - self.means) / self.sigmas, dtype=np.float64)


def _mean_abs(mean: FloatArray, sigma: FloatArray) -> FloatArray:
    """Return the mean of |x| where x is normal."""
    z = mean / sigma
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return np.asarray(2 * sigma * density + mean * (2 * special.ndtr(z) - 1), dtype=np.float64)
