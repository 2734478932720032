"""Seven judges: their noise, their half points, the score, and the true sigma of that score.

A mark is `round_half(true mark + panel error + own error)`, limited to 0 to 10. The panel error is
common to all seven judges of a dive (they see the same television angle of a fault), the own error
is each judge's. Both depend on the true mark by a noise law:

- `monotone`: the better the dive, the surer the judges, as in MTL-AQA;
- `mid_peak`: middling dives divide and mislead the judges, very good and very bad ones do not. An
  uncertainty model that merely learned "low score, high sigma" fails here.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from dae_aqa.datasets.simdive.options import NoiseLaw
from dae_aqa.scoring import diving

FloatArray = npt.NDArray[np.float64]

NUM_JUDGES = 7
MAX_MARK = 10.0
_HALF_POINTS_PER_POINT = 2

# Knots of the monotone law: standard deviations in marks at the given true marks.
_MONOTONE_MARKS = (5.5, 9.0)
_MONOTONE_PANEL_SD = (0.42, 0.12)
_MONOTONE_JUDGE_SD = (0.49, 0.235)

# The mid-score peak: a bell over the true mark, in marks.
_PEAK_CENTRE, _PEAK_WIDTH = 7.0, 0.8
# Noise that is small against half a point would turn rounding into a bias; hence the lower ends.
_PEAK_PANEL_SD = (0.07, 0.31)  # far from the peak, added on top of it
# Source: scatter within MTL-AQA's panels of seven: 0.3 at mean marks of 9, 0.5 at 5 and below.
_PEAK_JUDGE_SD = (0.25, 0.25)

_SIGMA_GRID_STEP = 0.05
_SIGMA_PANELS = 4096


def noise_sd(true_marks: FloatArray, *, law: NoiseLaw) -> tuple[FloatArray, FloatArray]:
    """Return the standard deviations (panel error, own error) in marks at `true_marks`.

    Args:
        true_marks: noise-free marks, any shape, 0 to 10.
        law: the noise law.

    Returns:
        Two arrays of the shape of `true_marks`.
    """
    if law == "monotone":
        return (
            np.interp(true_marks, _MONOTONE_MARKS, _MONOTONE_PANEL_SD),
            np.interp(true_marks, _MONOTONE_MARKS, _MONOTONE_JUDGE_SD),
        )
    bell = np.exp(-0.5 * ((true_marks - _PEAK_CENTRE) / _PEAK_WIDTH) ** 2)
    panel = _PEAK_PANEL_SD[0] + _PEAK_PANEL_SD[1] * bell
    return panel, _PEAK_JUDGE_SD[0] + _PEAK_JUDGE_SD[1] * bell


def judge_marks(
    true_marks: FloatArray, *, law: NoiseLaw, panel_noise: FloatArray, judge_noise: FloatArray
) -> FloatArray:
    """Return the marks of seven judges in half points, 0 to 10.

    Args:
        true_marks: noise-free marks, shape (N,), 0 to 10.
        law: the noise law.
        panel_noise: standard normal numbers, shape (N,).
        judge_noise: standard normal numbers, shape (N, 7).

    Returns:
        Marks, shape (N, 7), float64.
    """
    panel_sd, judge_sd = noise_sd(true_marks, law=law)
    opinion = true_marks + panel_sd * panel_noise
    marks = opinion[:, None] + judge_sd[:, None] * judge_noise
    return np.clip(np.round(marks * _HALF_POINTS_PER_POINT) / _HALF_POINTS_PER_POINT, 0.0, MAX_MARK)


def true_sigma_execution(true_marks: FloatArray, *, law: NoiseLaw) -> FloatArray:
    """Return the standard deviation of the execution score, given the true mark.

    It holds everything that the judges add: panel error, own errors, half points, limits and the
    cancelling of extremes.

    Args:
        true_marks: noise-free marks, shape (N,), 0 to 10.
        law: the noise law.

    Returns:
        Standard deviations in points of the execution score (0 to 30), shape (N,).
    """
    grid, sigma = _sigma_table(law)
    return np.interp(true_marks, grid, sigma)


@cache
def _sigma_table(law: NoiseLaw) -> tuple[FloatArray, FloatArray]:
    """Return (true marks, sigma) by simulation with the same panels at each mark.

    The panel error, the larger part, runs through evenly spaced quantiles instead of random
    numbers, which leaves the table less than about 1 % off.
    """
    rng = np.random.default_rng(0)
    quantiles = (np.arange(_SIGMA_PANELS) + 0.5) / _SIGMA_PANELS
    panel_noise = np.array([NormalDist().inv_cdf(quantile) for quantile in quantiles])
    judge_noise = rng.standard_normal((_SIGMA_PANELS, NUM_JUDGES))
    grid = np.arange(0.0, MAX_MARK + _SIGMA_GRID_STEP / 2, _SIGMA_GRID_STEP)
    sigma = [
        diving(
            judge_marks(
                np.full(_SIGMA_PANELS, mark),
                law=law,
                panel_noise=panel_noise,
                judge_noise=judge_noise,
            )
        ).std()
        for mark in grid
    ]
    return grid, np.array(sigma)
