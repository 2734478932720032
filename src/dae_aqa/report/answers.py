"""The three answers at the head of the page: how good, how sure, where wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from dae_aqa.metrics.calibration import coverage_noise_interval, interval_half_width
from dae_aqa.metrics.sample_size import MIN_COVERED, MIN_GROUPED, MIN_RANKED
from dae_aqa.report.figure import signed
from dae_aqa.report.inputs import ReportInputs
from dae_aqa.report.references import references_of
from dae_aqa.report.slices import Slice, find_slices

Verdict = Literal["good", "mixed", "poor", "unknown"]

_CLEAR_TAU = 0.6  # Source: RICA2 reports +0.60 on MTL-AQA, the best calibration published there
_NARROW_CHANCE = 0.1  # coverage_90 of 140 samples or more is known to ± 5 % or better
_CLEAR_EXCESS = 2.6  # standard errors: two-sided p = 0.01, since several groups are looked at


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
    return [
        _how_good(inputs, samples),
        _how_sure(inputs, samples),
        _where_wrong(samples),
    ]


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
            sentence=f"There is no ranking: {inputs.metrics.get('spearman_reason')}. {miss}.",
        )
    verdict, label, comparison = _against_baselines(inputs)
    low, high = inputs.number("spearman_ci95_low"), inputs.number("spearman_ci95_high")
    interval = "" if low is None or high is None else f", 95 % interval {low:.2f} to {high:.2f}"
    if low is not None and low <= 0:
        if verdict != "poor":
            verdict, label = "mixed", "could be chance"
        interval += ", so that its order could be chance"
    span = f"{samples['final_score'].min():.0f} to {samples['final_score'].max():.0f}"
    return Answer(
        question=question,
        verdict=verdict,
        label=label,
        figure=f"{rho:.2f}",
        figure_caption="rank correlation ρ with the judges (1: same order)",
        sentence=f"It ranks {len(samples)} performances that it never saw at ρ = {rho:.3f}"
        f"{interval}: {comparison}. {miss}, on scores from {span}.",
    )


def _against_baselines(inputs: ReportInputs) -> tuple[Verdict, str, str]:
    """Return how the model stands to the hardest simple baseline of each scale: the worst case."""
    order: list[Verdict] = ["good", "mixed", "poor"]
    labels = {
        "good": "beats every simple baseline",
        "mixed": "not clearly above a baseline",
        "poor": "beaten by a simple baseline",
    }
    verdict: Verdict = "good"
    clauses = []
    for scale, key in (("final", "spearman"), ("execution", "spearman_execution")):
        rho, low = inputs.number(key), inputs.number(f"{key}_ci95_low")
        rivals = [
            item for item in references_of(inputs) if item.kind == "to beat" and item.scale == scale
        ]
        if rho is None or not rivals:
            continue
        rival = max(rivals, key=lambda item: item.rho)
        state: Verdict = "good" if low is not None and low > rival.rho else "mixed"
        state = "poor" if rho <= rival.rho else state
        than = {"good": "clearly better", "mixed": "not clearly better", "poor": "no better"}[state]
        against = f"{than} than {rival.label.lower()} ({rival.rho:.2f})"
        clauses.append(against if scale == "final" else f"on execution {rho:.2f}, {against}")
        verdict = max(verdict, state, key=order.index)
    if not clauses:
        return "unknown", "nothing to compare with", "this dataset has no baseline"
    ceiling = inputs.number("baseline_ceiling")
    limit = "" if ceiling is None else f"; knowing the true quality would give {ceiling:.2f}"
    return verdict, labels[verdict], "; ".join(clauses) + limit


def _how_sure(inputs: ReportInputs, samples: pd.DataFrame) -> Answer:
    question = "How sure is it, and rightly so?"
    covered = inputs.number("coverage_90")
    if inputs.has_sigma and len(samples) < MIN_COVERED:
        return _how_sure_of_few(samples, question=question)
    if covered is None:
        return Answer(
            question=question,
            verdict="unknown",
            label="does not say",
            figure="–",
            figure_caption="coverage of its 90 % intervals",
            sentence="This model predicts a point and says nothing of its doubt; train `dae` or "
            "`dae_mt` for a forecast with σ.",
        )
    low, high = coverage_noise_interval(level=0.9, num_samples=len(samples))
    half = interval_half_width(level=0.9) * samples["sigma"].mean()
    honest = low <= covered <= high
    if honest and high - low <= _NARROW_CHANCE:
        promise = "which is what chance allows, so its intervals can be taken at their word"
    elif honest:
        promise = (
            f"where chance allows {_percent(low, 0)} to {_percent(high, 0)}: "
            "as right as so few samples can show"
        )
    elif covered < low:
        promise = f"fewer than the {_percent(low, 0)} that chance allows: it is overconfident"
    else:
        promise = f"more than the {_percent(high, 0)} that chance allows: it is too cautious"
    knows, knowledge = _doubt(inputs.number("rejection_tau"), num_samples=len(samples))
    verdict: Verdict = "good" if honest and knows else "mixed" if honest or knows else "poor"
    labels = {
        (True, True): "honest and telling",
        (True, False): "honest" if len(samples) < MIN_GROUPED else "honest, but not telling",
        (False, True): "telling, but " + ("overconfident" if covered < low else "too cautious"),
        (False, False): "overconfident" if covered < low else "too cautious",
    }
    return Answer(
        question=question,
        verdict=verdict,
        label=labels[honest, knows],
        figure=_percent(covered, 0),
        figure_caption="of the judged scores lie within its 90 % intervals",
        sentence=f"Its 90 % intervals (± {_points(half)} on average) hold {_percent(covered)} of "
        f"the judged scores, {promise}. {knowledge}{_against_constant(inputs)}.",
    )


def _how_sure_of_few(samples: pd.DataFrame, *, question: str) -> Answer:
    """Return what the intervals of so few samples can show: at most that they are too narrow."""
    num = len(samples)
    half = interval_half_width(level=0.9) * samples["sigma"]
    held = int((samples["abs_error"] <= half).sum())
    fewest = round(num * coverage_noise_interval(level=0.9, num_samples=num)[0])
    narrow = held < fewest
    conclusion = "it is overconfident" if narrow else "so few cannot tell whether it is right"
    return Answer(
        question=question,
        verdict="poor" if narrow else "unknown",
        label="overconfident" if narrow else "too few to tell",
        figure=f"{held} of {num}",
        figure_caption="judged scores lie within its 90 % intervals",
        sentence=f"Its 90 % intervals (± {_points(half.mean())} on average) hold {held} of {num} "
        f"judged scores. Of an honest model they would hold {fewest} to {num}: {conclusion}.",
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
    worst = samples.iloc[int(samples["abs_error"].argmax())]
    overall = samples["abs_error"].mean()
    few = len(samples) < MIN_GROUPED
    single = (
        f"The largest single miss is {worst['sample_id']}: judged {worst['final_score']:.1f}, "
        f"predicted {worst['mu']:.1f}"
    )
    groups = [] if few else find_slices(samples)
    group = max(groups, key=lambda item: item.excess, default=None)
    stands_out = group is not None and group.excess >= _CLEAR_EXCESS
    if few:
        where = f"Groups of {len(samples)} samples are too small to be compared"
    elif group is None or not stands_out:
        where = "No group of performances stands out: the errors are spread over all of them"
    else:
        where = (
            f"Most with {_describe(group)}: there it misses by {_points(group.mae)}, "
            f"{group.mae / overall:.1f} times its mean of {overall:.1f}, and {_tendency(group)}"
        )
    pull = "" if few else _pull_to_the_middle(samples)
    label = "one group stands out" if stands_out else "evenly spread"
    label = "too few to compare" if few else label
    if pull and not stands_out:
        label = "drawn to the middle"
    return Answer(
        question="Where is it wrong?",
        verdict="unknown" if few else "mixed" if stands_out else "good",
        label=label,
        figure=signed(worst["error"], 1),
        figure_caption="points, the largest single error",
        sentence=f"{where}. {pull}{single}.",
    )


def _pull_to_the_middle(samples: pd.DataFrame) -> str:
    """Return what happens to the extremes of the judged score, where it is plain."""
    groups = [group for group in find_slices(samples) if group.by == "score"]
    if (
        len(groups) < 2
        or min(groups[0].bias, -groups[-1].bias) < 0.25 * samples["abs_error"].mean()
    ):
        return ""
    return (
        f"The lowest scores are overrated by {_points(groups[0].bias)}, the highest underrated by "
        f"{_points(-groups[-1].bias)}, as cautious forecasts do. "
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
