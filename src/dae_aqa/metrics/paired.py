"""How two models' figures differ on the same test samples: the paired bootstrap.

Both predictions tables are resampled together, so that what is hard about a sample is hard for both
and falls out of the difference. The interval covers the choice of test samples, not that of the
training seed.

A figure is any function of a predictions table. Two kinds say themselves what they are on many
resamples, which is faster by far: `Ranking` and `MeanOverSamples`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd

from dae_aqa.errors import EvaluationError
from dae_aqa.metrics.accuracy import (
    Draws,
    FloatArray,
    MetricUndefinedError,
    bootstrap_draws,
    check_level,
    percentile_interval,
    resampled_rhos,
    spearman,
)
from dae_aqa.tables.predictions import PART_COLUMN, names_of
from dae_aqa.wording import first_few

Figure = Callable[[pd.DataFrame], float]
Resampler = Callable[[Draws], FloatArray]
_JUDGED = ("final_score", "difficulty")  # what two tables must agree on
_RELATIVE_TOLERANCE = 1e-8  # of numbers with nine digits


@runtime_checkable
class FastFigure(Protocol):
    """A figure that is computed for many resamples at once."""

    def __call__(self, predictions: pd.DataFrame, /) -> float:
        """Return the figure of a table (N rows)."""

    def resampler(self, predictions: pd.DataFrame, /) -> Resampler:
        """Return what takes draws (R, N) of a table's rows to the figure (R,); NaN: undefined."""


@dataclass(frozen=True)
class Ranking:
    """Spearman's rho of two columns.

    Attributes:
        predicted: the column that ranks.
        target: the column with the scores.
    """

    predicted: str
    target: str

    def __call__(self, predictions: pd.DataFrame) -> float:
        """Return rho of a table (N rows)."""
        return spearman(predicted=predictions[self.predicted], target=predictions[self.target])

    def resampler(self, predictions: pd.DataFrame) -> Resampler:
        """Return what takes draws (R, N) to rho (R,); NaN where a resample is constant."""
        x, y = (predictions[name].to_numpy(np.float64) for name in (self.predicted, self.target))
        return lambda draws: resampled_rhos(x, y, draws)


@dataclass(frozen=True)
class MeanOverSamples:
    """A figure that is the mean of a value of each sample.

    Attributes:
        values: takes a table of N rows and returns their values (N,).
    """

    values: Callable[[pd.DataFrame], npt.ArrayLike]

    def __call__(self, predictions: pd.DataFrame) -> float:
        """Return the mean over a table (N rows)."""
        return float(np.mean(np.asarray(self.values(predictions), dtype=np.float64)))

    def resampler(self, predictions: pd.DataFrame) -> Resampler:
        """Return what takes draws (R, N) to the mean (R,)."""
        values = np.asarray(self.values(predictions), dtype=np.float64)
        return lambda draws: np.asarray(values[draws].mean(axis=1))


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """By how much a figure of the second model is above that of the first.

    Attributes:
        difference: second - first, in the figure's unit.
        low: lower end of its interval.
        high: upper end.
    """

    difference: float
    low: float
    high: float

    @property
    def is_distinguishable(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def paired_difference(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    figure: Figure,
    level: float,
    num_resamples: int,
    seed: int,
) -> PairedDifference:
    """Return the difference of a figure between two models, with its percentile interval.

    The order of the samples does not matter. Equal predictions have the difference 0 and the
    interval [0, 0], which is not distinguishable.

    Args:
        first: predictions table of one model, see `dae_aqa.tables.predictions`.
        second: that of the other, of the same samples.
        figure: what is compared; a `FastFigure` is computed on all resamples at once.
        level: share of the bootstrap distribution inside, in (0, 1), e.g. 0.95.
        num_resamples: resamples of all samples, with replacement.
        seed: seed of the resampling.

    Raises:
        EvaluationError: the tables hold other samples, or other scores of the same ones.
        MetricUndefinedError: the figure is undefined for a model, or in more than 5 % of the
            resamples.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 8 and 13; how
    often it errs is measured by benchmarks/bootstrap_coverage.py.
    """
    check_level(level)
    first, second = same_samples(first, second)
    of_first, of_second = _resampler(figure, first), _resampler(figure, second)
    as_it_is = np.arange(len(first))[None]
    difference = float((of_second(as_it_is) - of_first(as_it_is))[0])
    if not np.isfinite(difference):
        values = [figure(table) for table in (first, second)]  # raises, where it is undefined
        raise EvaluationError(f"the figure must be a finite number, it is {values}")
    differences = [
        of_second(draws) - of_first(draws)
        for draws in bootstrap_draws(len(first), num_resamples=num_resamples, seed=seed)
    ]
    low, high = percentile_interval(
        np.concatenate(differences),
        level=level,
        num_samples=len(first),
        undefined="without a value",
    )
    return PairedDifference(difference=difference, low=low, high=high)


def same_samples(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both tables in the same order of samples.

    Raises:
        EvaluationError: one holds samples that the other does not, or another score or difficulty
            of a sample; they are counted and named.
    """
    keys = names_of(first)
    if keys != names_of(second):
        raise EvaluationError(
            "one of the two tables has the column `part` and the other has not: pool their parts "
            "first (`dae_aqa.metrics.parts.pooled`)."
        )
    first, second = (table.sort_values(keys, ignore_index=True) for table in (first, second))
    names, others = _names(first), _names(second)
    only_first, only_second = names[~names.isin(others)], others[~others.isin(names)]
    if len(only_first) or len(only_second) or len(names) != len(others):
        raise EvaluationError(
            f"the two models were tested on different samples: {len(names)} and {len(others)}, of "
            f"which {int(names.isin(others).sum())} in both; only the first has "
            f"{_counted(only_first)}; only the second has {_counted(only_second)}. Evaluate both "
            "with the same dataset and split."
        )
    for column in _JUDGED:
        near = np.isclose(first[column], second[column], rtol=_RELATIVE_TOLERANCE, atol=0)
        if not near.all():
            raise EvaluationError(
                f"the two models were tested on different annotations: {column} differs for "
                f"{_counted(names[~near])}. Evaluate both with the same annotations table."
            )
    return first, second


def _names(table: pd.DataFrame) -> pd.Series:
    """Return what each row is called: its sample, and its part where there are several."""
    if PART_COLUMN not in table.columns:
        return table["sample_id"]
    return table["sample_id"] + " of part " + table[PART_COLUMN]


def _resampler(figure: Figure, table: pd.DataFrame) -> Resampler:
    if isinstance(figure, FastFigure):
        return figure.resampler(table)
    return lambda draws: np.array([_or_nan(figure, table.iloc[draw]) for draw in draws])


def _or_nan(figure: Figure, table: pd.DataFrame) -> float:
    try:
        return figure(table)
    except MetricUndefinedError:
        return float("nan")


def _counted(names: pd.Series) -> str:
    return f"{len(names)} sample(s): {first_few(names.tolist())}" if len(names) else "none"
