"""Whether a row is worse than the best one, over several seeds at once.

The difference of two rows is the mean over seeds of the difference of their rhos, seed by seed. Its
interval comes from a bootstrap that draws both test samples and seeds with replacement, the same
for both rows: so it says whether the order would hold on other performances and other seeds. With
one seed it is the paired bootstrap over the test samples.

Source: Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1 (2007): drawing both kinds
of units errs towards wide intervals. Of few seeds the draws know little: they miss a share of
1/number of seeds of the variance between seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from dae_aqa.errors import EvaluationError
from dae_aqa.metrics.accuracy import Draws, FloatArray
from dae_aqa.metrics.paired import PairedDifference, Ranking, Resampler, paired_difference
from dae_aqa.metrics.parts import pooled
from dae_aqa.tables.predictions import COLUMNS

LEVEL = 0.95
NUM_RESAMPLES = 2000
_SEED = 0  # of the resampling, so that the same cells give the same verdict


@dataclass(frozen=True)
class MeanOverSeeds:
    """The mean of rho over seeds, whose predictions stand in columns of one table.

    Attributes:
        predicted: a column for each seed.
        target: the column with the scores.
        seed: of the draws of seeds; two tables get the same ones.
    """

    predicted: tuple[str, ...]
    target: str
    seed: int

    def __call__(self, predictions: pd.DataFrame) -> float:
        """Return the mean rho of a table (N rows)."""
        return float(np.mean([ranking(predictions) for ranking in self._rankings()]))

    def resampler(self, predictions: pd.DataFrame) -> Resampler:
        """Return what takes draws (R, N) to the mean over seeds (R,), drawn anew each time."""
        rng = np.random.default_rng(self.seed)
        resamplers = [ranking.resampler(predictions) for ranking in self._rankings()]

        def resample(draws: Draws) -> FloatArray:
            rhos = np.stack([each(draws) for each in resamplers], axis=1)  # (R, S)
            chosen = rng.integers(rhos.shape[1], size=rhos.shape)
            return np.asarray(np.take_along_axis(rhos, chosen, axis=1).mean(axis=1))

        return resample

    def _rankings(self) -> list[Ranking]:
        return [Ranking(predicted, self.target) for predicted in self.predicted]


def difference_over_seeds(
    first: Mapping[int, pd.DataFrame], second: Mapping[int, pd.DataFrame]
) -> PairedDifference:
    """Return by how much the second row's rho of the final score is above the first's.

    Args:
        first: predictions tables of a row by seed; parts are pooled.
        second: those of the other; the seeds that both have are used.

    Raises:
        EvaluationError: they have no seed in common, or were tested on different samples.
        MetricUndefinedError: rho is undefined, or in too many resamples.
    """
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        raise EvaluationError("the two rows have no seed in common.")
    figure = MeanOverSeeds(tuple(f"mu_{seed}" for seed in seeds), "final_score", _SEED)
    one, other = (
        _side_by_side([tables[seed] for seed in seeds], seeds) for tables in (first, second)
    )
    drawn = paired_difference(
        one, other, figure=figure, level=LEVEL, num_resamples=NUM_RESAMPLES, seed=_SEED
    )
    # the figure itself draws no seeds
    return replace(drawn, difference=figure(other) - figure(one))


def _side_by_side(tables: Sequence[pd.DataFrame], seeds: Sequence[int]) -> pd.DataFrame:
    """Return one table with the predicted final scores of each seed in a column `mu_<seed>`."""
    whole = [pooled(table).sort_values("sample_id", ignore_index=True) for table in tables]
    joined = whole[0][list(COLUMNS)]
    for seed, table in zip(seeds, whole, strict=True):
        if table["sample_id"].tolist() != joined["sample_id"].tolist():
            raise EvaluationError("its seeds were tested on different samples.")
        joined = joined.assign(**{f"mu_{seed}": table["mu"].to_numpy()})
    return joined
