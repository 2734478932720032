"""How often the bootstrap errs: intervals of rho, and verdicts on two equally good models.

    python benchmarks/bootstrap_coverage.py [--draws 1000] [--resamples 500]

Test sets of 353 samples (MTL-AQA's) and of 70 are drawn a thousand times each.

Intervals: score and prediction are normal with correlation r, whose Spearman's rho is
6 / pi * asin(r / 2). A 95 % interval should hold it in 95 of 100 draws. Beside the percentile
interval that `spearman_interval` gives, two others are counted: the same quantiles mirrored on
Fisher's z, and the bias-corrected ones.

Verdicts: two models miss the execution score by normal errors of the same size, which they share to
some extent, and know their sigma. `paired_difference` should call them different, by each figure of
`dae_aqa.metrics.comparison.COMPARED`, in 5 of 100 draws. Beside it, of means, stands what the
percentile interval would do, whose mirror image it takes. How often it tells a model from one
whose errors are a fifth smaller shows what a verdict is worth.

Source of rho: Kendall and Gibbons, Rank Correlation Methods (1990), section 9.7.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from _common import markdown_table, write_result
from dae_aqa.metrics.accuracy import (
    MetricUndefinedError,
    bootstrap_draws,
    resampled_rhos,
    spearman,
    spearman_interval,
)
from dae_aqa.metrics.comparison import COMPARED
from dae_aqa.metrics.paired import MeanOverSamples, PairedDifference, paired_difference
from dae_aqa.tables.predictions import build_predictions

LEVEL = 0.95
NUM_SAMPLES = (353, 70)
CORRELATIONS = (0.5, 0.9, 0.95)
COVERED = (0.93, 0.97)  # the bar of an interval
MAX_FALSE = 0.07  # the bar of a verdict
NUM_TAU_RESAMPLES = 100  # tau takes half a millisecond for each
SHARED = 0.6  # correlation of the two models' errors
BETTER = 0.8  # errors of the better model beside those of the other


def interval_row(correlation: float, num_samples: int, arguments: argparse.Namespace) -> dict:
    """Return how often the intervals hold the true rho."""
    true_rho = 6 / math.pi * math.asin(correlation / 2)
    rng = np.random.default_rng(num_samples)
    held: list[dict[str, bool]] = []
    for draw in range(arguments.draws):
        score, noise = rng.normal(size=(2, num_samples))
        predicted = correlation * score + math.sqrt(1 - correlation**2) * noise
        low, high = spearman_interval(
            predicted=predicted,
            target=score,
            level=LEVEL,
            num_resamples=arguments.resamples,
            seed=draw,
        )
        others = other_intervals(predicted, score, num_resamples=arguments.resamples, seed=draw)
        held.append(
            {
                "percentile": low <= true_rho <= high,
                **{name: bool(one <= true_rho <= two) for name, (one, two) in others.items()},
            }
        )
    shares = {name: round(float(np.mean([each[name] for each in held])), 4) for name in held[0]}
    return {
        "num_samples": num_samples,
        "true_rho": round(true_rho, 4),
        "held": shares,
        "within_bar": COVERED[0] <= shares["percentile"] <= COVERED[1],
    }


def other_intervals(
    predicted: NDArray, score: NDArray, *, num_resamples: int, seed: int
) -> dict[str, tuple[float, float]]:
    """Return what other bootstrap intervals would be, of the same resamples."""
    rho = spearman(predicted=predicted, target=score)
    draws = bootstrap_draws(len(score), num_resamples=num_resamples, seed=seed)
    rhos = np.concatenate([resampled_rhos(predicted, score, chunk) for chunk in draws])
    tails = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    mirrored = np.tanh(2 * np.arctanh(rho) - np.quantile(np.arctanh(rhos), tails[::-1]))
    bias = stats.norm.ppf(np.mean(rhos < rho) + np.mean(rhos == rho) / 2)
    corrected = np.quantile(rhos, stats.norm.cdf(2 * bias + stats.norm.ppf(tails)))
    return {
        "mirrored on Fisher's z": (mirrored[0], mirrored[1]),
        "bias-corrected": (corrected[0], corrected[1]),
    }


def two_models(num_samples: int, *, better: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the predictions of two models; the errors of the second are `better` times as big."""
    rng = np.random.default_rng(seed)
    difficulty = rng.choice([1.6, 2.4, 2.8, 3.0, 3.2, 3.6], num_samples)
    execution = np.round(2 * rng.normal(22, 4, num_samples).clip(3, 30)) / 2
    sigma = rng.uniform(0.7, 2.5, num_samples)
    common, *own = rng.normal(size=(3, num_samples))
    samples = pd.DataFrame(
        {
            "sample_id": [f"s{row:03d}" for row in range(num_samples)],
            "final_score": execution * difficulty,
            "difficulty": difficulty,
        }
    )
    tables = []
    for size, noise in zip((1.0, better), own, strict=True):
        error = size * sigma * (math.sqrt(SHARED) * common + math.sqrt(1 - SHARED) * noise)
        tables.append(
            build_predictions(
                samples=samples, mu_execution=execution + error, sigma_execution=size * sigma
            )
        )
    return tables[0], tables[1]


def _errors(table: pd.DataFrame) -> NDArray:
    return np.abs((table["final_score"] - table["mu"]).to_numpy())


def _z(table: pd.DataFrame) -> NDArray:
    return _errors(table) / table["sigma"].to_numpy()


def _crps(table: pd.DataFrame) -> NDArray:
    z = _z(table)
    spread = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / math.sqrt(math.pi)
    return table["sigma"].to_numpy() * spread


# the same values as those of COMPARED, of all samples at once instead of one by one
AT_ONCE = {
    "mae": _errors,
    "nll": lambda table: -stats.norm.logpdf(_z(table)) + np.log(table["sigma"].to_numpy()),
    "crps": _crps,
    "coverage_90": lambda table: _z(table) <= stats.norm.ppf(0.95),
}
FIGURES = {
    compared.key: MeanOverSamples(AT_ONCE[compared.key])
    if compared.key in AT_ONCE
    else compared.figure
    for compared in COMPARED
}


def check_figures() -> None:
    """Check that the figures are those that models are compared by."""
    table, _ = two_models(60, better=1.0, seed=0)
    for compared in COMPARED:
        assert math.isclose(FIGURES[compared.key](table), compared.figure(table), rel_tol=1e-9)


def verdict_rows(num_samples: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return how often two models are called different, a row for each figure."""
    rows = []
    counts: dict[tuple[str, float], list[bool]] = {}
    by_percentile: dict[str, list[bool]] = {}
    for better in (1.0, BETTER):
        for draw in range(arguments.draws if better == 1.0 else arguments.draws // 5):
            first, second = two_models(num_samples, better=better, seed=draw)
            for compared in COMPARED:
                is_needless = compared.key == "rejection_tau" and better != 1.0
                if num_samples < compared.fewest or is_needless:
                    continue
                try:
                    found = difference(first, second, compared.key, arguments, seed=draw)
                except MetricUndefinedError:
                    continue
                called = counts.setdefault((compared.key, better), [])
                called.append(found.is_distinguishable)
                if isinstance(FIGURES[compared.key], MeanOverSamples) and better == 1.0:
                    low, high = (2 * found.difference - end for end in (found.high, found.low))
                    by_percentile.setdefault(compared.key, []).append(low > 0 or high < 0)
    for compared in COMPARED:
        equal, unequal = (counts.get((compared.key, better), []) for better in (1.0, BETTER))
        if equal:
            share = float(np.mean(equal))
            rows.append(
                {
                    "num_samples": num_samples,
                    "figure": compared.key,
                    "draws": len(equal),
                    "called_different": round(share, 4),
                    "within_bar": share <= MAX_FALSE,
                    "by_percentile": round(float(np.mean(by_percentile[compared.key])), 4)
                    if compared.key in by_percentile
                    else round(share, 4),
                    "told_from_better": round(float(np.mean(unequal)), 4) if unequal else None,
                }
            )
    return rows


def difference(
    first: pd.DataFrame, second: pd.DataFrame, key: str, arguments: argparse.Namespace, *, seed: int
) -> PairedDifference:
    """Return the paired difference of a figure."""
    is_slow = key == "rejection_tau"
    return paired_difference(
        first,
        second,
        figure=FIGURES[key],
        level=LEVEL,
        num_resamples=min(NUM_TAU_RESAMPLES, arguments.resamples)
        if is_slow
        else arguments.resamples,
        seed=seed,
    )


def main() -> None:
    """Write the JSON and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=500)
    parser.add_argument("--results", type=Path, default=None)
    arguments = parser.parse_args()
    check_figures()
    intervals = [
        interval_row(correlation, num_samples, arguments)
        for num_samples in NUM_SAMPLES
        for correlation in CORRELATIONS
    ]
    verdicts = [row for num in NUM_SAMPLES for row in verdict_rows(num, arguments)]
    write_result(
        "bootstrap_coverage",
        {
            "draws": arguments.draws,
            "resamples": arguments.resamples,
            "level": LEVEL,
            "bar_of_intervals": COVERED,
            "bar_of_verdicts": MAX_FALSE,
            "intervals": intervals,
            "verdicts": verdicts,
        },
        folder=arguments.results,
    )
    names = list(intervals[0]["held"])
    print("Share of draws in which the 95 % interval holds the true rho\n")
    table = [
        [row["num_samples"], f"{row['true_rho']:.3f}", *(f"{row['held'][n]:.3f}" for n in names)]
        for row in intervals
    ]
    print(markdown_table(["samples", "true rho", *names], table))
    print("\nShare of draws in which two models are called different\n")
    table = [
        [
            row["num_samples"],
            row["figure"],
            f"{row['called_different']:.3f}",
            f"{row['by_percentile']:.3f}",
            "" if row["told_from_better"] is None else f"{row['told_from_better']:.3f}",
        ]
        for row in verdicts
    ]
    print(
        markdown_table(
            ["samples", "figure", "equally good", "by percentiles", "errors a fifth smaller"], table
        )
    )


if __name__ == "__main__":
    main()
