"""The human ceiling: how well the judges rank as each other do.

A model that ranks as the judges do cannot be told from a judge, so these figures show how much room
is left above it. They are rank correlations of final scores, as the model's own: `spearman`.

A panel's score is the mean of its middle marks, times the difficulty. That is the rule of diving
(the highest and the lowest marks are dropped until three remain), carried on to any number of
judges: three of an odd number remain, two of an even one. The mean of all marks gives nearly the
same: 0.973 and 0.986 on the test samples of MTL-AQA, where the middle marks give 0.972 and 0.984.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from dae_aqa.errors import EvaluationError
from dae_aqa.metrics.accuracy import (
    FloatArray,
    MetricUndefinedError,
    bootstrap_draws,
    check_level,
    percentile_interval,
    require,
    resampled_rhos,
)
from dae_aqa.metrics.sample_size import MIN_RANKED, too_few
from dae_aqa.metrics.summary import Metrics
from dae_aqa.scoring import SCORING_RULES
from dae_aqa.tables.annotations import parse_judge_scores

CEILING_PREFIX = "ceiling_"
_MIN_JUDGES = 3  # of two, each is all the others
_MAX_SPLITS = 126  # all of nine judges; of more, as many are drawn, or they take minutes
_LEVEL = 0.95  # as of `spearman_ci95`
_Split = tuple[list[int], list[int]]  # the judges on either side


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well two sides of a panel rank alike.

    Attributes:
        rho: mean rank correlation over the ways to divide the panel.
        low: lower end of its percentile bootstrap interval over the samples.
        high: upper end.
    """

    rho: float
    low: float
    high: float


def one_judge_vs_others(
    marks: npt.ArrayLike,
    difficulty: npt.ArrayLike,
    *,
    level: float,
    num_resamples: int,
    seed: int,
) -> Agreement:
    """Return how well one judge ranks as the others together do, the mean over the judges.

    Example: on the 353 test dives of MTL-AQA, before seven judges, 0.972.

    Args:
        marks: in judge order (N, J), J of three or more, in points of a mark.
        difficulty: degrees of difficulty (N,); 1.0 where the sport has none.
        level: share of the bootstrap distribution inside the interval, in (0, 1).
        num_resamples: resamples of the samples.
        seed: seed of the resampling.

    Raises:
        EvaluationError: shapes do not fit or a number is not finite.
        MetricUndefinedError: there are fewer than three judges, or a judge ranks nothing.
    """
    marks, difficulty = _checked(marks, difficulty)
    everyone = range(marks.shape[1])
    splits = [([judge], [other for other in everyone if other != judge]) for judge in everyone]
    return _agreement(
        marks, difficulty, splits, level=level, num_resamples=num_resamples, seed=seed
    )


def half_panel_vs_rest(
    marks: npt.ArrayLike,
    difficulty: npt.ArrayLike,
    *,
    level: float,
    num_resamples: int,
    seed: int,
) -> Agreement:
    """Return how well half of the judges rank as the others do, the mean over all splits.

    The smaller half has floor(J / 2) judges: of seven, three against four, 35 splits. Of more than
    nine judges, 126 splits are drawn.

    Example: on the 353 test dives of MTL-AQA 0.984.

    Args:
        marks: as in `one_judge_vs_others`, like the rest.
        difficulty: likewise.
        level: likewise.
        num_resamples: likewise.
        seed: of the resampling, and of the splits where they are drawn.

    Raises:
        EvaluationError: as in `one_judge_vs_others`.
        MetricUndefinedError: likewise.
    """
    marks, difficulty = _checked(marks, difficulty)
    splits = list(_halves(marks.shape[1], seed=seed))
    return _agreement(
        marks, difficulty, splits, level=level, num_resamples=num_resamples, seed=seed
    )


def panel_score(marks: FloatArray) -> FloatArray:
    """Return the mean of the middle marks (..., J) -> (...): three of an odd J, two of an even one.

    Example: 7.0, 8.0, 8.5, 6.0 give (7.0 + 8.0) / 2 = 7.5; 9.0, 8.0, 8.5 give 8.5; 8.0 gives 8.0.
    Source: World Aquatics diving rules, individual events, for five and seven judges.
    """
    num_judges = marks.shape[-1]
    num_dropped = max(0, (num_judges - 2) // 2 if num_judges % 2 == 0 else (num_judges - 3) // 2)
    middle = np.sort(marks, axis=-1)[..., num_dropped : num_judges - num_dropped]
    return np.asarray(middle.mean(axis=-1))


def panel_marks(annotations: pd.DataFrame, *, rule: str | None) -> tuple[FloatArray, FloatArray]:
    """Return the marks (N, J) and difficulties (N,) of the samples that a panel judged.

    Samples with another number of marks than most, or with none, are left out.

    Args:
        annotations: rows of the annotations table.
        rule: name of the dataset's scoring rule; None where there are no marks.

    Raises:
        MetricUndefinedError: there are no marks, too few judges or too few samples, or each mark is
            not one judge's of the whole performance.
    """
    marks = [parse_judge_scores(text) for text in annotations["judge_scores"]]
    counts = Counter(len(each) for each in marks if each)
    if rule is None or not counts:
        raise MetricUndefinedError("the samples have no marks of judges")
    why = SCORING_RULES[rule].no_panel
    require(not why, why)
    num_judges = max(counts, key=lambda num: (counts[num], num))
    require(
        num_judges >= _MIN_JUDGES,
        f"at least {_MIN_JUDGES} judges are needed, the samples have {num_judges}",
    )
    is_judged = np.array([len(each) == num_judges for each in marks])
    reason = too_few(int(is_judged.sum()), MIN_RANKED, "a rank correlation")
    require(not reason, reason)
    kept = np.array([each for each in marks if len(each) == num_judges], dtype=np.float64)
    return kept, annotations["difficulty"].to_numpy(np.float64)[is_judged]


def ceiling_metrics(
    annotations: pd.DataFrame, *, rule: str | None, num_resamples: int, seed: int
) -> Metrics:
    """Return the human ceiling of the samples, under its keys in `metrics.json`.

    Where there is none, the figures are None and `<key>_reason` says why.

    Args:
        annotations: rows of the annotations table, those of the test samples.
        rule: name of the dataset's scoring rule; None where there are no marks.
        num_resamples: resamples behind each interval.
        seed: seed of the resampling.
    """
    figures: dict[str, Callable[..., Agreement]] = {
        "one_judge": one_judge_vs_others,
        "half_panel": half_panel_vs_rest,
    }
    metrics: Metrics = {}
    try:
        marks, difficulty = panel_marks(annotations, rule=rule)
    except MetricUndefinedError as undefined:
        for name in figures:
            metrics |= _undefined(name, undefined)
        return metrics
    metrics |= {
        f"{CEILING_PREFIX}num_judges": marks.shape[1],
        f"{CEILING_PREFIX}num_samples": len(marks),
    }
    for name, figure in figures.items():
        try:
            found = figure(marks, difficulty, level=_LEVEL, num_resamples=num_resamples, seed=seed)
        except MetricUndefinedError as undefined:
            metrics |= _undefined(name, undefined)
            continue
        key = f"{CEILING_PREFIX}{name}"
        metrics |= {key: found.rho, f"{key}_low": found.low, f"{key}_high": found.high}
    return metrics


def ceilings_of(metrics: Mapping[str, object]) -> dict[str, Agreement]:
    """Return the defined ceilings among `metrics`, by words for what they compare."""
    num_judges = metrics.get(f"{CEILING_PREFIX}num_judges")
    if not isinstance(num_judges, int):
        return {}
    half = num_judges // 2
    words = {
        "one_judge": f"One judge against the other {num_judges - 1}",
        "half_panel": f"{half} judges against the other {num_judges - half}",
    }
    found = {}
    for name, label in words.items():
        key = f"{CEILING_PREFIX}{name}"
        rho, low, high = (metrics.get(each) for each in (key, f"{key}_low", f"{key}_high"))
        if isinstance(rho, float) and isinstance(low, float) and isinstance(high, float):
            found[label] = Agreement(rho=rho, low=low, high=high)
    return found


def _undefined(name: str, reason: MetricUndefinedError) -> Metrics:
    key = f"{CEILING_PREFIX}{name}"
    return {key: None, f"{key}_low": None, f"{key}_high": None, f"{key}_reason": str(reason)}


def _checked(marks: npt.ArrayLike, difficulty: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return both as float64, (N, J) and (N,), in an order that does not depend on the rows'."""
    marks = np.asarray(marks, dtype=np.float64)
    difficulty = np.asarray(difficulty, dtype=np.float64)
    if marks.ndim != 2 or difficulty.shape != marks.shape[:1]:
        raise EvaluationError(
            "marks must be (N, J) and difficulty (N,), got shapes "
            f"{marks.shape} and {difficulty.shape}."
        )
    if not (np.isfinite(marks).all() and np.isfinite(difficulty).all()):
        raise EvaluationError("every mark and every difficulty must be a finite number.")
    num_samples, num_judges = marks.shape
    require(
        num_judges >= _MIN_JUDGES, f"at least {_MIN_JUDGES} judges are needed, got {num_judges}"
    )
    require(num_samples >= 2, f"a rank correlation needs at least 2 samples, got {num_samples}")
    order = np.lexsort((difficulty, *marks.T))
    return marks[order], difficulty[order]


def _halves(num_judges: int, *, seed: int) -> Iterator[_Split]:
    """Yield the splits into floor(J / 2) judges and the others."""
    size = num_judges // 2
    if math.comb(num_judges, size) <= _MAX_SPLITS:
        chosen: Iterator[Sequence[int]] = combinations(range(num_judges), size)
    else:
        rng = np.random.default_rng(seed)
        chosen = (rng.permutation(num_judges)[:size].tolist() for _ in range(_MAX_SPLITS))
    for half in chosen:
        yield list(half), [judge for judge in range(num_judges) if judge not in half]


def _agreement(
    marks: FloatArray,
    difficulty: FloatArray,
    splits: Sequence[_Split],
    *,
    level: float,
    num_resamples: int,
    seed: int,
) -> Agreement:
    """Return the mean rho over the splits, and its interval: all splits see the same resamples."""
    check_level(level)
    num_samples = len(marks)
    sides = [
        tuple(panel_score(marks[:, judges]) * difficulty for judges in split) for split in splits
    ]

    def mean_rhos(draws: npt.NDArray[np.int64]) -> FloatArray:
        rhos = [resampled_rhos(one, other, draws) for one, other in sides]
        return np.asarray(np.mean(rhos, axis=0))

    rho = float(mean_rhos(np.arange(num_samples)[None])[0])
    require(math.isfinite(rho), "a judge or half of the panel gives all samples the same score")
    resampled = [
        mean_rhos(draws)
        for draws in bootstrap_draws(num_samples, num_resamples=num_resamples, seed=seed)
    ]
    low, high = percentile_interval(
        np.concatenate(resampled), level=level, num_samples=num_samples, undefined="constant"
    )
    return Agreement(rho=rho, low=low, high=high)
