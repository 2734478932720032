"""Scoring rules: how a sport turns the marks of its judges into an execution score.

Every rule is a pure function `marks -> execution score` over the last axis. It takes NumPy arrays
and PyTorch tensors alike (this module imports no torch) and is differentiable for tensors, so that
a loss can go through it. `SCORING_RULES` names them all: to add one, write it and its line there.

The final score of a performance is `difficulty * execution`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dae_aqa.errors import ScoringError
from dae_aqa.options import one_of
from dae_aqa.wording import problem_list

Scale = Literal["final", "execution"]  # of a score: with the difficulty, and before it

# Final scores are compared with this slack: some official score sheets round to one decimal.
OFFICIAL_TOLERANCE = 0.05
SYNCHRO_WEIGHT = 0.6  # five counted marks weigh as much as the three of an individual dive


def _middle_sum(marks: Any, *, num_dropped: int) -> Any:
    """Return the sum over the last axis without the `num_dropped` lowest and highest marks."""
    ordered = np.sort(marks, axis=-1) if isinstance(marks, np.ndarray) else marks.sort(-1).values
    return ordered[..., num_dropped : marks.shape[-1] - num_dropped].sum(-1)


def sum_of_elements(marks: Any) -> Any:
    """Return the plain sum of all marks, for sports that rate elements one by one.

    Example: elements 4.0, 3.5, 5.0 give 12.5.
    Source: the sum of six rating elements in JIGSAWS (Gao et al. 2014).
    """
    return marks.sum(-1)


def diving(marks: Any) -> Any:
    """Return the execution of an individual dive, five or seven judges: sum of the middle three.

    Example: 9.0, 8.5, 9.0, 8.0, 9.0, 8.5, 9.0 give 9.0 + 9.0 + 8.5 = 26.5, and 100.70 with DD 3.8;
    8.0, 7.5, 8.5, 8.0, 7.0 give 8.0 + 7.5 + 8.0 = 23.5.
    Source: World Aquatics diving rules, individual events.
    """
    return _middle_sum(marks, num_dropped=(marks.shape[-1] - 3) // 2)


def synchronised_diving_nine(marks: Any) -> Any:
    """Return the execution of a synchronised dive before nine judges.

    Judges 1 to 4 mark execution (two per diver), 5 to 9 synchronisation. The highest and the lowest
    mark of each group is dropped; the five that remain are summed and weighed by 0.6.

    Example: execution 8.0, 7.5 | 8.5, 7.0 keep 8.0, 7.5; synchronisation 8.0, 8.5, 9.0, 8.0, 7.5
    keep 8.0, 8.5, 8.0; 40.0 * 0.6 = 24.0.
    Source: FINA diving rules, synchronised events with nine judges.
    """
    execution = _middle_sum(marks[..., :4], num_dropped=1)
    return SYNCHRO_WEIGHT * (execution + _middle_sum(marks[..., 4:], num_dropped=1))


def synchronised_diving_eleven(marks: Any) -> Any:
    """Return the execution of a synchronised dive before eleven judges.

    Judges 1 to 3 mark the first diver, 4 to 6 the second, 7 to 11 synchronisation. The highest and
    the lowest mark of each group is dropped; the five that remain are summed and weighed by 0.6.

    Example: 8.0, 7.5, 8.5 keep 8.0; 7.0, 7.5, 9.0 keep 7.5; 8.0, 8.5, 9.0, 8.0, 7.5 keep 8.0, 8.5,
    8.0; 40.0 * 0.6 = 24.0.
    Source: World Aquatics diving rules, synchronised events with eleven judges.
    """
    first = _middle_sum(marks[..., :3], num_dropped=1)
    second = _middle_sum(marks[..., 3:6], num_dropped=1)
    return SYNCHRO_WEIGHT * (first + second + _middle_sum(marks[..., 6:], num_dropped=1))


def counted_marks(marks: Any) -> Any:
    """Return the execution of a dive of which the marks that count are known, or all seven.

    Three marks are those of an individual dive that count: their sum. Five are those of a
    synchronised dive: their sum, weighed by 0.6. Seven are all judges of an individual dive.

    Example: 8.0, 7.5, 8.0 give 23.5; 8.0, 7.5, 8.0, 8.5, 8.0 give 40.0 * 0.6 = 24.0.
    Source: World Aquatics diving rules; the marks as FineDiving (Xu et al. 2022) lists them.
    """
    if marks.shape[-1] == 5:
        return SYNCHRO_WEIGHT * marks.sum(-1)
    return diving(marks)  # drops none of three


@dataclass(frozen=True)
class ScoringRule:
    """A rule, and what is known of the marks that it takes.

    Attributes:
        execution: takes marks (..., J) and returns execution scores (...).
        num_judges: the numbers of marks that it takes; empty: any number from one up.
        marks: (least, greatest, step) of a mark; None where the rule leaves that open.
        no_panel: why its marks do not show how alike judges rank; '' where each mark is one judge's
            of the whole performance.
    """

    execution: Callable[[Any], Any]
    num_judges: tuple[int, ...]
    marks: tuple[float, float, float] | None = None
    no_panel: str = ""


_DIVING_MARKS = (0.0, 10.0, 0.5)  # Source: World Aquatics diving rules
_TWO_THINGS = "some judges mark execution and others synchronisation"
SCORING_RULES: dict[str, ScoringRule] = {
    "diving": ScoringRule(execution=diving, num_judges=(5, 7), marks=_DIVING_MARKS),
    "synchronised_diving_9": ScoringRule(
        execution=synchronised_diving_nine,
        num_judges=(9,),
        marks=_DIVING_MARKS,
        no_panel=_TWO_THINGS,
    ),
    "synchronised_diving_11": ScoringRule(
        execution=synchronised_diving_eleven,
        num_judges=(11,),
        marks=_DIVING_MARKS,
        no_panel=_TWO_THINGS,
    ),
    "counted_marks": ScoringRule(
        execution=counted_marks,
        num_judges=(3, 5, 7),
        marks=_DIVING_MARKS,
        no_panel="the marks are those that count, without the judges who differed most",
    ),
    "sum_of_elements": ScoringRule(
        execution=sum_of_elements,
        num_judges=(),
        no_panel="the marks rate different elements, they are not several judges' of the same",
    ),
}
RuleName = Annotated[str, one_of(SCORING_RULES)]


def scoring_rule(name: str, *, num_judges: int) -> ScoringRule:
    """Return the rule `name` after checking that it takes `num_judges` marks.

    Raises:
        ScoringError: there is no such rule, or it does not take `num_judges` marks.
    """
    rule = SCORING_RULES.get(name)
    if rule is None:
        raise ScoringError(
            f"unknown scoring rule {name!r}; allowed: {', '.join(SCORING_RULES)}. "
            "Set the dataset's scoring_rule to one of them."
        )
    if num_judges < 1 or (rule.num_judges and num_judges not in rule.num_judges):
        raise ScoringError(
            f"scoring rule {name!r} takes {_one_of(rule.num_judges)} marks, got {num_judges}."
        )
    return rule


def judge_matrix(
    judge_scores: Sequence[Sequence[float]], *, rule: str, sample_ids: Sequence[str]
) -> NDArray[np.float64]:
    """Return the marks of all samples as one array, after checking each sample against the rule.

    Args:
        judge_scores: per sample its marks in judge order, in points of a mark.
        rule: name of the scoring rule.
        sample_ids: names for messages, one per sample.

    Returns:
        Array (N, J), float64. J is the same for all samples.

    Raises:
        ScoringError: a sample has a wrong number of marks or a mark that is not finite, or the
            samples differ in their number of marks. All such samples are named (the first 20).
    """
    if len(judge_scores) != len(sample_ids):
        raise ScoringError(
            f"got marks of {len(judge_scores)} samples but {len(sample_ids)} sample_ids."
        )
    problems = []
    expected = _expected_count(judge_scores, rule=rule)
    for sample_id, marks in zip(sample_ids, judge_scores, strict=True):
        if len(marks) != expected:
            problems.append(f"sample {sample_id!r}: {len(marks)} marks, expected {expected}")
        elif not np.isfinite(np.asarray(marks, dtype=np.float64)).all():
            problems.append(f"sample {sample_id!r}: a mark is not finite: {list(marks)}")
    if problems:
        raise ScoringError(
            f"scoring rule {rule!r} does not fit the marks; correct their judge_scores, or choose "
            f"another scoring rule. {problem_list(problems, limit=20)}"
        )
    return np.array([list(marks) for marks in judge_scores], dtype=np.float64)


def execution_score(
    judge_scores: ArrayLike, *, rule: str, sample_ids: Sequence[str] | None = None
) -> NDArray[np.float64]:
    """Return the execution score that `rule` gives for each row of marks.

    Args:
        judge_scores: marks in judge order, (..., J), in points of a mark.
        rule: name of the scoring rule.
        sample_ids: names of the rows for messages; row numbers where None.

    Returns:
        Execution scores (...), float64, in score points before difficulty.

    Raises:
        ScoringError: J does not fit the rule, or a mark is not finite; the first such row is named.
    """
    marks = np.asarray(judge_scores, dtype=np.float64)
    if marks.ndim == 0:
        raise ScoringError("judge_scores needs at least one axis, the judges; got a scalar.")
    first_id = "0" if sample_ids is None or len(sample_ids) == 0 else sample_ids[0]
    try:
        scoring = scoring_rule(rule, num_judges=marks.shape[-1])
    except ScoringError as error:
        raise ScoringError(f"sample {first_id!r}: {error}") from error
    finite = np.atleast_1d(np.isfinite(marks).all(axis=-1)).ravel()
    if not finite.all():
        row = int(np.argmin(finite))
        name = str(row) if sample_ids is None else sample_ids[row]
        raise ScoringError(f"sample {name!r}: a mark is not a finite number.")
    return np.asarray(scoring.execution(marks), dtype=np.float64)


def final_score(*, execution: Any, difficulty: Any) -> Any:
    """Return `difficulty * execution`, in score points; arrays and tensors alike.

    Example: execution 26.5 with DD 3.8 gives 100.7.
    Source: World Aquatics diving rules; the final score of MTL-AQA.
    """
    return difficulty * execution


def disagrees_with_rule(
    *, official: ArrayLike, judge_scores: ArrayLike, difficulty: ArrayLike, rule: str
) -> NDArray[np.bool_]:
    """Return which official final scores are not what the rule gives, beyond `OFFICIAL_TOLERANCE`.

    Args:
        official: official final scores (N,).
        judge_scores: marks (N, J).
        difficulty: degrees of difficulty (N,).
        rule: name of the scoring rule.
    """
    execution = execution_score(judge_scores, rule=rule)
    expected = final_score(execution=execution, difficulty=np.asarray(difficulty, dtype=np.float64))
    difference = np.abs(np.asarray(official, dtype=np.float64) - expected)
    return np.asarray(difference > OFFICIAL_TOLERANCE + 1e-6)


def _expected_count(judge_scores: Sequence[Sequence[float]], *, rule: str) -> int:
    """Return the number of marks that most samples have, among those that the rule takes."""
    counts = [len(marks) for marks in judge_scores]
    if rule not in SCORING_RULES or not counts:
        scoring_rule(rule, num_judges=0)  # raises, saying which of the two it is
    allowed = SCORING_RULES[rule].num_judges
    fitting = [count for count in counts if (count in allowed if allowed else count > 0)]
    return (
        max(sorted(set(fitting), reverse=True), key=fitting.count)
        if fitting
        else max(allowed, default=1)
    )


def _one_of(counts: Sequence[int]) -> str:
    return " or ".join(str(count) for count in counts) or "one or more"
