"""How many validation samples may scale sigma, and how far? The choice of `sigma_factor`.

    python benchmarks/sigma_shrinkage.py [--draws 40000]

A model's sigma is off by a factor c: z = (s - mu) / sigma of its samples is normal with standard
deviation c. n validation samples scale sigma as `sigma_factor` does, and in other ways: drawn
towards 1 by n0 samples or by none, and widened or not to the 90 % interval of Student's t. The 90 %
intervals of new samples then hold P(|N(0, c)| < 1.645 factor). Figures are means over draws of the
validation samples: for single c, and over models whose c is log-normal around 1, as `PLAUSIBLE`
says.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from _common import markdown_table, write_result
from dae_aqa.metrics.sigma_scale import sigma_factor

NUM_VAL = (1, 2, 3, 4, 6, 8, 12, 20, 30, 35, 36, 50, 100, 300)
FACTORS = (0.57, 0.8, 1.0, 1.25, 1.5, 1.7, 2.0, 3.0)
# standard deviations of ln c. Heads trained in this project had c from 0.57 to 1.7 before they were
# calibrated (docs/models.md, "What that means, measured"): about two of 0.3.
PLAUSIBLE = (0.2, 0.3, 0.4)
BAR = (0.86, 0.94)
Squared = Callable[[NDArray, int], NDArray]  # (sums of z², n) -> factor²


def as_used(sums: NDArray, num_val: int) -> NDArray:
    """Return factor² of `sigma_factor`, which is linear in the sum of z²."""
    start = sigma_factor(0.0, num_samples=num_val) ** 2
    return start + sums * (sigma_factor(1.0, num_samples=num_val) ** 2 - start)


def otherwise(sums: NDArray, num_val: int, *, prior: float, is_widened: bool) -> NDArray:
    """Return factor² with `prior` samples that say 1, widened to Student's t or not."""
    freedom = prior + num_val
    widening = stats.t.ppf(0.95, freedom) / stats.norm.ppf(0.95) if is_widened else 1.0
    return (prior + sums) / freedom * widening**2


WAYS: dict[str, Squared] = {
    "as used": as_used,
    **{
        f"n0 = {prior}{', widened' if is_widened else ''}": partial(
            otherwise, prior=prior, is_widened=is_widened
        )
        for is_widened in (False, True)
        for prior in (0, 1, 2, 4, 8)
    },
}


def coverage(left: NDArray) -> float:
    """Return the mean share of scores that 90 % intervals hold if sigma is off by `left`."""
    return float(np.mean(2 * stats.norm.cdf(stats.norm.ppf(0.95) / left) - 1))


def excess_nll(left: NDArray) -> float:
    """Return by how much the likelihood of new samples is worse than with the right sigma, nats."""
    return float(np.mean(left**2 / 2 - 0.5 - np.log(left)))


def main() -> None:
    """Write the JSON; print what is used, and coverage and loss of each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=40_000)
    parser.add_argument("--results", type=Path, default=None)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    models = {f"c = {c}": np.full(arguments.draws, c) for c in FACTORS}
    models |= {
        f"ln c ~ N(0, {spread})": np.exp(rng.normal(0, spread, arguments.draws))
        for spread in PLAUSIBLE
    }
    rows = []
    for way, squared in WAYS.items():
        for name, c in models.items():
            for num_val in NUM_VAL:
                sums = c**2 * rng.chisquare(num_val, size=len(c))
                left = c / np.sqrt(squared(sums, num_val))
                held = coverage(left)
                rows.append(
                    {
                        "way": way,
                        "models": name,
                        "num_val": num_val,
                        "coverage_90": round(held, 4),
                        "within_bar": BAR[0] <= held <= BAR[1],
                        "excess_nll": round(excess_nll(left), 4),
                    }
                )
    write_result("sigma_shrinkage", {"bar": BAR, "rows": rows}, folder=arguments.results)
    by_key = {(row["way"], row["models"], row["num_val"]): row for row in rows}
    print("Coverage of 90 % intervals, as used\n")
    table = [
        [name, *(f"{by_key['as used', name, n]['coverage_90']:.3f}" for n in NUM_VAL)]
        for name in models
    ]
    print(markdown_table(["", *(f"n = {n}" for n in NUM_VAL)], table))
    for name in ("ln c ~ N(0, 0.3)", "c = 2.0"):
        for figure in ("coverage_90", "excess_nll"):
            print(f"\n{figure}, {name}\n")
            table = [
                [way, *(f"{by_key[way, name, n][figure]:.3f}" for n in NUM_VAL)] for way in WAYS
            ]
            print(markdown_table(["", *(f"n = {n}" for n in NUM_VAL)], table))


if __name__ == "__main__":
    main()
