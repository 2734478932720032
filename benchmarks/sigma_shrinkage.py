"""How many validation samples may scale sigma, and how far? The choice of the prior's weight.

    python benchmarks/sigma_shrinkage.py [--draws 40000]

A model's sigma is off by a factor c: z = (s - mu) / sigma of its samples is normal with standard
deviation c. n validation samples scale sigma as `ScoreModel.fit_sigma_scale` does, with its n0 = 4
and with others (n0 = 0: the samples alone); the 90 % intervals of new samples then hold
P(|N(0, c)| < 1.645 factor). Figures are means over draws of the validation samples: for single c,
and over models whose c is log-normal around 1, as `PLAUSIBLE` says.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from _common import markdown_table, write_result

NUM_VAL = (1, 2, 3, 4, 6, 8, 12, 20, 30, 50, 100, 300)
PRIOR_SAMPLES = (0, 1, 2, 4, 8, 16)
CHOSEN = 4  # that of `ScoreModel.fit_sigma_scale`
FACTORS = (0.57, 0.8, 1.0, 1.25, 1.7, 2.5)
# standard deviations of ln c. Heads trained in this project had c from 0.57 to 1.7 before they were
# calibrated (docs/models.md, "What that means, measured"): about two of 0.3.
PLAUSIBLE = (0.2, 0.3, 0.4)
BAR = (0.86, 0.94)


def scaled(c: NDArray, *, num_val: int, prior: float, rng: np.random.Generator) -> NDArray:
    """Return what is left of each c (R,) after sigma was scaled on `num_val` samples."""
    sum_of_squares = c**2 * rng.chisquare(num_val, size=len(c))
    return c / np.sqrt((prior + sum_of_squares) / (prior + num_val))


def coverage(left: NDArray) -> float:
    """Return the mean share of scores that 90 % intervals hold if sigma is off by `left`."""
    return float(np.mean(2 * stats.norm.cdf(stats.norm.ppf(0.95) / left) - 1))


def excess_nll(left: NDArray) -> float:
    """Return by how much the likelihood of new samples is worse than with the right sigma, nats."""
    return float(np.mean(left**2 / 2 - 0.5 - np.log(left)))


def main() -> None:
    """Write the JSON and print the coverage with the chosen prior, and the loss with each."""
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
    for prior in PRIOR_SAMPLES:
        for name, c in models.items():
            for num_val in NUM_VAL:
                left = scaled(c, num_val=num_val, prior=prior, rng=rng)
                held = coverage(left)
                rows.append(
                    {
                        "prior_samples": prior,
                        "models": name,
                        "num_val": num_val,
                        "coverage_90": round(held, 4),
                        "within_bar": BAR[0] <= held <= BAR[1],
                        "excess_nll": round(excess_nll(left), 4),
                    }
                )
    write_result("sigma_shrinkage", {"bar": BAR, "rows": rows}, folder=arguments.results)
    by_key = {(row["prior_samples"], row["models"], row["num_val"]): row for row in rows}
    print(f"Coverage of 90 % intervals, n0 = {CHOSEN}\n")
    table = [
        [name, *(f"{by_key[CHOSEN, name, n]['coverage_90']:.3f}" for n in NUM_VAL)]
        for name in models
    ]
    print(markdown_table(["", *(f"n = {n}" for n in NUM_VAL)], table))
    print("\nExcess NLL, ln c ~ N(0, 0.3)\n")
    plausible = "ln c ~ N(0, 0.3)"
    table = [
        [f"n0 = {prior}", *(f"{by_key[prior, plausible, n]['excess_nll']:.3f}" for n in NUM_VAL)]
        for prior in PRIOR_SAMPLES
    ]
    print(markdown_table(["", *(f"n = {n}" for n in NUM_VAL)], table))


if __name__ == "__main__":
    main()
