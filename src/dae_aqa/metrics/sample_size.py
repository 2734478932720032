"""How many samples a figure needs before it can say anything, and why as many.

Below its limit a figure is left out, with the reason, in the log, in `metrics.json` and in the
report, and a validation set does not choose by it.
"""

from __future__ import annotations

# Rank correlation. The fewest samples with which a model whose true rho is 0.9 is told from one
# that ranks at random (two-sided, 5 %) in 95 of 100 draws; with 10 it is 94, with 8 it is 84.
# Source: Zar, "Significance testing of the Spearman rank correlation coefficient", JASA 1972, for
# the critical values; the share of draws is simulated anew in tests/metrics/test_sample_size.py.
MIN_RANKED = 11

# Rank correlation of one published fold, which is averaged over folds and shown as no more than an
# ingredient of that mean. With fewer samples no rho is significant at 5 % (two-sided): the two most
# extreme orders of four samples have a chance of 2/4! = 8.3 %, of five 2/5! = 1.7 %.
MIN_AVERAGED = 5

# Likelihood that chooses an epoch. The fewest samples with which it prefers an honest sigma to one
# five times too narrow in 95 of 100 draws. The narrow one wins where the mean of z² is below
# ln 5 / 12, and n times that mean is chi-squared with n degrees of freedom: 3 % for n = 4, 6 % for
# n = 3, 29 % for n = 1. An overfitted model's sigma is such a narrow one.
MIN_CHOOSING = 4

# Coverage. The fewest samples with which a 90 % interval can be found too wide: of fewer, even an
# honest model holds all more often than once in 40 (0.9^35 = 2.50 %, 0.9^36 = 2.25 %), the upper
# end of the 95 % range in `calibration.coverage_noise_interval`.
MIN_COVERED = 36

# Groups that are compared: ten bins of sigma, fifths of the score. Ten times five, since the mean
# |error| of five normal errors has a standard deviation of a third of its size already:
# sqrt(pi / 2 - 1) / sqrt(5) = 0.34.
MIN_GROUPED = 50


def too_few(num_samples: int, minimum: int, what: str) -> str:
    """Return the reason why `what` is left out of so few samples, '' where they are enough.

    Example: 2 of 11 give 'a rank correlation needs at least 11 samples, got 2'.
    """
    if num_samples >= minimum:
        return ""
    return f"{what} needs at least {minimum} samples, got {num_samples}"
