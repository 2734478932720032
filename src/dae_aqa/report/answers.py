"""The three answers at the head of the page: how good, how sure, where wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from dae_aqa.metrics.calibration import coverage_noise_interval
from dae_aqa.metrics.sample_size import MIN_COVERED, MIN_GROUPED, MIN_RANKED
from dae_aqa.report.figure import signed
from dae_aqa.report.inputs import LEVEL, ReportInputs
from dae_aqa.report.references import RHO_KEYS
from dae_aqa.report.slices import Slice, find_slices

Verdict = Literal["good", "mixed", "poor", "unknown"]

_CLEAR_TAU = 0.6  # Source: RICA2 reports +0.60 on MTL-AQA, the best calibration published there
_NARROW_CHANCE = 0.1  # coverage_90 of 140 samples or more is known to ± 5 % or better
_CLEAR_EXCESS = 2.6  # standard errors: two-sided p = 0.01, since several groups are looked at
_SURE = "How sure is it, and rightly so?"
_THAN = {"good": "clearly better", "mixed": "not clearly better", "poor": "no better"}
_BESIDE_BASELINES: dict[Verdict, str] = {  # from the best to the worst
    "good": "beats every simple baseline",
    "mixed": "not clearly above a baseline",
    "poor": "beaten by a simple baseline",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer.

    Attributes:
        question: as the reader would put it.
        verdict: what colours the card; `label` says it in words.
        label: the verdict in a word or two.
        figure: the one number to remember.
        figure_caption: what the number is.
        sentence: the answer.
    """

    question: str
    verdict: Verdict
    label: str
    figure: str
    figure_caption: str
    sentence: str


def answer_all(inputs: ReportInputs, samples: pd.DataFrame) -> list[Answer]:
    """Return the three answers, computed from the metrics and the samples."""
    few = len(samples) < MIN_COVERED
    sure = _how_sure_of_few(samples) if few else _how_sure(inputs, samples)
    return [_how_good(inputs, samples), sure, _where_wrong(samples)]


def _how_good(inputs: ReportInputs, samples: pd.DataFrame) -> Answer:
    question = "How good is the model?"
    rho = inputs.number("spearman")
    miss = f"It misses the judged score by {_points(samples['abs_error'].mean())} on average"
    if rho is None:
        return Answer(
            question=question,
            verdict="unknown",
            label="too few to rank" if len(samples) < MIN_RANKED else "no ranking",
            figure="–",
            figure_caption="rank correlation ρ",
            sentence=f"There is no ranking: {inputs.metrics['spearman_reason']}. {miss}.",
        )
    verdict, label, comparison = _against_baselines(inputs)
    interval = inputs.interval("spearman")
    chance = "" if interval is None else ", 95 % interval {:.2f} to {:.2f}".format(*interval)
    if interval is not None and interval[0] <= 0:
        chance += ", so that its order could be chance"
        if verdict != "poor":
            verdict, label = "mixed", "could be chance"
    mean = inputs.mean_over_tasks
    over = ""
    if mean is not None and inputs.part_metrics is not None:
        num_tasks = len(inputs.part_metrics.tasks)
        over = f"Its mean ρ over {num_tasks} tasks is {mean:.3f}. Of all tasks together, "
    span = f"{samples['final_score'].min():.0f} to {samples['final_score'].max():.0f}"
    seen = "it never saw" if inputs.protocol == "honest" else "chose its epoch"
    return Answer(
        question=question,
        verdict=verdict,
        label=label,
        figure=f"{rho if mean is None else mean:.2f}",
        figure_caption=f"{'' if mean is None else 'mean over tasks of the '}rank correlation ρ "
        "with the judges (1: same order)",
        sentence=f"{over}{'it' if over else 'It'} ranks {len(samples)} performances that {seen} "
        f"at ρ = {rho:.3f}{chance}: {comparison}. {miss}, on scores from {span}.",
    )


def _against_baselines(inputs: ReportInputs) -> tuple[Verdict, str, str]:
    """Return how the model compares with the best simple baseline, on its worse scale."""
    states: list[Verdict] = []
    clauses = []
    for scale, key in RHO_KEYS.items():
        rho, interval = inputs.number(key), inputs.interval(key)
        rivals = [
            item for item in inputs.references if item.kind == "to beat" and item.scale == scale
        ]
        if rho is None or not rivals:
            continue
        rival = max(rivals, key=lambda item: item.rho)
        state: Verdict = "good" if interval and interval[0] > rival.rho else "mixed"
        states.append("poor" if rho <= rival.rho else state)
        against = f"{_THAN[states[-1]]} than {rival.label.lower()} ({rival.rho:.2f})"
        clauses.append(against if scale == "final" else f"on execution {rho:.2f}, {against}")
    if not states:
        return "unknown", "nothing to compare with", "this dataset has no baseline"
    verdict = max(states, key=list(_BESIDE_BASELINES).index)
    limits = [item.rho for item in inputs.references if item.kind == "limit"]
    limit = f"; knowing the true quality would give {max(limits):.2f}" if limits else ""
    judges = [item for item in inputs.references if item.kind == "judges"]
    judge = f"; {judges[0].label.lower()} ranks at {judges[0].rho:.2f}" if judges else ""
    return verdict, _BESIDE_BASELINES[verdict], "; ".join(clauses) + limit + judge


def _how_sure(inputs: ReportInputs, samples: pd.DataFrame) -> Answer:
    covered = inputs.number("coverage_90")
    assert covered is not None  # there are samples enough
    num = len(samples)
    low, high = coverage_noise_interval(level=LEVEL, num_samples=num)
    honest = low <= covered <= high
    wrong = "overconfident" if covered < low else "too cautious"
    knows, knowledge = _doubt(inputs.number("rejection_tau"), num_samples=num)
    labels = {
        (True, True): "honest and telling",
        (True, False): "honest" if num < MIN_GROUPED else "honest, but not telling",
        (False, True): f"telling, but {wrong}",
        (False, False): wrong,
    }
    return Answer(
        question=_SURE,
        verdict="good" if honest and knows else "mixed" if honest or knows else "poor",
        label=labels[honest, knows],
        figure=_percent(covered, 0),
        figure_caption="of the judged scores lie within its 90 % intervals",
        sentence=f"Its 90 % intervals (± {_points(samples['half_width'].mean())} on average) hold "
        f"{_percent(covered)} of the judged scores, {_promise(covered, low, high)}. "
        f"{knowledge}{_against_constant(inputs)}.",
    )


def _promise(covered: float, low: float, high: float) -> str:
    """Return how the coverage compares with what chance allows an honest model."""
    if covered < low:
        return f"fewer than the {_percent(low, 0)} that chance allows: it is overconfident"
    if covered > high:
        return f"more than the {_percent(high, 0)} that chance allows: it is too cautious"
    if high - low <= _NARROW_CHANCE:
        return "which is what chance allows, so its intervals can be taken at their word"
    return (
        f"where chance allows {_percent(low, 0)} to {_percent(high, 0)}: "
        "as right as so few samples can show"
    )


def _how_sure_of_few(samples: pd.DataFrame) -> Answer:
    """Return all that so few samples can show: whether the intervals are too narrow."""
    num = len(samples)
    held = int((~samples["outside"]).sum())
    fewest = round(num * coverage_noise_interval(level=LEVEL, num_samples=num)[0])
    narrow = held < fewest
    conclusion = "it is overconfident" if narrow else "so few cannot tell whether it is right"
    width = _points(samples["half_width"].mean())
    return Answer(
        question=_SURE,
        verdict="poor" if narrow else "unknown",
        label="overconfident" if narrow else "too few to tell",
        figure=f"{held} of {num}",
        figure_caption="judged scores lie within its 90 % intervals",
        sentence=f"Its 90 % intervals (± {width} on average) hold {held} of {num} judged scores. "
        f"Of an honest model they would hold {fewest} to {num}: {conclusion}.",
    )


def _doubt(tau: float | None, *, num_samples: int) -> tuple[bool, str]:
    if num_samples < MIN_GROUPED:
        return False, "Whether it errs more where it doubts more, so few samples cannot tell"
    if tau is None:
        return (
            False,
            "Its doubt does not differ enough between samples to be compared with its errors",
        )
    if tau >= _CLEAR_TAU:
        return True, f"It errs more where it doubts more (τ = {signed(tau, 2)})"
    if tau > 0:
        return False, f"Its doubt hints only weakly at its errors (τ = {signed(tau, 2)})"
    return False, f"It is no less wrong where it feels sure (τ = {signed(tau, 2)})"


def _against_constant(inputs: ReportInputs) -> str:
    nll, constant = inputs.number("nll"), inputs.number("nll_constant_sigma")
    if nll is None or constant is None:
        return ""
    than = "better" if nll < constant else "no better"
    return f", and its σ fits {than} than one σ for all (NLL {nll:.2f} against {constant:.2f})"


def _where_wrong(samples: pd.DataFrame) -> Answer:
    few = len(samples) < MIN_GROUPED
    groups = [] if few else find_slices(samples)
    group = max(groups, key=lambda item: item.excess, default=None)
    pull = _pull_to_the_middle(groups, mae=samples["abs_error"].mean())
    verdict: Verdict = "good"
    if few:
        verdict, label = "unknown", "too few to compare"
        where = f"Groups of {len(samples)} samples are too small to be compared"
    elif group is not None and group.excess >= _CLEAR_EXCESS:
        verdict, label = "mixed", "one group stands out"
        where = _standing_out(group, mae=samples["abs_error"].mean())
    else:
        label = "drawn to the middle" if pull else "evenly spread"
        where = "No group of performances stands out: the errors are spread over all of them"
    worst = samples.iloc[int(samples["abs_error"].argmax())]
    return Answer(
        question="Where is it wrong?",
        verdict=verdict,
        label=label,
        figure=signed(worst["error"], 1),
        figure_caption="points, the largest single error",
        sentence=f"{where}. {pull}The largest single miss is {worst['sample_id']}: judged "
        f"{worst['final_score']:.1f}, predicted {worst['mu']:.1f}.",
    )


def _standing_out(group: Slice, *, mae: float) -> str:
    return (
        f"Most with {_describe(group)}: there it misses by {_points(group.mae)}, "
        f"{group.mae / mae:.1f} times its mean of {mae:.1f}, and {_tendency(group)}"
    )


def _pull_to_the_middle(groups: Sequence[Slice], *, mae: float) -> str:
    """Return how the extremes of the score are drawn to the middle; '' where they are not."""
    by_score = [group for group in groups if group.by == "score"]
    if len(by_score) < 2:
        return ""
    overrated, underrated = by_score[0].bias, -by_score[-1].bias
    if min(overrated, underrated) < 0.25 * mae:
        return ""
    return (
        f"The lowest scores are overrated by {_points(overrated)}, the highest underrated by "
        f"{_points(underrated)}, as cautious forecasts do. "
    )


def _describe(group: Slice) -> str:
    if group.by == "action class":
        return f"action {group.label} ({group.num} samples)"
    noun = {"score": "judged scores", "difficulty": "difficulties"}[group.by]
    return f"{noun} of {group.label} ({group.num} samples)"


def _tendency(group: Slice) -> str:
    if abs(group.bias) < 0.25 * group.mae:
        return "errs to both sides"
    return f"{'overrates' if group.bias > 0 else 'underrates'} by {_points(abs(group.bias))}"


def _percent(share: float, decimals: int = 1) -> str:
    return f"{100 * share:.{decimals}f} %"


def _points(value: float) -> str:
    return f"{value:.1f} points"
