"""Below how many samples are drawn folds worth their trainings? The choice of `folds_below`.

    python benchmarks/small_data.py [--draws 4000]

Scores s are normal with standard deviation 1. A model predicts mu = r (r s + sqrt(1 - r²) e) with
standard normal noise e, so that its correlation with the scores is r. Spearman's rho of
two normal variables is 6 / pi asin(r / 2), so r is 2 sin(pi rho / 6). Each training adds an offset
of its own to its predictions: five trainings are five offsets, which pooled predictions carry.

`make_splits` draws a quarter for test, or five folds. For each number of samples, figures are taken
over draws of scores and errors: how widely rho and the MAE scatter, and how often a model of true
rho 0.6 gets as high a rho as one of 0.8, or a higher one, on the same test samples. Both ways are
given models of the same quality, although folds train on 80 % of the samples and a quarter held out
leaves 75 %.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from _common import markdown_table, write_result
from dae_aqa.splits.make import make_splits
from dae_aqa.splits.options import SplitOptions

NUM_SAMPLES = (9, 15, 30, 40, 60, 80, 100, 120, 150, 175, 200, 250, 300, 400, 600, 1000)
TRUE_RHO = (0.6, 0.8)
OFFSETS = (0.0, 0.2)  # standard deviation of a training's offset, in that of the scores
NUM_FOLDS = 5
NUM_SPLITS = 20  # drawn by make_splits for each number of samples, and used in turn
WRONG_ORDER = 0.05  # as often, at most, may the worse of the two models look better


def tested(num_samples: int, *, source: str, seed: int) -> list[NDArray]:
    """Return the places of the test samples of each part, among samples in the order of scores."""
    places = np.arange(num_samples)
    annotations = pd.DataFrame({"sample_id": [f"{place:04d}" for place in places]})
    annotations["video_id"] = annotations["sample_id"]
    annotations["final_score"] = places.astype(float)
    annotations[["split", "task", "fold", "group"]] = ""
    options = SplitOptions.model_validate(
        {
            "source": source,
            "test_fraction": 0.25,
            "val_fraction": 0.2,
            "group_by": "sample",
            "num_folds": NUM_FOLDS,
            "num_repeats": 1,
            "folds_below": 1,
        }
    )
    table = make_splits(annotations, options=options, is_users_own=False, seed=seed)
    tests = table[table["split"] == "test"]
    return [rows["sample_id"].astype(int).to_numpy() for _, rows in tests.groupby("part")]


def figures(
    parts: list[NDArray], scores: NDArray, *, rho: float, offset: float, rng: np.random.Generator
) -> tuple[NDArray, NDArray]:
    """Return rho and MAE (R,) of pooled test samples, for sorted `scores` (R, N)."""
    r = 2 * np.sin(np.pi * rho / 6)
    mu = r * (r * scores + np.sqrt(1 - r**2) * rng.normal(size=scores.shape))
    for part in parts:  # one training each
        mu[:, part] += offset * rng.normal(size=(len(mu), 1))
    test = np.concatenate(parts)
    ranks = [stats.rankdata(values[:, test], axis=1) for values in (mu, scores)]
    a, b = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    correlations = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return correlations, np.abs(mu - scores)[:, test].mean(axis=1)


def scatter(values: NDArray) -> dict[str, float]:
    """Return the mean, and the 5th and 95th percentile."""
    low, high = np.percentile(values, [5, 95])
    return {"mean": round(float(values.mean()), 4), "p5": round(low, 4), "p95": round(high, 4)}


def measure(num_samples: int, *, source: str, offset: float, draws: int) -> dict[str, object]:
    """Return the figures of one number of samples, tested in one way."""
    rng = np.random.default_rng([num_samples, int(100 * offset)])
    rhos, maes = [], []
    for seed in range(NUM_SPLITS):
        parts = tested(num_samples, source=source, seed=seed)
        scores = np.sort(rng.normal(size=(draws // NUM_SPLITS, num_samples)), axis=1)
        both = [figures(parts, scores, rho=rho, offset=offset, rng=rng) for rho in TRUE_RHO]
        rhos.append([rho for rho, _ in both])
        maes.append([mae for _, mae in both])
    by_rho, by_mae = np.concatenate(rhos, axis=1), np.concatenate(maes, axis=1)
    return {
        "num_samples": num_samples,
        "num_tested": sum(len(part) for part in parts),
        "num_trainings": len(parts),
        "source": source,
        "offset": offset,
        "rho": {str(true): scatter(by_rho[i]) for i, true in enumerate(TRUE_RHO)},
        "mae": {str(true): scatter(by_mae[i]) for i, true in enumerate(TRUE_RHO)},
        "wrong_order": round(float(np.mean(by_rho[0] >= by_rho[1])), 4),
    }


def main() -> None:
    """Write the JSON; print the figures, and from which size a quarter held out is enough."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--results", type=Path, default=None)
    arguments = parser.parse_args()
    rows = [
        measure(num_samples, source=source, offset=offset, draws=arguments.draws)
        for offset in OFFSETS
        for num_samples in NUM_SAMPLES
        for source in ("random", "folds")
    ]
    enough = {
        f"{source}, offset {offset}": min(
            (
                row["num_samples"]
                for row in rows
                if (row["source"], row["offset"]) == (source, offset)
                and row["wrong_order"] <= WRONG_ORDER
            ),
            default=None,
        )
        for source in ("random", "folds")
        for offset in OFFSETS
    }
    result = {"wrong_order_at_most": WRONG_ORDER, "enough_from": enough, "rows": rows}
    write_result("small_data", result, folder=arguments.results)
    header = ["samples", "way", "offset", "tested"]
    header += [f"rho {true}: 5 to 95 %" for true in TRUE_RHO]
    header += [f"MAE at {true}: 5 to 95 %" for true in TRUE_RHO] + ["wrong order"]
    table = [
        [row["num_samples"], row["source"], row["offset"], row["num_tested"]]
        + [
            f"{row[key][str(true)]['p5']:.2f} to {row[key][str(true)]['p95']:.2f}"
            for key in ("rho", "mae")
            for true in TRUE_RHO
        ]
        + [f"{row['wrong_order']:.3f}"]
        for row in rows
    ]
    print(markdown_table(header, table))
    print(enough)


if __name__ == "__main__":
    main()
