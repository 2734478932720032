"""By how much the validation samples scale sigma, few or many."""

from __future__ import annotations

import math

from scipy.special import ndtri, stdtrit

from dae_aqa.metrics.sample_size import MIN_COVERED

_PRIOR_SAMPLES = 4  # where there are samples enough, see `sigma_factor`
_PRIOR_OF_FEW = 1
_UPPER = 0.95  # end of a 90 % interval


def sigma_factor(sum_of_squares: float, *, num_samples: int) -> float:
    """Return what sigma is to be multiplied with.

    z = (s - mu) / sigma of n validation samples is N(0, c²), where c is the factor that sigma
    should have. Before any sample is seen, c² is taken to follow a scaled inverse chi-squared
    distribution with n0 degrees of freedom and scale 1, the conjugate prior of a variance, as if n0
    more samples had said that sigma is right. After n samples its scale is
    (n0 + Σ z²) / (n0 + n) and its degrees of freedom are n0 + n.

    From 36 samples on (`MIN_COVERED`) the factor is the root of that scale, n0 = 4. Of fewer, that
    is too narrow for new samples, since c itself is not known: the next z follows Student's t with
    n0 + n degrees of freedom, times the root. So the factor makes the Gaussian's 90 % interval as
    wide as that of t, and n0 = 1, since more would hold sigma of overfitted models too low:

        factor² = (1 + Σ z²) / (1 + n) · (t(0.95; 1 + n) / 1.645)²

    Of no sample it is 1. Example: one sample with z = 1 gives t(0.95; 2) / 1.645 = 2.920 / 1.645.
    benchmarks/sigma_shrinkage.py compares this with other n0, and with no widening.

    Args:
        sum_of_squares: Σ z² of the samples.
        num_samples: their number n.

    Source: "variance scaling" of Levi et al. 2022, "Evaluating and calibrating uncertainty
    prediction in regression tasks"; Gelman et al., Bayesian Data Analysis (3rd ed.), section 2.6 (a
    normal distribution with known mean and unknown variance) and section 3.2 (its predictive t).
    """
    if num_samples == 0:
        return 1.0
    if num_samples >= MIN_COVERED:
        return math.sqrt((_PRIOR_SAMPLES + sum_of_squares) / (_PRIOR_SAMPLES + num_samples))
    freedom = _PRIOR_OF_FEW + num_samples
    widening = float(stdtrit(freedom, _UPPER) / ndtri(_UPPER))
    return math.sqrt((_PRIOR_OF_FEW + sum_of_squares) / freedom) * widening
