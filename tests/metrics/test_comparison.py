"""What differs between two models: every figure, its verdict, and the samples that changed."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dae_aqa.errors import EvaluationError
from dae_aqa.metrics.comparison import COMPARED, changed_samples, compare_figures
from dae_aqa.metrics.paired import paired_difference
from dae_aqa.metrics.summary import evaluate_predictions
from dae_aqa.tables.predictions import build_predictions

SETTINGS = {"level": 0.95, "num_resamples": 200, "seed": 0}


def model(
    noise: float = 1.0, *, sigma_factor: float = 1.0, seed: int = 1, num: int = 90
) -> pd.DataFrame:
    """Return the predictions of a model whose errors follow its sigma."""
    rng = np.random.default_rng(0)
    difficulty = rng.choice([1.6, 2.4, 3.0, 3.6], num)
    execution, sigma = rng.uniform(12, 28, num), rng.uniform(0.5, 3, num)
    samples = pd.DataFrame(
        {
            "sample_id": [f"d{i:03d}" for i in range(num)],
            "final_score": execution * difficulty,
            "difficulty": difficulty,
        }
    )
    return build_predictions(
        samples=samples,
        mu_execution=np.random.default_rng(seed).normal(execution, noise * sigma),
        sigma_execution=sigma_factor * noise * sigma,
    )


def test_every_figure_is_that_of_metrics_json():
    first, second = model(), model(0.6, seed=2)
    found = compare_figures(first, second, **SETTINGS)
    assert [each.compared.key for each in found] == [
        *("spearman", "spearman_execution", "rl2_x100", "mae", "nll", "crps", "coverage_90"),
        "rejection_tau",
    ]
    for number, table in (("first", first), ("second", second)):
        metrics = evaluate_predictions(table, num_bootstrap=100, seed=0)
        for each in found:
            key = each.compared.key
            assert getattr(each, number) == pytest.approx(metrics[key], rel=1e-9), key
    for each in found:
        assert each.difference is not None
        assert each.difference.difference == pytest.approx(each.second - each.first, abs=1e-9)
        assert each.difference.low <= each.difference.difference <= each.difference.high


@pytest.mark.parametrize("compared", COMPARED, ids=lambda compared: compared.key)
def test_resamples_are_what_the_figure_is_of_their_rows(compared):
    table = model()
    draws = np.random.default_rng(3).integers(len(table), size=(4, len(table)))
    resampler = compared.figure.resampler(table)
    expected = [
        evaluate_predictions(table.iloc[draw].reset_index(drop=True), num_bootstrap=100, seed=0)[
            compared.key
        ]
        for draw in draws
    ]
    if compared.key == "rl2_x100":  # the range is that of all samples
        ranges = [np.ptp(table["final_score"].iloc[draw]) for draw in draws]
        expected *= (np.array(ranges) / np.ptp(table["final_score"])) ** 2
    np.testing.assert_allclose(resampler(draws), expected, rtol=1e-9)


def test_a_better_model_is_better_by_every_accurate_figure_whichever_comes_first():
    worse, better = model(), model(0.35, seed=2)
    keys = ("spearman", "spearman_execution", "rl2_x100", "mae", "nll", "crps")
    for pair, verdict in (((worse, better), "second"), ((better, worse), "first")):
        found = {each.compared.key: each for each in compare_figures(*pair, **SETTINGS)}
        assert {key: found[key].verdict for key in keys} == dict.fromkeys(keys, verdict)


def test_the_same_model_is_never_told_from_itself():
    for each in compare_figures(model(), model(), **SETTINGS):
        assert each.verdict == "neither"
        assert (each.difference.low, each.difference.high) == (0, 0)


def test_the_coverage_nearer_to_90_percent_is_better():
    def verdict(first: float, second: float) -> str:
        pair = (model(sigma_factor=factor, num=300) for factor in (first, second))
        (found,) = (
            each
            for each in compare_figures(*pair, **SETTINGS)
            if each.compared.key == "coverage_90"
        )
        return found.verdict

    assert verdict(0.5, 1.0) == "second"
    assert verdict(1.0, 0.5) == "first"
    assert verdict(2.5, 1.0) == "second"  # too wide is no better than too narrow
    # 84 and 96 % lie on either side of 90 %
    narrow = stats.norm.ppf(0.92) / stats.norm.ppf(0.95)
    wide = stats.norm.ppf(0.98) / stats.norm.ppf(0.95)
    assert verdict(narrow, wide) == "different"


def test_few_samples_have_a_reason_and_means_all_the_same():
    found = {
        each.compared.key: each
        for each in compare_figures(model(num=9), model(num=9, seed=2), **SETTINGS)
    }
    assert found["mae"].difference is not None
    for key, fewest in (("spearman", 11), ("rl2_x100", 11), ("coverage_90", 36)):
        assert found[key].verdict == "undefined"
        assert (found[key].first, found[key].second, found[key].difference) == (None, None, None)
        assert found[key].reason.endswith(f"needs at least {fewest} samples, got 9")


def test_a_model_that_ranks_nothing_has_a_reason():
    table = model()
    constant = table.assign(mu=50.0, mu_execution=50.0 / table["difficulty"])
    found = compare_figures(table, constant, **SETTINGS)[0]
    assert (found.first is not None, found.second, found.difference) == (True, None, None)
    assert found.reason == "all predictions are equal, so they rank nothing"


def test_changed_samples_come_by_the_size_of_their_change():
    first, second = model(), model(seed=2)
    changed = changed_samples(first, second.sample(frac=1, random_state=1))
    assert len(changed) == 90
    assert changed["change"].abs().is_monotonic_decreasing
    row = changed.iloc[0]
    one, two = (table.set_index("sample_id").loc[row["sample_id"]] for table in (first, second))
    assert row["change"] == two["mu"] - one["mu"]
    assert row["error_first"] == one["mu"] - one["final_score"]
    assert row["gain"] == abs(row["error_first"]) - abs(two["mu"] - two["final_score"])


def test_other_samples_are_refused():
    with pytest.raises(EvaluationError, match=r"90 and 80, of which 80 in both"):
        compare_figures(model(), model(num=90).iloc[:80], **SETTINGS)
    with pytest.raises(EvaluationError, match=r"90 and 80, of which 80 in both"):
        changed_samples(model(), model(num=90).iloc[:80])


def test_the_seed_counts():
    pair = model(), model(seed=2)
    found = [
        paired_difference(*pair, figure=COMPARED[0].figure, **SETTINGS | {"seed": seed})
        for seed in (0, 1, 0)
    ]
    assert found[0] == found[2] != found[1]
