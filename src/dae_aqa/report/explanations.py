"""What each figure of `metrics.json` means, in words for the page."""

from __future__ import annotations

from dataclasses import dataclass

from dae_aqa.metrics.sample_size import MIN_COVERED, MIN_GROUPED, MIN_RANKED
from dae_aqa.report.inputs import ReportInputs


@dataclass(frozen=True, kw_only=True)
class MetricRow:
    """One line of the table of figures.

    Attributes:
        group: heading that it stands under.
        key: its key in `metrics.json`.
        name: its name.
        value: formatted, or a dash.
        aside: interval, baseline, or the reason why it is undefined.
        meaning: what it says.
    """

    group: str
    key: str
    name: str
    value: str
    aside: str
    meaning: str


# group, key, name, decimals, meaning
_ROWS: tuple[tuple[str, str, str, str, str], ...] = (
    ("Ranking", "spearman", "Spearman's ρ, final score", ".3f",
     "How alike the model and the judges order the performances; 1 is the same order."),
    ("Ranking", "spearman_execution", "Spearman's ρ, execution", ".3f",
     "The same before the difficulty is multiplied in, which the model is told."),
    ("Ranking", "ceiling_one_judge", "Judges: one against the others", ".3f",
     "How alike one judge and the others together order the performances, final score."),
    ("Ranking", "ceiling_half_panel", "Judges: half against half", ".3f",
     "The same of half of the judges and the rest, the mean over all ways to divide them."),
    ("Error", "rl2_x100", "R-ℓ2 × 100", ".3f",
     "Mean squared error as a share of the squared score range; smaller is better."),
    ("Error", "mae", "Mean absolute error", ".2f", "Points by which a prediction misses."),
    ("Error", "rmse", "Root mean squared error", ".2f",
     "The same, but large misses weigh more."),
    ("Error", "bias", "Bias", "+.2f", "Mean of predicted − judged: above 0 it is too generous."),
    ("Error", "mae_execution", "Mean absolute error, execution", ".2f",
     "Points by which the judged part is missed, before the difficulty."),
    ("Uncertainty", "coverage_50", "Coverage of 50 % intervals", ".1%", "Should be 50 %."),
    ("Uncertainty", "coverage_90", "Coverage of 90 % intervals", ".1%", "Should be 90 %."),
    ("Uncertainty", "calibration_error", "Calibration error", ".1%",
     "By how much coverage is off, on average over all interval widths."),
    ("Uncertainty", "nll", "Negative log-likelihood", ".3f",
     "How improbable the judged scores were to the model; smaller is better."),
    ("Uncertainty", "nll_execution", "Negative log-likelihood, execution", ".3f",
     "The same before the difficulty is multiplied in."),
    ("Uncertainty", "crps", "CRPS", ".2f",
     "Error of the whole forecast, in points; at most the mean absolute error is good."),
    ("Uncertainty", "sharpness", "Mean σ", ".2f", "How wide the forecasts are, in points."),
    ("Uncertainty", "rejection_tau", "Rejection τ", "+.2f",
     "Whether the error grows from each tenth of σ to the next: 1 always, 0 no relation."),
    ("Uncertainty", "rejection_tau_execution", "Rejection τ, execution", "+.2f",
     "The same before the difficulty is multiplied in."),
    ("Uncertainty", "sigma_rank_correlation", "σ against true σ", "+.2f",
     "Rank correlation of the predicted σ with the simulated judges' own."),
    ("Uncertainty", "sigma_rank_correlation_execution", "σ against true σ, execution", "+.2f",
     "The same before the difficulty is multiplied in: the harder test."),
    ("Uncertainty", "sigma_judges_rank_correlation", "judges' σ against true σ", "+.2f",
     "Rank correlation of the judges' part of σ with the simulated judges' own."),
    ("Uncertainty", "sigma_judges_rank_correlation_execution",
     "judges' σ against true σ, execution", "+.2f",
     "The same before the difficulty is multiplied in: the harder test."),
    ("Cost", "num_parameters", "Parameters", ",.0f", "Numbers that make up the model."),
    ("Cost", "gflop_per_performance", "GFLOP a performance", ".3g",
     "Multiplications and additions, in billions, from the clips to the score."),
)  # fmt: skip


def few_samples(inputs: ReportInputs) -> list[str]:
    """Return a sentence on what so few test samples cannot show, and one on validation samples."""
    sentences = []
    num_test, num_val = len(inputs.predictions), inputs.num_val
    lacking = [
        name
        for minimum, name in (
            (MIN_RANKED, f"ranking ({MIN_RANKED} needed)"),
            (MIN_COVERED, f"whether its intervals are right ({MIN_COVERED})"),
            (MIN_GROUPED, f"where it is wrong more than elsewhere ({MIN_GROUPED})"),
        )
        if num_test < minimum
    ]
    if lacking:
        sentences.append(
            f"{num_test} test {_samples(num_test)} cannot show: {'; '.join(lacking)}. What is said "
            "below is said of these performances, not of others."
        )
    if num_val < MIN_RANKED and inputs.kept_epoch is not None:
        sentences.append(
            f"{num_val} validation {_samples(num_val)}: the epoch is "
            f"{inputs.kept_epoch.chosen_by}, and σ is mostly what the training samples made of it."
        )
    return sentences


def _samples(num: int) -> str:
    return "sample" if num == 1 else "samples"


def metric_rows(inputs: ReportInputs) -> list[MetricRow]:
    """Return a row for every known key that the metrics hold, undefined ones included.

    Where the sport has no difficulty, the figures of the execution repeat those of the final score
    and are left out.
    """
    rows = []
    has_difficulty = bool((inputs.predictions["difficulty"] != 1.0).any())
    for group, key, name, form, meaning in _ROWS:
        if key not in inputs.metrics or (key.endswith("_execution") and not has_difficulty):
            continue
        value = inputs.number(key)
        rows.append(
            MetricRow(
                group=group,
                key=key,
                name=name,
                value="–" if value is None else _typeset(format(value, form)),
                aside=_aside(inputs, key, value),
                meaning=meaning,
            )
        )
    return rows


def _aside(inputs: ReportInputs, key: str, value: float | None) -> str:
    if value is None:
        return f"undefined: {inputs.metrics[f'{key}_reason']}"
    if interval := inputs.interval(key) or inputs.ceiling_interval(key):
        return "95 % interval {:.3f} to {:.3f}".format(*interval)
    if f"{key}_ci95_reason" in inputs.metrics:
        return f"no interval: {inputs.metrics[f'{key}_ci95_reason']}"
    if key == "rl2_x100":
        low, high = (inputs.metrics[f"rl2_score_{end}"] for end in ("min", "max"))
        return f"score range {low:g} to {high:g}"
    if key in ("nll", "nll_execution"):
        constant = inputs.number(key.replace("nll", "nll_constant_sigma"))
        return "" if constant is None else f"one σ for all: {constant:.3f}"
    return ""


def _typeset(text: str) -> str:
    return text.replace("%", " %").replace("-", "\N{MINUS SIGN}")
