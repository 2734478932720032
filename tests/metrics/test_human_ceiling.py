"""How well judges rank as each other do: MTL-AQA's own marks, and SciPy by hand."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dae_aqa.datasets.mtl_aqa.release import read_release
from dae_aqa.errors import EvaluationError
from dae_aqa.metrics.accuracy import MetricUndefinedError
from dae_aqa.metrics.human_ceiling import (
    Agreement,
    ceiling_metrics,
    ceilings_of,
    half_panel_vs_rest,
    one_judge_vs_others,
    panel_marks,
    panel_score,
)
from dae_aqa.tables.annotations import format_judge_scores

SETTINGS = {"level": 0.95, "num_resamples": 300, "seed": 0}
BOTH = pytest.mark.parametrize("figure", [one_judge_vs_others, half_panel_vs_rest])


def panel(num_judges: int, num: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return half-point marks of judges who scatter, and difficulties."""
    rng = np.random.default_rng(seed)
    quality = rng.uniform(4, 9, num)[:, None]
    marks = np.round(2 * (quality + rng.normal(0, 0.7, (num, num_judges)))) / 2
    return marks, rng.choice([1.6, 2.4, 3.0, 3.6], num)


def table(marks: list[list[float]], difficulty: np.ndarray | float = 1.0) -> pd.DataFrame:
    text = [format_judge_scores(list(row)) for row in marks]
    return pd.DataFrame({"judge_scores": text, "difficulty": difficulty})


def test_the_published_marks_of_mtl_aqa(shared_dir):
    release = shared_dir / "annotations/mtl-aqa"
    annotations, _ = read_release(release_dir=release, scoring_rule="diving")
    tested = annotations[annotations["split"] == "test"]
    found = ceiling_metrics(tested, rule="diving", num_resamples=500, seed=0)
    assert (found["ceiling_num_samples"], found["ceiling_num_judges"]) == (353, 7)
    assert found["ceiling_one_judge"] == pytest.approx(0.972, abs=0.0005)
    assert found["ceiling_half_panel"] == pytest.approx(0.984, abs=0.0005)
    for key in ("ceiling_one_judge", "ceiling_half_panel"):
        assert found[key] - 0.012 < found[f"{key}_low"] < found[key] < found[f"{key}_high"]
    marks, difficulty = panel_marks(tested, rule="diving")
    plain = [
        stats.spearmanr(marks[:, judge] * difficulty, others.mean(axis=1) * difficulty).statistic
        for judge in range(7)
        for others in [np.delete(marks, judge, axis=1)]
    ]
    assert np.mean(plain) == pytest.approx(0.973, abs=0.0005)  # as docs/metrics.md says


@pytest.mark.parametrize("num_judges", [3, 4, 5, 7])
def test_any_panel_by_hand(num_judges):
    marks, difficulty = panel(num_judges)

    def score(judges):
        kept = np.sort(marks[:, list(judges)], axis=1)
        while kept.shape[1] > 3:
            kept = kept[:, 1:-1]  # the highest and the lowest mark
        return kept.mean(axis=1) * difficulty

    def mean_rho(size):
        everyone = set(range(num_judges))
        return np.mean(
            [
                stats.spearmanr(score(some), score(sorted(everyone - set(some)))).statistic
                for some in combinations(range(num_judges), size)
            ]
        )

    one = one_judge_vs_others(marks, difficulty, **SETTINGS)
    half = half_panel_vs_rest(marks, difficulty, **SETTINGS)
    assert one.rho == pytest.approx(mean_rho(1), abs=1e-12)
    assert half.rho == pytest.approx(mean_rho(num_judges // 2), abs=1e-12)


@BOTH
def test_the_interval_is_scipys(figure):
    marks, difficulty = panel(3)
    found = figure(marks, difficulty, **SETTINGS | {"num_resamples": 3000})
    oracle = stats.bootstrap(
        (np.arange(len(marks)),),
        lambda rows: figure(marks[rows], difficulty[rows], **SETTINGS | {"num_resamples": 1}).rho,
        vectorized=False,
        n_resamples=600,
        method="percentile",
        rng=np.random.default_rng(4),
    ).confidence_interval
    width = oracle.high - oracle.low
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=0.12 * width)


@BOTH
def test_the_order_of_samples_and_of_judges_does_not_matter(figure):
    marks, difficulty = panel(5)
    rng = np.random.default_rng(2)
    rows, judges = rng.permutation(len(marks)), rng.permutation(5)
    found = figure(marks, difficulty, **SETTINGS)
    assert figure(marks[rows], difficulty[rows], **SETTINGS) == found
    assert figure(marks[:, judges], difficulty, **SETTINGS).rho == pytest.approx(found.rho)


def test_of_many_judges_some_splits_are_drawn():
    marks, difficulty = panel(11, num=30)
    settings = SETTINGS | {"num_resamples": 2}
    found = half_panel_vs_rest(marks, difficulty, **settings)
    assert found == half_panel_vs_rest(marks, difficulty, **settings)
    assert 0.9 < one_judge_vs_others(marks, difficulty, **settings).rho < found.rho < 1


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([8.0], 8.0),
        ([7.0, 8.0], 7.5),
        ([9.0, 8.0, 8.5], 8.5),
        ([7.0, 8.0, 8.5, 6.0], 7.5),
        ([8.0, 7.5, 8.5, 8.0, 7.0], 23.5 / 3),  # the worked example of the rule of diving
        ([9.0, 8.5, 9.0, 8.0, 9.0, 8.5, 9.0], 26.5 / 3),
    ],
)
def test_the_score_of_a_panel_is_the_mean_of_its_middle_marks(marks, expected):
    assert panel_score(np.array(marks)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rule", "num_judges", "reason"),
    [
        (None, 0, "no marks of judges"),
        ("diving", 0, "no marks of judges"),
        ("sum_of_elements", 6, "rate different elements"),
        ("synchronised_diving_9", 9, "others synchronisation"),
        ("synchronised_diving_11", 11, "others synchronisation"),
        ("counted_marks", 3, "those that count"),
        ("diving", 2, "at least 3 judges are needed, the samples have 2"),
    ],
)
def test_where_there_is_no_ceiling_the_reason_is_told(rule, num_judges, reason):
    marks, difficulty = panel(num_judges)
    found = ceiling_metrics(table(marks, difficulty), rule=rule, num_resamples=10, seed=0)
    for key in ("ceiling_one_judge", "ceiling_half_panel"):
        assert [found[key], found[f"{key}_low"], found[f"{key}_high"]] == [None] * 3
        assert reason in str(found[f"{key}_reason"])
    assert ceilings_of(found) == {}


def test_samples_without_the_panels_marks_are_left_out_and_the_others_counted():
    marks, difficulty = panel(5)
    some = [list(row) for row in marks]
    some[3], some[7] = [], some[7][:3]
    found = ceiling_metrics(table(some, difficulty), rule="diving", num_resamples=50, seed=0)
    assert (found["ceiling_num_samples"], found["ceiling_num_judges"]) == (58, 5)
    kept = np.delete(marks, [3, 7], axis=0)
    expected = one_judge_vs_others(kept, np.delete(difficulty, [3, 7]), **SETTINGS)
    assert found["ceiling_one_judge"] == expected.rho
    assert list(ceilings_of(found)) == [
        "One judge against the other 4",
        "2 judges against the other 3",
    ]
    assert isinstance(ceilings_of(found)["One judge against the other 4"], Agreement)


def test_few_samples_have_no_ceiling():
    with pytest.raises(MetricUndefinedError, match="at least 11 samples, got 10"):
        panel_marks(table(panel(5, num=10)[0]), rule="diving")


@BOTH
def test_marks_that_cannot_be_ranked(figure):
    marks, difficulty = panel(3)
    with pytest.raises(MetricUndefinedError, match="all samples the same score"):
        figure(np.full((9, 3), 7.0), np.ones(9), **SETTINGS)
    with pytest.raises(MetricUndefinedError, match="at least 3 judges are needed, got 2"):
        figure(marks[:, :2], difficulty, **SETTINGS)
    with pytest.raises(MetricUndefinedError, match="at least 2 samples, got 1"):
        figure(marks[:1], difficulty[:1], **SETTINGS)
    with pytest.raises(EvaluationError, match=r"got shapes \(60, 3\) and \(59,\)"):
        figure(marks, difficulty[1:], **SETTINGS)
    marks[4, 1] = np.nan
    with pytest.raises(EvaluationError, match=r"every mark .* must be a finite number"):
        figure(marks, difficulty, **SETTINGS)
