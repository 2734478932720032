"""Sampling dives: what is dived, which faults it has, what it is worth and what the judges say.

The faults follow one latent quality only loosely. Would they follow it tightly, the splash alone
would rank the dives and a network that merely detects splashes would look like a judge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dae_aqa.datasets.simdive.catalogue import DIVE_KINDS, DIVE_PROBABILITIES, DiveKind
from dae_aqa.datasets.simdive.judging import (
    MAX_MARK,
    NUM_JUDGES,
    judge_marks,
    true_sigma_execution,
)
from dae_aqa.datasets.simdive.options import (
    STREAM_DIVE,
    STREAM_JUDGES,
    NoiseLaw,
    SimDiveOptions,
    random_stream,
)
from dae_aqa.scoring import diving

FAULT_PREFIX = "fault_"  # of the columns of the truth table
# Each fault's weight: relative cost of severity 1. All of them can be seen; see `motion`.
FAULT_WEIGHTS: dict[str, float] = {
    "entry": 4.0,  # body off the vertical at the entry (short of or past the rotation)
    "split": 1.8,  # legs apart in flight
    "knee": 1.6,  # knees bent in pike and at the entry
    "hip": 1.2,  # hips still bent at the entry
    "toe": 0.3,  # feet not pointed
    "loose": 1.7,  # open tuck or pike, late opening
    "distance": 0.8,  # too far from or too close to the platform
    "splash": 4.6,  # water thrown up
    "height": 0.4,  # low take-off
    "arms": 0.2,  # arms apart at the entry
}

# true mark = _BEST_MARK - _MARKS_PER_COST * cost ** _COST_EXPONENT, where the cost is the weighted
# sum of severities.
# The exponent makes several faults cost more than their sum, which gives the marks the long lower
# tail of real ones.
_BEST_MARK = 9.8
_MARKS_PER_COST = 0.343
_COST_EXPONENT = 1.35

# Better divers choose harder dives: quality per point of difficulty above the usual one.
_QUALITY_PER_DIFFICULTY = 0.12
_USUAL_DIFFICULTY = 3.12


@dataclass(frozen=True, kw_only=True)
class Dive:
    """One dive: what is shown, what it is truly worth, and what the judges gave.

    Attributes:
        index: number of the dive in the data set, from 0.
        kind: the announced dive.
        quality: latent quality, 0 to 1, on which all faults depend loosely.
        faults: severity of each fault of `FAULT_WEIGHTS`, 0 to 1.
        true_mark: what a judge without error would give, 0 to 10.
        true_sigma_execution: standard deviation of the execution score given `true_mark`.
        judge_scores: seven marks in half points.
        execution_score: sum of the middle three marks, 0 to 30.
    """

    index: int
    kind: DiveKind
    quality: float
    faults: dict[str, float]
    true_mark: float
    true_sigma_execution: float
    judge_scores: tuple[float, ...]
    execution_score: float

    @property
    def true_execution(self) -> float:
        """The execution score of judges without error, 0 to 30."""
        return 3 * self.true_mark

    @property
    def final_score(self) -> float:
        """Degree of difficulty × execution score, rounded to cents as on a score board."""
        return round(self.kind.difficulty * self.execution_score, 2)


def simulate_dives(options: SimDiveOptions) -> list[Dive]:
    """Return all dives of `options`: everything but the pixels."""
    return [
        simulate_dive(index=index, seed=options.seed, noise_law=options.noise_law)
        for index in range(options.num_dives)
    ]


def simulate_dive(*, index: int, seed: int, noise_law: NoiseLaw) -> Dive:
    """Return dive number `index`; it does not depend on any other dive."""
    rng = random_stream(seed=seed, purpose=STREAM_DIVE, index=index)
    kind = DIVE_KINDS[int(rng.choice(len(DIVE_KINDS), p=DIVE_PROBABILITIES))]
    ambition = _QUALITY_PER_DIFFICULTY * (kind.difficulty - _USUAL_DIFFICULTY)
    quality = float(np.clip(1.0 - rng.beta(1.7, 2.6) + ambition, 0.0, 1.0))
    faults = _sample_faults(quality=quality, rng=rng)
    true_mark = mark_from_faults(faults)

    judges_rng = random_stream(seed=seed, purpose=STREAM_JUDGES, index=index)
    marks = judge_marks(
        np.array([true_mark]),
        law=noise_law,
        panel_noise=judges_rng.standard_normal(1),
        judge_noise=judges_rng.standard_normal((1, NUM_JUDGES)),
    )
    return Dive(
        index=index,
        kind=kind,
        quality=quality,
        faults=faults,
        true_mark=true_mark,
        true_sigma_execution=float(true_sigma_execution(np.array([true_mark]), law=noise_law)[0]),
        judge_scores=tuple(float(mark) for mark in marks[0]),
        execution_score=float(diving(marks)[0]),
    )


def mark_from_faults(faults: dict[str, float]) -> float:
    """Return the true mark, 0 to 10, of a dive with these severities (0 to 1)."""
    cost = sum(weight * faults[name] for name, weight in FAULT_WEIGHTS.items())
    return float(np.clip(_BEST_MARK - _MARKS_PER_COST * cost**_COST_EXPONENT, 0.0, MAX_MARK))


def _sample_faults(*, quality: float, rng: np.random.Generator) -> dict[str, float]:
    """Return severities: a small share follows the quality, the larger one is each fault's own."""
    badness = 1.0 - quality
    faults: dict[str, float] = {}
    for name in FAULT_WEIGHTS:
        common = 0.25 * badness * rng.lognormal(-0.1, 0.4)
        own = 0.95 * rng.beta(0.8, 2.4) * (0.45 + 0.65 * badness)
        faults[name] = float(np.clip(common + own, 0.0, 1.0))
    # An oblique entry throws water, but so does a bad grip of the hands.
    splash = 0.25 * faults["entry"] + 0.12 * badness + 0.70 * rng.beta(0.8, 2.8)
    faults["splash"] = float(np.clip(splash, 0.0, 1.0))
    return faults
