"""Figures of parts, against SciPy and against worked examples."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dae_aqa.errors import EvaluationError
from dae_aqa.metrics.accuracy import MetricUndefinedError
from dae_aqa.metrics.parts import PartMetrics, evaluate_parts, fisher_mean, pooled
from dae_aqa.metrics.sample_size import MIN_AVERAGED
from dae_aqa.tables.predictions import check_predictions, read_predictions, write_predictions


def predictions(parts: dict[str, int], *, noise: float = 5.0) -> pd.DataFrame:
    """A checked table with so many samples of each part."""
    rng = np.random.default_rng(4)
    part = [name for name, num in parts.items() for _ in range(num)]
    score = rng.uniform(10, 30, len(part))
    sigma = rng.uniform(2, 6, len(part))
    mu = score + noise * rng.standard_normal(len(part))
    table = {
        "sample_id": [f"s{row:03d}" for row in range(len(part))],
        "part": part,
        "final_score": score,
        "mu": mu,
        "sigma": sigma,
        "difficulty": 1.0,
        "execution_score": score,
        "mu_execution": mu,
        "sigma_execution": sigma,
    }
    return check_predictions(pd.DataFrame(table), source="made up")


def evaluated(table: pd.DataFrame, *, is_published: bool = True) -> PartMetrics:
    sizes = {name: {"num_train": 20, "num_val": 5} for name in table["part"].unique()}
    metrics = evaluate_parts(table, sizes=sizes, is_published=is_published)
    assert metrics is not None
    return metrics


def rho(rows: pd.DataFrame) -> float:
    return float(stats.spearmanr(rows["mu"], rows["final_score"]).statistic)


TWELVE = {
    f"{task}-fold{fold}": num
    for task, nums in {
        "Knot_Tying": (9, 9, 9, 9),
        "Needle_Passing": (7, 7, 7, 7),
        "Suturing": (9, 10, 10, 10),
    }.items()
    for fold, num in enumerate(nums, start=1)
}


def test_twelve_parts_by_hand(tmp_path):
    """As a reader computes it from the file: SciPy's rho, the mean over folds, Fisher's z."""
    write_predictions(predictions(TWELVE), tmp_path / "predictions.csv")
    table = pd.read_csv(tmp_path / "predictions.csv")
    metrics = evaluated(read_predictions(tmp_path / "predictions.csv"))
    by_part = {name: rho(rows) for name, rows in table.groupby("part")}
    assert {name: each["spearman"] for name, each in metrics.parts.items()} == pytest.approx(
        by_part
    )
    tasks = {
        task: np.mean([value for name, value in by_part.items() if name.startswith(task)])
        for task in ("Knot_Tying", "Needle_Passing", "Suturing")
    }
    assert {name: each["spearman"] for name, each in metrics.tasks.items()} == pytest.approx(tasks)
    expected = np.tanh(np.mean(np.arctanh(list(tasks.values()))))
    assert metrics.mean["spearman"] == pytest.approx(expected)
    errors = (table["mu"] - table["final_score"]).abs()
    of_folds = errors.groupby(table["part"]).mean()
    of_tasks = of_folds.groupby(of_folds.index.str.split("-").str[0]).mean()
    assert metrics.mean["mae"] == pytest.approx(of_tasks.mean())


def test_relative_l2_of_a_part_takes_the_range_of_its_own_scores():
    table = predictions({"a": 20, "b": 30})
    rows = table[table["part"] == "b"]
    span = np.ptp(rows["final_score"])
    expected = 100 * np.mean(((rows["mu"] - rows["final_score"]) / span) ** 2)
    metrics = evaluated(table)
    assert metrics.parts["b"]["rl2_x100"] == pytest.approx(expected)
    values = [metrics.parts[name]["rl2_x100"] for name in ("a", "b")]
    assert metrics.mean["rl2_x100"] == pytest.approx(np.mean(values))


def test_the_mean_over_drawn_folds_is_arithmetic():
    metrics = evaluated(predictions({"fold1": 12, "fold2": 12}), is_published=False)
    values = [metrics.parts[name]["spearman"] for name in ("fold1", "fold2")]
    assert metrics.tasks == {}
    assert metrics.mean["spearman"] == pytest.approx(np.mean(values))


def test_drawn_folds_too_small_to_rank_have_no_mean_either():
    metrics = evaluated(predictions({"fold1": 12, "fold2": 6}), is_published=False)
    assert isinstance(metrics.parts["fold1"]["spearman"], float)
    assert metrics.parts["fold2"]["spearman"] is None
    assert metrics.parts["fold2"]["spearman_reason"] == (
        "a rank correlation needs at least 11 samples, got 6"
    )
    assert metrics.mean["spearman"] is None
    assert metrics.mean["spearman_reason"] == "1 of 2 have none"
    assert isinstance(metrics.mean["mae"], float)


def test_published_folds_give_their_ingredient_from_five_samples_on():
    metrics = evaluated(predictions({"fold1": MIN_AVERAGED, "fold2": MIN_AVERAGED - 1}))
    assert isinstance(metrics.parts["fold1"]["spearman"], float)
    assert metrics.parts["fold2"]["spearman"] is None


def test_five_is_the_fewest_that_can_be_significant():
    """The two most extreme orders, both sides counted."""
    chance = {num: 2 / math.factorial(num) for num in (MIN_AVERAGED - 1, MIN_AVERAGED)}
    assert chance[MIN_AVERAGED] < 0.05 < chance[MIN_AVERAGED - 1]


def test_equal_scores_in_a_part_are_a_reason():
    table = predictions({"a": 12, "b": 12})
    in_b = table["part"] == "b"
    table.loc[in_b, ["final_score", "execution_score"]] = 20.0
    metrics = evaluated(table)
    assert metrics.parts["b"]["spearman_reason"] == (
        "all scores are equal, so there is nothing to rank"
    )
    assert metrics.mean["spearman"] is None


def test_fishers_mean():
    assert fisher_mean([0.5, 0.9]) == pytest.approx(0.7661, abs=5e-5)
    with pytest.raises(MetricUndefinedError, match="a rank correlation of 1 has an infinite z"):
        fisher_mean([0.5, 1.0])


def test_parts_are_in_order_and_a_sample_once_in_each():
    table = predictions({"fold10": 2, "fold2": 2})
    assert table["part"].tolist() == ["fold2", "fold2", "fold10", "fold10"]
    with pytest.raises(EvaluationError, match="sample_id is not unique"):
        check_predictions(pd.concat([table, table]), source="table")
    with pytest.raises(EvaluationError, match="no name of a part"):
        check_predictions(table.assign(part="a-b"), source="table")


def test_one_part_has_no_part_metrics_and_is_pooled_already():
    table = predictions({"fold1": 5}).drop(columns="part")
    assert evaluate_parts(table, sizes={}, is_published=False) is None
    pd.testing.assert_frame_equal(pooled(table), table)


def test_folds_are_pooled_in_the_order_of_the_samples():
    table = predictions({"fold1": 5, "fold2": 4})
    table["sample_id"] = table["sample_id"].to_numpy()[::-1]
    whole = pooled(table)
    assert whole["sample_id"].is_monotonic_increasing
    assert "part" not in whole.columns
    assert len(whole) == 9


def test_repeats_are_pooled_as_a_mixture():
    """Draws from either Gaussian, half of each, have the mean and spread of the pooled row."""
    one = predictions({"repeat1-fold1": 1})
    other = one.assign(part="repeat2-fold1", mu=one["mu"] + 4, mu_execution=one["mu"] + 4)
    other = other.assign(sigma=one["sigma"] / 2, sigma_execution=one["sigma"] / 2)
    (row,) = pooled(pd.concat([one, other])).to_dict("records")
    rng = np.random.default_rng(0)
    draws = np.concatenate(
        [rng.normal(table["mu"].iloc[0], table["sigma"].iloc[0], 400_000) for table in (one, other)]
    )
    assert row["mu"] == pytest.approx(draws.mean(), abs=0.02)
    assert row["sigma"] == pytest.approx(draws.std(), rel=0.005)
    assert row["final_score"] == one["final_score"].iloc[0]
