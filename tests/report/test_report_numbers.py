"""The numbers of the page, read back from its text and its drawings, against hand-made inputs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from drawn import Drawing
from scipy import stats

from dae_aqa.datasets import DATASETS
from dae_aqa.evaluation.references import references_of
from dae_aqa.metrics.summary import evaluate_predictions
from dae_aqa.report import KeptEpoch, Reference, ReportInputs, render_report
from dae_aqa.report.accuracy import accuracy_figures
from dae_aqa.report.answers import answer_all
from dae_aqa.report.curves import training_figures
from dae_aqa.report.explanations import metric_rows
from dae_aqa.report.figure import ReportFigure
from dae_aqa.report.residuals import error_figures
from dae_aqa.report.slices import find_slices
from dae_aqa.report.uncertainty import _pit_histogram, uncertainty_figures
from dae_aqa.tables.predictions import build_predictions
from dae_aqa.training.history import COLUMNS, no_history

NUM = 60
Z90 = 1.6448536269514722  # Source: tables of the normal distribution
IDS = [f"dive_{n:03d}" for n in range(NUM)]
SCORE = 30.0 + np.arange(NUM)
DIFFICULTY = np.where(np.arange(NUM) % 4 == 0, 2.0, 3.0)
ERROR = 0.01 * np.arange(NUM) + np.repeat(
    [4.0, 2.0, 5.5, -1.0, 3.0, 0.5, 2.5, -2.0, 1.5, -0.5, 1.0, -3.0, 0.25, -1.5, -4.5, -2.5, 7.0,
     -6.0, -3.5, -9.6], 3
)  # fmt: skip
SIGMA = 0.001 * np.arange(NUM) + np.tile(
    [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 0.8, 1.2, 1.8, 2.2, 2.8, 3.2, 0.6, 1.4, 1.6, 2.4, 2.6, 3.4, 3.6,
     4.0], 3
)  # fmt: skip
TRUE_SIGMA = np.linspace(0.5, 2.4, NUM)[::-1]  # of the execution
ACTIONS = ["107B"] * 18 + ["305C"] * 24 + ["5253B"] * 18
MU = SCORE + ERROR
OUTSIDE = np.abs(ERROR) > Z90 * SIGMA
SPLASH = np.sin(np.arange(NUM) * 1.7)  # without order
HISTORY = pd.DataFrame(
    [
        (0.0, 1e-3, 1.5, 9.0, 3.0, 4.0, np.nan, 0.10, "honest"),
        (1.0, 2e-3, 1.0, 8.0, 2.0, 3.5, 0.55, 0.50, "honest"),
        (2.0, 1e-3, 0.75, 7.0, 1.0, 3.25, 0.625, 0.25, "honest"),
    ],
    columns=list(COLUMNS),
)


RANKING = "Ranking, beside what is easy and what is possible"


@pytest.fixture(scope="module")
def inputs() -> ReportInputs:
    annotations = pd.DataFrame(
        {
            "sample_id": IDS,
            "video_id": [f"meet_{n // 5:02d}" for n in range(NUM)],
            "start_frame": 100 * np.arange(NUM) + 7,
            "end_frame": 100 * np.arange(NUM) + 57,
            "final_score": SCORE,
            "difficulty": DIFFICULTY,
            "judge_scores": "8;7.5;9",
            "action_class": ACTIONS,
            "split": "test",
        }
    )
    predictions = build_predictions(
        samples=annotations,
        mu_execution=MU / DIFFICULTY,
        sigma_execution=SIGMA / DIFFICULTY,
        sigma_judges_execution=0.6 * SIGMA / DIFFICULTY,
        true_sigma_execution=TRUE_SIGMA,
    )
    metrics = evaluate_predictions(
        predictions,
        num_bootstrap=100,
        seed=0,
        baselines={"fault_splash": 0.5, "fault_toe": 0.2, "splash_entry": 0.93, "ceiling": 0.97},
    )
    return ReportInputs(
        dataset="simdive",
        model="dae_mt",
        backbone="small3d",
        checkpoint=None,
        predictions=predictions,
        metrics=metrics,
        part_metrics=None,
        parts_of={},
        references=references_of(DATASETS["simdive"], metrics),
        annotations=annotations,
        truth=pd.DataFrame(
            {
                "sample_id": IDS[::-1],
                "fault_over": ERROR[::-1],  # the graver, the more overrated
                "fault_under": -ERROR[::-1],
                "fault_splash": SPLASH[::-1],
                "fault_never": 0.0,
            }
        ),
        excluded=pd.DataFrame({"sample_id": ["b", "a"], "reason": ["too short", "cut off"]}),
        notes=["One thing to know."],
        learning_curves=HISTORY,
        kept_epochs={"": KeptEpoch(2, "chosen by hand")},
        num_warmup_epochs=0,
        params={"lr": 0.002, "train": {"loss": {"name": "nll"}}},
        thumbnails=lambda sample_id: [b"\xff\xd8" + sample_id.encode()],
        num_train=60,
        num_val=15,
        num_worst=3,
    )


@pytest.fixture(scope="module")
def page(inputs: ReportInputs) -> str:
    return render_report(inputs)


Draw = Callable[[ReportInputs, pd.DataFrame], list[ReportFigure]]
DRAWN: list[tuple[Draw, ReportInputs, list[ReportFigure]]] = []


def figure(draw: Draw, inputs: ReportInputs, title: str) -> tuple[ReportFigure, Drawing]:
    """Return a figure and its drawing. The same inputs are drawn once: that takes the time."""
    known = [figures for how, what, figures in DRAWN if how is draw and what is inputs]
    if not known:
        known = [draw(inputs, inputs.samples())]
        DRAWN.append((draw, inputs, known[0]))
    (found,) = (item for item in known[0] if item.title == title)
    return found, Drawing(found.svg)


errors = partial(figure, error_figures)
accuracy = partial(figure, accuracy_figures)
sureness = partial(figure, uncertainty_figures)
training = partial(figure, lambda inputs, _: training_figures(inputs))


def sign(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def close(values, expected, tolerance: float = 0.02) -> None:
    np.testing.assert_allclose(values, expected, atol=tolerance, rtol=0)


def text_of(html: str) -> str:
    """Return the words of a piece of the page, blanks made one."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).strip()


# --- How good it is -------------------------------------------------------------------------------


def test_the_scatter_shows_judged_to_the_right_and_predicted_upwards(inputs):
    found, drawing = accuracy(inputs, "Predicted and judged score")
    points = drawing.points()
    close([point.x[0] for point in points], SCORE)
    close([point.y[0] for point in points], MU)
    assert [point.color for point in points] == [
        "alert" if out else "prediction" for out in OUTSIDE
    ]
    assert points[0].name == "dive_000: judged 30.0, predicted 34.0 ± 1.0"
    assert points[59].name == "dive_059: judged 89.0, predicted 80.0 ± 4.1"
    (identity,) = drawing.lines()
    close(identity.x, identity.y)
    assert drawing.texts[-2:] == ["too generous", "too strict"]
    assert "judged score" in drawing.texts
    assert OUTSIDE.sum() == 25
    assert (
        found.finding == "25 of 60 scores lie outside of their 90 % interval (expected: about 6)."
    )


def test_the_bars_of_the_scatter_are_the_90_percent_intervals(inputs):
    _, drawing = accuracy(inputs, "Predicted and judged score")
    bars = {round(bar.x[0]): bar for bar in drawing.segments()}
    assert len(bars) == NUM
    for score, mu, sigma, out in zip(SCORE, MU, SIGMA, OUTSIDE, strict=True):
        bar = bars[round(score)]
        assert bar.color == ("alert" if out else "prediction")
        # what lies outside of the axes is cut just beyond their frame
        if max(abs(mu + Z90 * sigma), abs(mu - Z90 * sigma)) < 88 and mu - Z90 * sigma > 30:
            close(sorted(bar.y), [mu - Z90 * sigma, mu + Z90 * sigma])


def test_the_ranking_stands_beside_its_references(inputs):
    changed = dict(inputs.metrics)
    changed |= {"spearman": 0.81, "spearman_ci95_low": 0.62, "spearman_ci95_high": 0.9}
    changed |= {"spearman_execution": 0.44, "spearman_execution_ci95_low": 0.3}
    changed |= {"spearman_execution_ci95_high": 0.52, "baseline_difficulty_only": 0.7}
    references = references_of(DATASETS["simdive"], changed)
    found, drawing = accuracy(replace(inputs, metrics=changed, references=references), RANKING)
    assert drawing.rows == [
        "True quality: the ceiling",
        "Splash and entry angle",
        "Splash alone",
        "This model, execution score",
        "Difficulty alone",
        "This model, final score",
    ]
    by_row: dict[str, list] = {label: [] for label in drawing.rows}
    for line in drawing.lines():
        label = min(drawing.rows, key=lambda name: abs(drawing.row(name) - line.y[0]))
        by_row[label].append(line)
    shown = {label: (lines[1].x[0], lines[1].color) for label, lines in by_row.items()}
    expected = {
        "True quality: the ceiling": (0.97, "reference"),
        "Splash and entry angle": (0.93, "reference"),
        "Splash alone": (0.5, "muted"),
        "This model, execution score": (0.44, "prediction"),
        "Difficulty alone": (0.7, "muted"),
        "This model, final score": (0.81, "prediction"),
    }
    for label, (rho, color) in expected.items():
        close(shown[label][0], rho, 0.002)
        assert shown[label][1] == color
        assert f"{rho:.3f}" in drawing.texts
    close(by_row["This model, final score"][0].x, [0.62, 0.9], 0.002)
    close(by_row["This model, execution score"][0].x, [0.3, 0.52], 0.002)
    close(by_row["Splash alone"][0].x, [0.0, 0.5], 0.002)
    assert found.finding == "The model ranks better than 1 of 2 simple baselines."


PUBLISHED = Reference(label="DAE", rho=0.9, scale="final", kind="published", source="A paper")
SIMPLE = Reference(label="Simple", rho=0.2, scale="final", kind="to beat")
LIMIT = Reference(label="Truth", rho=0.97, scale="execution", kind="limit")
JUDGES = Reference(label="One judge", rho=0.95, scale="final", kind="judges", interval=(0.93, 0.96))


@pytest.mark.parametrize(
    ("references", "spoken_of"),
    [
        ([SIMPLE], {"Grey"}),
        ([PUBLISHED], {"Violet", "others published"}),
        ([SIMPLE, PUBLISHED], {"Grey", "Violet", "others published"}),
        ([SIMPLE, LIMIT], {"Grey", "Violet", "knows some of the truth", "execution scores"}),
        ([JUDGES], {"Violet", "judges rank as each other"}),
    ],
)
def test_the_ranking_is_explained_by_what_is_drawn_alone(inputs, references, spoken_of):
    words = ("Grey", "Violet", "others published", "knows some of the truth", "execution scores")
    words = (*words, "judges rank as each other")
    found, drawing = accuracy(replace(inputs, references=references), RANKING)
    assert {word for word in words if word in found.reading} == spoken_of
    assert "Round: this model, with its 95 % interval." in found.reading
    colors = {line.color for line in drawing.lines()}
    assert ("muted" in colors, "reference" in colors) == (
        "Grey" in spoken_of,
        "Violet" in spoken_of,
    )


def test_the_judges_agreement_is_drawn_with_its_interval_and_told(inputs, page):
    assert "against the others" not in page
    found, drawing = accuracy(replace(inputs, references=[JUDGES]), RANKING)
    (line,) = (line for line in drawing.lines() if line.color == "reference" and len(line.x) > 1)
    close(line.x, [0.93, 0.96], 0.002)
    assert found.finding == "There is no baseline to compare with in this dataset."
    answer = answer_all(replace(inputs, references=[SIMPLE, JUDGES]), inputs.samples())[0]
    assert "; one judge ranks at 0.95." in answer.sentence
    figures = {"ceiling_one_judge": 0.95, "ceiling_one_judge_low": 0.93}
    figures |= {"ceiling_one_judge_high": 0.96, "ceiling_half_panel": None}
    figures |= {"ceiling_half_panel_reason": "so"}
    rows = metric_rows(replace(inputs, metrics={**inputs.metrics, **figures}))
    asides = {row.key: (row.value, row.aside) for row in rows}
    assert asides["ceiling_one_judge"] == ("0.950", "95 % interval 0.930 to 0.960")
    assert asides["ceiling_half_panel"] == ("–", "undefined: so")


def test_a_model_without_a_rank_correlation_is_not_explained(inputs):
    undefined = {**inputs.metrics, "spearman": None, "spearman_execution": None}
    found, drawing = accuracy(replace(inputs, metrics=undefined), RANKING)
    assert not any("This model" in row for row in drawing.rows)
    assert "this model" not in found.reading
    assert found.finding == "The model has no rank correlation that could be compared."


def test_every_figure_of_the_table_is_the_one_of_its_key(inputs, page):
    """Each known key holds a number of its own, so that no row can show another's."""
    own = {row.key: 0.101 + 0.013 * n for n, row in enumerate(metric_rows(inputs))}
    rows = {row.key: row for row in metric_rows(replace(inputs, metrics={**inputs.metrics, **own}))}
    assert len(rows) >= 20
    for key, value in own.items():
        sign = "+" if "tau" in key or "rank_corr" in key or key == "bias" else ""
        percent = "coverage" in key or key == "calibration_error"
        number = f"{100 * value:.1f} %" if percent else f"{value:{sign}.3f}"
        assert rows[key].value in (number, f"{value:{sign}.2f}"), key
    shares = {"coverage_50": "50 %", "coverage_90": "90 %"}
    for key, share in shares.items():
        assert rows[key].name == f"Coverage of {share} intervals"
        assert share in rows[key].meaning
    bias = ERROR.mean()
    cells = dict(re.findall(r'<th scope="row" title="(\w+)">.*?<td class="num">(.*?)</td>', page))
    assert cells["bias"] == f"−{abs(bias):.2f}"
    assert cells["mae"] == f"{np.abs(ERROR).mean():.2f}"
    assert cells["rmse"] == f"{np.sqrt((ERROR**2).mean()):.2f}"
    assert cells["mae_execution"] == f"{np.abs(ERROR / DIFFICULTY).mean():.2f}"
    assert cells["sharpness"] == f"{SIGMA.mean():.2f}"
    assert cells["coverage_90"] == f"{100 * (1 - OUTSIDE.mean()):.1f} %"
    assert cells["spearman"] == f"{stats.spearmanr(MU, SCORE).statistic:.3f}"


def test_what_stands_beside_a_figure_is_its_own(inputs):
    changed = {
        **inputs.metrics,
        "spearman_ci95_low": 0.111,
        "spearman_ci95_high": 0.222,
        "spearman_execution_ci95_low": 0.333,
        "spearman_execution_ci95_high": 0.444,
        "rl2_score_min": 12.5,
        "rl2_score_max": 97.0,
        "nll_constant_sigma": 3.456,
        "nll_constant_sigma_execution": 2.345,
        "crps": None,
        "crps_reason": "for no good reason",
    }
    rows = {row.key: row for row in metric_rows(replace(inputs, metrics=changed))}
    assert rows["spearman"].aside == "95 % interval 0.111 to 0.222"
    assert rows["spearman_execution"].aside == "95 % interval 0.333 to 0.444"
    assert rows["rl2_x100"].aside == "score range 12.5 to 97"
    assert rows["nll"].aside == "one σ for all: 3.456"
    assert rows["nll_execution"].aside == "one σ for all: 2.345"
    assert (rows["crps"].value, rows["crps"].aside) == ("–", "undefined: for no good reason")


# --- Where it is wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "column"), [("Error and judged score", SCORE), ("Error and difficulty", DIFFICULTY)]
)
def test_the_residuals_are_predicted_minus_judged(inputs, title, column):
    _, drawing = errors(inputs, title)
    points = drawing.points()
    close([point.x[0] for point in points], column)
    close([point.y[0] for point in points], ERROR)
    zero, trend = drawing.lines()
    close(zero.y, [0.0, 0.0])
    ends = [0, 8, 15, 23, 30, 37, 45, 52, 60]  # eighths of the samples, which ascend
    groups = [list(range(start, end)) for start, end in pairwise(ends)]
    if column is DIFFICULTY:
        groups = [[n for n in range(NUM) if DIFFICULTY[n] == value] for value in (2.0, 3.0)]
    close(trend.x, [column[group].mean() for group in groups])
    close(trend.y, [ERROR[group].mean() for group in groups])
    assert trend.color == "alert"
    assert drawing.texts[-2:] == ["overrated", "underrated"]


def test_the_trend_of_the_error_has_its_sign(inputs):
    tau = stats.spearmanr(SCORE, ERROR).statistic
    assert -0.67 < tau < -0.65
    found, _ = errors(inputs, "Error and judged score")
    assert found.finding == (
        "The model overrates the low and underrates the high: error and judged score correlate at "
        f"−{-tau:.2f}."
    )
    table = inputs.predictions.assign(mu=SCORE - ERROR, mu_execution=(SCORE - ERROR) / DIFFICULTY)
    found, _ = errors(replace(inputs, predictions=table), "Error and judged score")
    assert found.finding == (
        "The model underrates the low and overrates the high: error and judged score correlate at "
        f"+{-tau:.2f}."
    )


def test_the_classes_have_their_errors_counts_and_means(inputs):
    found, drawing = errors(inputs, "Error by action class")
    inside = {name: np.array([action == name for action in ACTIONS]) for name in set(ACTIONS)}
    mae = {name: np.abs(ERROR[mask]).mean() for name, mask in inside.items()}
    ascending = sorted(mae, key=lambda name: mae[name])
    labels = [f"{name} ({inside[name].sum()}×, {mae[name]:.1f})" for name in ascending]
    assert drawing.rows == labels
    *lines, zero = drawing.lines()
    close(zero.x, [0.0, 0.0])
    for name, label, dots, mean in zip(ascending, labels, lines[::2], lines[1::2], strict=True):
        close(sorted(dots.x), sorted(ERROR[inside[name]]))
        close(mean.x, [ERROR[inside[name]].mean()])
        close([*dots.y, *mean.y], drawing.row(label), 0.1)
    assert ascending[-1] == "5253B"
    assert found.finding == "Largest mean error: 5253B, 5.2 points over 18 samples."


@pytest.mark.parametrize(("name", "words"), [("", ""), ("205B", " 1 rarer classes are not shown.")])
def test_classes_of_few_samples_are_counted_but_no_blank_ones(inputs, name, words):
    classes = [name] * 3 + ACTIONS[3:]
    table = inputs.annotations.assign(action_class=classes)
    found, drawing = errors(replace(inputs, annotations=table), "Error by action class")
    assert len(drawing.rows) == 3
    assert found.finding.endswith(f"over 18 samples.{words}")


def test_the_faults_stand_to_the_right_where_the_model_overlooks_them(inputs):
    found, drawing = errors(inputs, "Which faults the model overlooks")
    noise = stats.spearmanr(SPLASH, ERROR).statistic
    assert drawing.rows == ["under", "splash", "over"]
    band, *bars = drawing.bars()
    close(band.x, [-1.96 / np.sqrt(59), 1.96 / np.sqrt(59)], 0.005)
    assert [bar.color for bar in bars] == ["alert", "muted", "alert"]
    for bar, rho in zip(bars, (-1.0, noise, 1.0), strict=True):
        close(bar.x, sorted([0.0, rho]), 0.005)
    for bar, name in zip(bars, drawing.rows, strict=True):
        close(np.mean(bar.y), drawing.row(name), 0.2)
    assert found.finding == "The model does not punish enough: over."


def cards(page: str) -> dict[str, str]:
    """The cards of the page by their sample, in order."""
    return dict(re.findall(r'<li class="case" id="case-(\w+)">(.*?)</li>', page, re.DOTALL))


def test_the_cards_show_the_largest_errors_and_surprises_in_order(page):
    worst = [IDS[n] for n in np.argsort(-np.abs(ERROR))[:3]]
    surprising = [IDS[n] for n in np.argsort(-np.abs(ERROR) / SIGMA)[:3]]
    assert worst == ["dive_057", "dive_058", "dive_059"]
    assert surprising == ["dive_052", "dive_006", "dive_012"]
    assert list(cards(page)) == [*worst, *surprising]
    assert "The 3 largest errors" in page
    assert "The 3 most surprising" in page


def test_a_card_tells_judged_from_predicted(page):
    words = text_of(cards(page)["dive_058"])
    assert words.startswith("dive_058 underrated by 9.0 (2.5 σ) action 5253B difficulty 3.0")
    assert "judges 8.0 · 7.5 · 9.0" in words
    assert "video meet_11, frames 5807 to 5856" in words
    assert "judged 88.0 predicted 79.0 ± 6.0" in words
    over = cards(page)["dive_006"]
    assert text_of(over).startswith("dive_006 overrated by 5.6 (6.9 σ)")
    assert (
        'aria-label="Judged 36.0, predicted 41.6 plus or minus 1.3 (90 percent interval), on a '
        'scale from 30 to 92"'
    ) in over


def test_the_marks_of_a_card_lie_on_its_scale(page):
    low = min(SCORE.min(), (MU - Z90 * SIGMA).min())
    high = max(SCORE.max(), (MU + Z90 * SIGMA).max())
    card = cards(page)["dive_058"]
    places = dict(re.findall(r'<i class="(\w+)" style="left:([\d.]+)%', card))
    (width,) = re.findall(r"width:([\d.]+)%", card)
    expected = {"band": MU[58] - Z90 * SIGMA[58], "predicted": MU[58], "judged": SCORE[58]}
    for name, value in expected.items():
        close(float(places[name]), 100 * (value - low) / (high - low))
    close(float(width), 100 * 2 * Z90 * SIGMA[58] / (high - low))
    assert re.findall(r'<span class="end">(.*?)</span>', card) == [f"{low:.0f}", f"{high:.0f}"]


# --- How sure it is -------------------------------------------------------------------------------


def test_the_coverage_table_has_the_figures_of_each_level(page):
    (table,) = re.findall(r'<table class="coverage">(.*?)</table>', page, re.DOTALL)
    rows = [text_of(row) for row in re.findall(r"<tr><th scope=\"row\".*?</tr>", table, re.DOTALL)]
    expected = []
    for level in (0.5, 0.8, 0.9, 0.95):
        z = stats.norm.ppf(0.5 + level / 2)
        holds = (np.abs(ERROR) <= z * SIGMA).mean()
        low, high = stats.binom.ppf([0.025, 0.975], NUM, level) / NUM
        assert holds < low
        verdict = "overconfident"
        expected.append(
            f"{100 * level:.0f} % {100 * holds:.1f} % {100 * low:.0f} to {100 * high:.0f} % "
            f"± {z * SIGMA.mean():.1f} {verdict}"
        )
    assert rows == expected


def test_wide_intervals_are_called_cautious_in_the_coverage_table(inputs):
    wide = inputs.predictions.assign(sigma=SIGMA * 9, sigma_execution=SIGMA * 9 / DIFFICULTY)
    (table,) = re.findall(
        r'<table class="coverage">(.*?)</table>',
        render_report(replace(inputs, predictions=wide)),
        re.DOTALL,
    )
    (half,) = re.findall(r"<tr><th scope=\"row\".*?>50 %.*?</tr>", table, re.DOTALL)
    assert text_of(half).endswith("too cautious")


def test_the_reliability_curve_shows_the_share_that_each_interval_holds(inputs):
    found, drawing = sureness(inputs, "Do the intervals hold what they promise?")
    identity, curve = drawing.lines()
    levels = np.arange(1, 20) / 20
    z = stats.norm.ppf(0.5 + levels / 2)
    holds = np.array([(np.abs(ERROR) <= each * SIGMA).mean() for each in z])
    close(curve.x, levels, 0.002)
    close(curve.y, holds, 0.002)
    close(identity.x, identity.y, 0.002)
    low, high = (stats.binom.ppf(share, NUM, levels) / NUM for share in (0.025, 0.975))
    band = drawing.area()
    lowest = [
        min(y for x, y in zip(band.x, band.y, strict=True) if abs(x - at) < 0.01) for at in levels
    ]
    highest = [
        max(y for x, y in zip(band.x, band.y, strict=True) if abs(x - at) < 0.01) for at in levels
    ]
    close(lowest, low, 0.005)
    close(highest, high, 0.005)
    inside = int(((low <= holds) & (holds <= high)).sum())
    assert found.finding.startswith(f"{inside} of 19 interval widths hold as much as they should")
    assert drawing.texts[-2:] == ["too cautious", "overconfident"]


def test_the_histogram_counts_where_the_scores_fell(inputs):
    found, drawing = sureness(inputs, "Where the judged scores fall in their forecasts")
    values = stats.norm.cdf((SCORE - MU) / SIGMA)
    counts = np.bincount(np.minimum(10 * values, 9).astype(int), minlength=10).tolist()
    band, *bars = drawing.bars()
    low, high = stats.binom.ppf([0.025, 0.975], NUM, 0.1)
    close(band.y, [low, high])
    close([bar.y[1] for bar in bars], counts)
    assert counts == [15, 0, 6, 4, 5, 3, 4, 3, 6, 14]
    assert [bar.color for bar in bars] == [
        "prediction" if low <= count <= high else "alert" for count in counts
    ]
    (level,) = drawing.lines()
    close(level.y, [6.0, 6.0])
    assert found.finding == (
        "3 bars leave the band; the forecasts are too narrow, with too many surprises at the ends."
    )


@pytest.mark.parametrize(
    ("shift", "factor", "words"),
    [
        (8.0, 1.0, "9 bars leave the band; the predictions are too high on the whole."),
        (-8.0, 1.0, "9 bars leave the band; the predictions are too low on the whole."),
        (0.0, 9.0, "7 bars leave the band; the forecasts are too wide."),
        (
            0.0,
            0.2,
            "9 bars leave the band; the forecasts are too narrow, with too many surprises at the "
            "ends.",
        ),
    ],
)
def test_the_histogram_is_put_into_words(inputs, shift, factor, words):
    mu, sigma = MU + shift, SIGMA * factor
    table = inputs.predictions.assign(
        mu=mu, mu_execution=mu / DIFFICULTY, sigma=sigma, sigma_execution=sigma / DIFFICULTY
    )
    found = _pit_histogram(replace(inputs, predictions=table).samples())
    assert found.finding == words


def test_the_error_of_each_tenth_of_sigma(inputs):
    found, drawing = sureness(inputs, "Is it wrong where it says it is unsure?")
    pairs = np.argsort(SIGMA).reshape(10, 6)  # six samples in each tenth, the surest first
    assert drawing.columns == [f"{SIGMA[pair].mean():.1f}" for pair in pairs]
    close([bar.y[1] for bar in drawing.bars()], [np.abs(ERROR[pair]).mean() for pair in pairs])
    (announced,) = drawing.lines()
    close(announced.y, [np.sqrt(2 / np.pi) * SIGMA[pair].mean() for pair in pairs])
    tau = stats.kendalltau(range(10), [np.abs(ERROR[pair]).mean() for pair in pairs]).statistic
    assert (
        found.finding == f"Kendall's τ between doubt and error: {sign(tau)} (1: perfect, 0: none)."
    )


def test_handing_over_the_doubtful_lowers_the_mean_error_of_the_rest(inputs):
    found, drawing = sureness(inputs, "What handing over the doubtful half would bring")
    random, best, by_sigma = drawing.lines()
    miss = np.abs(ERROR)
    close(random.y, [miss.mean()] * 2)
    kept = np.arange(NUM, 4, -1)  # at least five, the mean of fewer is noise
    order = np.argsort(SIGMA)
    assert by_sigma.color == "prediction"
    close(sorted(by_sigma.x), [1 - k / NUM for k in kept], 0.002)
    at = dict(zip(np.round(by_sigma.x, 2), by_sigma.y, strict=True))
    ideal = dict(zip(np.round(best.x, 2), best.y, strict=True))
    for k in kept:
        close(at[round(1 - k / NUM, 2)], miss[order[:k]].mean())
        close(ideal[round(1 - k / NUM, 2)], np.sort(miss)[:k].mean())
    change = 100 * (miss[order[:31]].mean() / miss.mean() - 1)
    assert change > 1
    assert found.finding == (
        f"Handing over the half with the largest σ raises the mean error of the rest by "
        f"{change:.0f} %."
    )


def test_a_doubt_that_knows_its_errors_is_told_so(inputs):
    sigma = 0.1 + np.abs(ERROR)
    table = inputs.predictions.assign(sigma=sigma, sigma_execution=sigma / DIFFICULTY)
    metrics = evaluate_predictions(table, num_bootstrap=100, seed=0)
    known = replace(inputs, predictions=table, metrics=metrics)
    found, _ = sureness(known, "Is it wrong where it says it is unsure?")
    assert found.finding.startswith("Kendall's τ between doubt and error: +1.00 ")
    found, _ = sureness(known, "What handing over the doubtful half would bring")
    kept = np.sort(np.abs(ERROR))[:31].mean()
    lower = 100 * (1 - kept / np.abs(ERROR).mean())
    assert f"lowers the mean error of the rest by {lower:.0f} %." in found.finding


def test_the_judges_part_of_sigma(inputs):
    found, drawing = sureness(inputs, "How much of the doubt is the judges' own")
    pairs = np.argsort(MU / DIFFICULTY).reshape(10, 6)
    whole = [np.sqrt(((SIGMA / DIFFICULTY)[pair] ** 2).mean()) for pair in pairs]
    bars = [bar.y[1] for bar in drawing.bars()]
    close(bars[:10], whole)
    close(bars[10:], 0.6 * np.array(whole))
    assert drawing.columns == [f"{(MU / DIFFICULTY)[pair].mean():.1f}" for pair in pairs]
    assert "make 36 % of the predicted variance" in found.finding


def test_predicted_sigma_upwards_and_true_sigma_to_the_right(inputs):
    found, drawing = sureness(inputs, "Predicted σ and the judges' true σ")
    points = drawing.points()
    close([point.x[0] for point in points], TRUE_SIGMA)
    close([point.y[0] for point in points], SIGMA / DIFFICULTY)
    rank = stats.spearmanr(TRUE_SIGMA, SIGMA / DIFFICULTY).statistic
    ratio = np.median(SIGMA / DIFFICULTY / TRUE_SIGMA)
    assert abs(rank) > 0.02
    assert found.finding == (
        f"They rank alike at {sign(rank)}; the predicted σ is {ratio:.1f} times the true one at "
        "the median."
    )


# --- All predictions, and how it was made ---------------------------------------------------------


def test_the_table_of_predictions(page):
    rows = re.findall(
        r'<tr id="sample-(\w+)" data-text="(.*?)" data-tags="(.*?)"(.*?)>(.*?)</tr>',
        page,
        re.DOTALL,
    )
    assert [row[0] for row in rows] == IDS
    for n, (name, words, tags, shown, cells) in enumerate(rows):
        out = bool(OUTSIDE[n])
        assert words == f"{name} {ACTIONS[n].lower()} meet_{n // 5:02d}"
        assert tags == ("over" if ERROR[n] > 0 else "under") + (" outside" if out else "")
        assert ("outside" in shown) == out
        sign = "+" if ERROR[n] > 0 else "−"
        assert text_of(cells) == (
            f"{name} {ACTIONS[n]} {DIFFICULTY[n]:.1f} {SCORE[n]:.2f} {MU[n]:.2f} {SIGMA[n]:.2f} "
            f"{sign}{abs(ERROR[n]):.2f} {abs(ERROR[n]) / SIGMA[n]:.2f}"
        )
        ((side, width),) = re.findall(r'<i class="(\w+)" style="width:([\d.]+)%"', cells)
        assert side == ("over" if ERROR[n] > 0 else "under")
        close(float(width), 50 * abs(ERROR[n]) / 9.03, 0.051)


@pytest.mark.parametrize(
    ("title", "columns"),
    [
        ("Training loss by epoch", ["train_loss"]),
        (
            "Rank correlation on the validation samples",
            ["val_spearman", "val_spearman_execution"],
        ),
    ],
)
def test_the_learning_curves_have_the_values_of_each_epoch(inputs, title, columns):
    found, drawing = training(inputs, title)
    *curves, best = drawing.lines()
    assert len(curves) == len(columns)
    for curve, column in zip(curves, columns, strict=True):
        known = HISTORY[HISTORY[column].notna()]
        close(curve.x, known["epoch"], 0.01)
        close(curve.y, known[column], 0.005)
    close(best.x, [2.0, 2.0], 0.01)
    assert "kept: 2" in drawing.texts
    assert "The marked epoch" in found.reading
    assert "warm-up" not in found.reading
    ends = {
        "Training loss by epoch": "training 0.750",
        "Rank correlation on the validation samples": "final score 0.625, execution score 0.250",
    }
    assert found.finding == (
        f"After 3 epochs: {ends[title]}. Epoch 2 is evaluated: chosen by hand."
    )


def test_no_epoch_is_marked_where_none_was_kept(inputs):
    undefined = HISTORY.assign(val_spearman=np.nan)
    figures = training_figures(replace(inputs, kept_epochs={}, learning_curves=undefined))
    assert not any("marked" in item.reading or "kept" in item.svg for item in figures)
    assert figures[1].finding == "After 3 epochs: final score undefined, execution score 0.250."
    assert training_figures(replace(inputs, learning_curves=no_history())) == []


def test_the_end_of_the_warm_up_is_named_where_there_was_one(inputs):
    loss, rank = training_figures(replace(inputs, num_warmup_epochs=1))
    assert "It may jump at epoch 1, where the warm-up ends." in loss.reading
    assert "warm-up" not in rank.reading
    always, _ = training_figures(replace(inputs, num_warmup_epochs=3))  # it never ended
    assert "warm-up" not in always.reading


def test_a_single_epoch_is_a_dot(inputs):
    """A line of one point would not be seen."""
    one = replace(inputs, learning_curves=HISTORY[1:2], kept_epochs={})
    loss, _ = training_figures(one)
    assert loss.finding == "After 1 epoch: training 1.000."
    assert loss.svg.count("<use ") > training_figures(inputs)[0].svg.count("<use ")


def test_what_was_left_out_is_listed_in_order(page):
    left_out = page[page.index('id="excluded"') :]
    assert text_of(left_out).startswith("Left out 2 sample(s)", text_of(left_out).index("Left out"))
    assert re.findall(r"<td>(.*?)</td>", left_out) == ["a", "cut off", "b", "too short"]


def test_how_it_was_made(page):
    made = dict(re.findall(r"<div><dt>(.*?)</dt><dd>(.*?)</dd></div>", page))
    assert made == {
        "dataset": "simdive",
        "model": "dae_mt",
        "backbone": "small3d",
        "protocol": "honest",
        "num epochs": "3",
        "kept epoch": "2",
        "epoch choice": "chosen by hand",
        "lr": "0.002",
        "train.loss.name": "nll",
    }
    assert "Parameters (2)" in page


# --- The three answers ----------------------------------------------------------------------------


def test_the_answers_have_the_numbers_of_the_metrics(inputs):
    changed = {**inputs.metrics, "spearman": 0.8124, "coverage_90": 0.5512}
    changed |= {"spearman_ci95_low": 0.62, "spearman_ci95_high": 0.9}
    good, sure, wrong = answer_all(replace(inputs, metrics=changed), inputs.samples())
    assert good.figure == "0.81"
    assert "ρ = 0.812, 95 % interval 0.62 to 0.90" in good.sentence
    assert f"misses the judged score by {np.abs(ERROR).mean():.1f} points" in good.sentence
    assert "on scores from 30 to 89" in good.sentence
    assert sure.figure == "55 %"
    assert f"± {Z90 * SIGMA.mean():.1f} points on average) hold 55.1 %" in sure.sentence
    assert wrong.figure == "−9.0"
    assert "dive_057: judged 87.0, predicted 78.0" in wrong.sentence


def test_groups_have_their_own_errors_and_the_worst_is_named(inputs):
    groups = {(group.by, group.label): group for group in find_slices(inputs.samples())}
    assert [label for by, label in groups if by == "score"] == [
        "30.0 to 41.0", "42.0 to 53.0", "54.0 to 65.0", "66.0 to 77.0", "78.0 to 89.0",
    ]  # fmt: skip
    for start, (low, high) in enumerate(pairwise([30, 42, 54, 66, 78, 90])):
        group = groups["score", f"{low}.0 to {high - 1}.0"]
        inside = slice(12 * start, 12 * start + 12)
        within, others = np.abs(ERROR[inside]), np.abs(np.delete(ERROR, inside))
        noise = np.sqrt(within.var(ddof=1) / 12 + others.var(ddof=1) / 48)
        close([group.num, group.mae], [12, within.mean()], 1e-6)
        close(group.bias, ERROR[inside].mean(), 1e-6)
        close(group.excess, (within.mean() - others.mean()) / noise, 1e-6)
    _, _, wrong = answer_all(inputs, inputs.samples())
    worst = np.abs(ERROR[48:]).mean()
    assert wrong.sentence.startswith(
        f"Most with judged scores of 78.0 to 89.0 (12 samples): there it misses by {worst:.1f} "
        f"points, {worst / np.abs(ERROR).mean():.1f} times its mean of {np.abs(ERROR).mean():.1f}"
    )
