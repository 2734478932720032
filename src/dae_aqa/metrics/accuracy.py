"""Metrics of predicted scores: pure functions on NumPy arrays.

`predicted` and `target` are 1-D, finite, of one length (one entry per sample, in any order) and in
points of the score scale. The order of the samples changes no value. A function that has no value
for the samples, such as the rank correlation of a constant, raises `MetricUndefinedError`; it never
returns 0 instead.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dae_aqa.errors import EvaluationError

FloatArray = npt.NDArray[np.float64]
Draws = npt.NDArray[np.int64]  # (R, N): which samples each of R resamples holds

_RESAMPLES_PER_CHUNK = 512  # keeps the memory of a bootstrap flat, whatever its size
_MAX_UNDEFINED_SHARE = 0.05  # of resamples that are constant, before the interval means nothing


class MetricUndefinedError(EvaluationError):
    """The metric has no value for these samples; the message is the reason, fit for a report."""


def spearman(*, predicted: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Return Spearman's rank correlation, in [-1, 1]; ties get their average rank.

    Raises:
        MetricUndefinedError: fewer than two samples, or one side is constant.

    Source: Spearman (1904); the field's main figure since Pirsiavash et al. (ECCV 2014).
    """
    predicted, target = check_columns(predicted=predicted, target=target)
    num = len(predicted)
    require(num >= 2, f"a rank correlation needs at least 2 samples, got {num}")
    require(bool(np.ptp(predicted) > 0), "all predictions are equal, so they rank nothing")
    require(bool(np.ptp(target) > 0), "all scores are equal, so there is nothing to rank")
    return float(resampled_rhos(predicted, target, np.arange(num)[None])[0])


def spearman_interval(
    *,
    predicted: npt.ArrayLike,
    target: npt.ArrayLike,
    level: float,
    num_resamples: int,
    seed: int,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval (low, high) of Spearman's rho over the samples.

    Samples are put in the order of their values first, so that their order does not matter.

    Args:
        predicted: any ranking of the samples (N,).
        target: their scores (N,).
        level: share of the bootstrap distribution inside, in (0, 1), e.g. 0.95.
        num_resamples: resamples of all samples, with replacement.
        seed: seed of the resampling.

    Raises:
        MetricUndefinedError: rho is undefined, more than 5 % of the resamples are constant, or
            all resamples have the same rho, as where both sides have one order.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    check_level(level)
    spearman(predicted=predicted, target=target)
    predicted, target = check_columns(predicted=predicted, target=target)
    order = np.lexsort((target, predicted))
    predicted, target = predicted[order], target[order]
    rhos = [
        resampled_rhos(predicted, target, draws)
        for draws in bootstrap_draws(len(order), num_resamples=num_resamples, seed=seed)
    ]
    low, high = percentile_interval(
        np.concatenate(rhos), level=level, num_samples=len(order), undefined="constant"
    )
    require(high > low, "every resample has the same rho, so they show no interval")
    return low, high


def relative_l2(
    *,
    predicted: npt.ArrayLike,
    target: npt.ArrayLike,
    score_range: tuple[float, float],
) -> float:
    """Return the relative L2 distance R-l2 as a fraction: mean(((s - mu) / (max - min))^2).

    Args:
        predicted: forecasts (N,).
        target: scores (N,).
        score_range: (min, max) of the scores. The released code of CoRe and of the works that
            followed takes those of `target` itself. Papers print the value times 100.

    Raises:
        MetricUndefinedError: the range is empty.

    Source: Yu et al., Group-aware Contrastive Regression for AQA (CoRe, ICCV 2021), section 4.1.
    """
    predicted, target = check_columns(predicted=predicted, target=target)
    low, high = score_range
    require(high > low, f"the score range [{low:g}, {high:g}] is empty")
    return float(np.mean(((target - predicted) / (high - low)) ** 2))


def mae(*, predicted: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Return the mean absolute error, in points."""
    predicted, target = check_columns(predicted=predicted, target=target)
    return float(np.mean(np.abs(predicted - target)))


def rmse(*, predicted: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Return the root of the mean squared error, in points."""
    predicted, target = check_columns(predicted=predicted, target=target)
    return float(np.sqrt(np.mean((predicted - target) ** 2)))


def bias(*, predicted: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Return the mean of prediction minus score, in points; positive where the model overrates."""
    predicted, target = check_columns(predicted=predicted, target=target)
    return float(np.mean(predicted - target))


def check_columns(**arrays: npt.ArrayLike) -> tuple[FloatArray, ...]:
    """Return the arrays as float64 (N,), N > 0, after checking shapes and that all is finite."""
    columns = {name: np.asarray(values, dtype=np.float64) for name, values in arrays.items()}
    shapes = {name: column.shape for name, column in columns.items()}
    if len(set(shapes.values())) != 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise EvaluationError(f"a metric needs 1-D arrays of one length, got shapes {shapes}.")
    for name, column in columns.items():
        require(len(column) > 0, "there are no samples")
        bad = np.flatnonzero(~np.isfinite(column))
        if len(bad):
            raise EvaluationError(
                f"{name} must be finite for every sample, got {column[bad[0]]} at position "
                f"{bad[0]} ({len(bad)} such sample(s))."
            )
    return tuple(columns.values())


def check_level(level: float) -> None:
    """Raise `EvaluationError` unless `level` is a share strictly between 0 and 1."""
    if not 0 < level < 1:
        raise EvaluationError(f"level must lie between 0 and 1 (0.9 for 90 %), got {level}.")


def require(condition: bool, reason: str) -> None:
    """Raise `MetricUndefinedError` with `reason` unless `condition` holds."""
    if not condition:
        raise MetricUndefinedError(reason)


def bootstrap_draws(num_samples: int, *, num_resamples: int, seed: int) -> Iterator[Draws]:
    """Yield resamples of `num_samples` samples with replacement, a chunk (R, N) at a time.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 6.
    """
    if num_resamples < 1:
        raise EvaluationError(f"num_resamples must be at least 1, got {num_resamples}.")
    rng = np.random.default_rng(seed)
    for start in range(0, num_resamples, _RESAMPLES_PER_CHUNK):
        rows = min(_RESAMPLES_PER_CHUNK, num_resamples - start)
        yield rng.integers(num_samples, size=(rows, num_samples))


def percentile_interval(
    values: FloatArray, *, level: float, num_samples: int, undefined: str
) -> tuple[float, float]:
    """Return the central interval (low, high) of a figure's values over bootstrap resamples.

    Args:
        values: of each resample (R,); NaN where it is undefined.
        level: share of the values inside.
        num_samples: of each resample, for messages.
        undefined: what a resample without a value is, for messages.

    Raises:
        MetricUndefinedError: more than 5 % of the resamples have no value.

    Source: Efron and Tibshirani (1993), chapter 13.
    """
    defined = values[np.isfinite(values)]
    require(
        len(defined) >= (1 - _MAX_UNDEFINED_SHARE) * len(values),
        f"{len(values) - len(defined)} of {len(values)} bootstrap resamples are {undefined}: "
        f"{num_samples} samples are too few or too much alike for an interval",
    )
    tail = (1 - level) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def resampled_rhos(x: FloatArray, y: FloatArray, draws: Draws) -> FloatArray:
    """Return Spearman's rho (R,) of each resample; NaN where one side is constant.

    Ranks follow from how often each sample was drawn, so that no resample has to be sorted.

    Args:
        x: any ranking of the samples (N,).
        y: their scores (N,).
        draws: which samples each resample holds (R, M).
    """
    num_resamples, num_drawn = draws.shape
    rows = np.arange(num_resamples)[:, None] * len(x)
    counts = np.bincount((draws + rows).ravel(), minlength=num_resamples * len(x))
    counts = counts.reshape(num_resamples, len(x))  # (R, N)
    ranks_x, ranks_y = (_ranks(values, counts) - (num_drawn + 1) / 2 for values in (x, y))
    norm = np.sqrt((counts * ranks_x**2).sum(axis=1) * (counts * ranks_y**2).sum(axis=1))
    with np.errstate(invalid="ignore"):
        rho = (counts * ranks_x * ranks_y).sum(axis=1) / norm
    return np.asarray(np.clip(rho, -1.0, 1.0), dtype=np.float64)


def _ranks(values: FloatArray, counts: npt.NDArray[np.int64]) -> FloatArray:
    """Return the average rank (R, N) of each value (N,) where it occurs `counts` (R, N) times."""
    _, group = np.unique(values, return_inverse=True)  # equal values share a rank
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.add.reduceat(counts[:, order], starts, axis=1)  # (R, G)
    ranks = sizes.cumsum(axis=1) - (sizes - 1) / 2  # the mean of the places of a group
    return np.asarray(ranks[:, group])
