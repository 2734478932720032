"""Two models on the same test samples: which figures differ beyond chance, and which samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from dae_aqa.metrics.accuracy import Draws, FloatArray, MetricUndefinedError, require
from dae_aqa.metrics.calibration import central_level, rejection_tau
from dae_aqa.metrics.forecast import forecast_of
from dae_aqa.metrics.paired import (
    FastFigure,
    Figure,
    MeanOverSamples,
    PairedDifference,
    Ranking,
    Resampler,
    paired_difference,
    same_samples,
)
from dae_aqa.metrics.sample_size import MIN_COVERED, MIN_GROUPED, MIN_RANKED, too_few

Better = Literal["higher", "lower", "near 0.9"]
Verdict = Literal["first", "second", "neither", "different", "undefined"]
_COVERED = 0.9  # of the scores should lie within the intervals of `coverage_90`


@dataclass(frozen=True)
class RejectionTau:
    """Kendall's tau between bins of sigma and their error, `dae_aqa.metrics.calibration`."""

    def __call__(self, predictions: pd.DataFrame) -> float:
        """Return tau of a table (N rows)."""
        return rejection_tau(
            mu=predictions["mu"], sigma=predictions["sigma"], target=predictions["final_score"]
        )

    def resampler(self, predictions: pd.DataFrame) -> Resampler:
        """Return what takes draws (R, N) to tau (R,); NaN where a bin is empty."""
        mu, sigma, target = (
            predictions[name].to_numpy(np.float64) for name in ("mu", "sigma", "final_score")
        )

        def tau(draw: FloatArray) -> float:
            try:
                return rejection_tau(mu=mu[draw], sigma=sigma[draw], target=target[draw])
            except MetricUndefinedError:
                return float("nan")

        return lambda draws: np.array([tau(draw) for draw in draws])


@dataclass(frozen=True)
class Miss:
    """How far a figure lies from where it should be: |figure - ideal|."""

    figure: FastFigure
    ideal: float

    def __call__(self, predictions: pd.DataFrame) -> float:
        """Return the distance of a table (N rows)."""
        return abs(self.figure(predictions) - self.ideal)

    def resampler(self, predictions: pd.DataFrame) -> Resampler:
        """Return what takes draws (R, N) to the distance (R,)."""
        of_figure = self.figure.resampler(predictions)

        def distance(draws: Draws) -> FloatArray:
            return np.abs(of_figure(draws) - self.ideal)

        return distance


def _errors(predictions: pd.DataFrame) -> FloatArray:
    return (predictions["mu"] - predictions["final_score"]).abs().to_numpy(np.float64)


def _surprises(predictions: pd.DataFrame) -> FloatArray:
    return -forecast_of(predictions).log_density(predictions["final_score"])


def _crps(predictions: pd.DataFrame) -> FloatArray:
    return forecast_of(predictions).crps(predictions["final_score"])


def _is_covered(predictions: pd.DataFrame) -> FloatArray:
    forecast, score = forecast_of(predictions), predictions["final_score"]
    return (central_level(forecast=forecast, target=score) <= _COVERED).astype(np.float64)


def _squared_shares(predictions: pd.DataFrame) -> FloatArray:
    """Return what `rl2_x100` is the mean of; its range is that of all samples, in resamples too."""
    score = predictions["final_score"].to_numpy(np.float64)
    require(bool(np.ptp(score) > 0), "all scores are equal, so their range is empty")
    return np.asarray(100 * ((score - predictions["mu"].to_numpy(np.float64)) / np.ptp(score)) ** 2)


@dataclass(frozen=True, kw_only=True)
class ComparedFigure:
    """A figure that models are compared by.

    Attributes:
        key: in `metrics.json`.
        name: for people.
        decimals: to show.
        better: which values are better.
        figure: of a predictions table; the value is that of `metrics.json`.
        fewest: samples that it needs.
        needing: what needs them, for the reason.
    """

    key: str
    name: str
    decimals: int
    better: Better
    figure: FastFigure
    fewest: int = 0
    needing: str = ""


COMPARED: tuple[ComparedFigure, ...] = (
    ComparedFigure(
        key="spearman",
        name="Spearman's ρ, final score",
        decimals=3,
        better="higher",
        figure=Ranking("mu", "final_score"),
        fewest=MIN_RANKED,
        needing="a rank correlation",
    ),
    ComparedFigure(
        key="spearman_execution",
        name="Spearman's ρ, execution",
        decimals=3,
        better="higher",
        figure=Ranking("mu_execution", "execution_score"),
        fewest=MIN_RANKED,
        needing="a rank correlation",
    ),
    ComparedFigure(
        key="rl2_x100",
        name="R-ℓ2 × 100",
        decimals=3,
        better="lower",
        figure=MeanOverSamples(_squared_shares),
        fewest=MIN_RANKED,
        needing="the range of the test scores",
    ),
    ComparedFigure(
        key="mae",
        name="Mean absolute error",
        decimals=2,
        better="lower",
        figure=MeanOverSamples(_errors),
    ),
    ComparedFigure(
        key="nll",
        name="Negative log-likelihood",
        decimals=3,
        better="lower",
        figure=MeanOverSamples(_surprises),
    ),
    ComparedFigure(
        key="crps", name="CRPS", decimals=2, better="lower", figure=MeanOverSamples(_crps)
    ),
    ComparedFigure(
        key="coverage_90",
        name="Coverage of 90 % intervals",
        decimals=3,
        better="near 0.9",
        figure=MeanOverSamples(_is_covered),
        fewest=MIN_COVERED,
        needing="the share of scores within an interval",
    ),
    ComparedFigure(
        key="rejection_tau",
        name="Rejection τ",
        decimals=2,
        better="higher",
        figure=RejectionTau(),
        fewest=MIN_GROUPED,
        needing="the error in ten bins of sigma",
    ),
)


@dataclass(frozen=True, kw_only=True)
class FigureComparison:
    """What a figure says of two models.

    Attributes:
        compared: the figure.
        first: its value for the first model; None where it is undefined, like the next two.
        second: for the second model.
        difference: second - first, with its interval.
        verdict: which model is better beyond chance; `neither` where the interval of the difference
            includes 0; `different` where it does not, but neither coverage is nearer to 90 %.
        reason: why it is undefined, else ''.
    """

    compared: ComparedFigure
    first: float | None
    second: float | None
    difference: PairedDifference | None
    verdict: Verdict
    reason: str = ""


def compare_figures(
    first: pd.DataFrame, second: pd.DataFrame, *, level: float, num_resamples: int, seed: int
) -> list[FigureComparison]:
    """Return the comparison of every figure in `COMPARED`.

    Args:
        first: predictions table of one model, without parts (`dae_aqa.metrics.parts.pooled`).
        second: that of the other, of the same samples.
        level: of the intervals, in (0, 1).
        num_resamples: resamples of all samples, the same for both models.
        seed: seed of the resampling.

    Raises:
        EvaluationError: the tables hold other samples, or other scores of the same ones.
    """
    first, second = same_samples(first, second)
    paired = partial(
        paired_difference, first, second, level=level, num_resamples=num_resamples, seed=seed
    )
    return [_compare(compared, first, second, paired) for compared in COMPARED]


def changed_samples(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Return the samples with both predictions, those that changed most first.

    Columns: `sample_id`, `final_score`, `difficulty`, `mu_first`, `mu_second`, `change` (second -
    first), `error_first`, `error_second` (prediction - score), and `gain`: by how many points the
    second model's absolute error is smaller.

    Args:
        first: as in `compare_figures`.
        second: likewise.

    Raises:
        EvaluationError: as in `compare_figures`.
    """
    first, second = same_samples(first, second)
    table = first[["sample_id", "final_score", "difficulty"]].assign(
        mu_first=first["mu"], mu_second=second["mu"], change=second["mu"] - first["mu"]
    )
    for model in ("first", "second"):
        table[f"error_{model}"] = table[f"mu_{model}"] - table["final_score"]
    table["gain"] = table["error_first"].abs() - table["error_second"].abs()
    return table.sort_values(
        "change", key=lambda change: -change.abs(), kind="stable", ignore_index=True
    )


def _compare(
    compared: ComparedFigure,
    first: pd.DataFrame,
    second: pd.DataFrame,
    paired: Callable[..., PairedDifference],
) -> FigureComparison:
    values: list[float | None] = []
    reason = too_few(len(first), compared.fewest, compared.needing)
    for table in (first, second):
        try:
            require(not reason, reason)
            values.append(compared.figure(table))
        except MetricUndefinedError as undefined:
            values.append(None)
            reason = str(undefined)
    difference = None
    verdict: Verdict = "undefined"
    if not reason:
        try:
            difference = paired(figure=compared.figure)
            verdict = _verdict(compared, difference, paired)
        except MetricUndefinedError as undefined:
            reason = str(undefined)
    return FigureComparison(
        compared=compared,
        first=values[0],
        second=values[1],
        difference=difference,
        verdict=verdict,
        reason=reason,
    )


def _verdict(
    compared: ComparedFigure, difference: PairedDifference, paired: Callable[..., PairedDifference]
) -> Verdict:
    if not difference.is_distinguishable:
        return "neither"
    if compared.better == "higher":
        return "second" if difference.difference > 0 else "first"
    if compared.better == "lower":
        return "first" if difference.difference > 0 else "second"
    miss: Figure = Miss(compared.figure, _COVERED)
    farther = paired(figure=miss)
    if not farther.is_distinguishable:
        return "different"
    return "first" if farther.difference > 0 else "second"
