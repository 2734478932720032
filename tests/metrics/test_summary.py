"""metrics.json: every promised figure, strict JSON, and a reason for what is undefined."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dae_aqa.errors import EvaluationError
from dae_aqa.metrics.summary import baselines_of, evaluate_predictions, write_metrics
from dae_aqa.tables.predictions import build_predictions

SETTINGS = {"num_bootstrap": 200, "seed": 0}


def predictions(
    *, num: int = 120, truth: bool = False, one_sigma: bool = False, judges: bool = False
) -> pd.DataFrame:
    rng = np.random.default_rng(5)
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
        mu_execution=rng.normal(execution, sigma),
        sigma_execution=2.5 / difficulty if one_sigma else sigma,
        sigma_judges_execution=1 / sigma if judges else None,
        true_sigma_execution=sigma * rng.uniform(0.9, 1.1, num) if truth else None,
    )


def uncertainty_by_hand(
    table: pd.DataFrame, mu: str, sigma: str, score: str, *, suffix: str
) -> dict[str, float]:
    """Return figures of one scale by loops, integration and SciPy."""
    error = (table[mu] - table[score]).to_numpy()
    spread = table[sigma].to_numpy()
    x = np.linspace(-40, 40, 80_001)  # in sigmas, about the mean
    z = -error[:, None] / spread[:, None]
    distance = ((stats.norm.cdf(x) - (x >= z)) ** 2).sum(axis=1) * (x[1] - x[0])
    order = np.argsort(spread)
    bins = [np.abs(error)[rows].mean() for rows in np.split(order, 10)]
    pairs = [(i, j) for i in range(10) for j in range(i)]
    levels = [0.05 * step for step in range(1, 20)]
    held = [(np.abs(error) <= stats.norm.isf((1 - p) / 2) * spread).mean() for p in levels]
    return {
        f"nll{suffix}": -stats.norm.logpdf(table[score], table[mu], table[sigma]).mean(),
        f"nll_constant_sigma{suffix}": -stats.norm.logpdf(
            error, 0.0, np.sqrt((error**2).mean())
        ).mean(),
        f"crps{suffix}": (spread * distance).mean(),
        f"rejection_tau{suffix}": sum(np.sign(bins[i] - bins[j]) for i, j in pairs) / len(pairs),
        f"calibration_error{suffix}": np.abs(np.array(held) - levels).mean(),
    }


def test_the_promised_keys_are_there_with_the_oracles_values():
    table = predictions()
    result = evaluate_predictions(table, **SETTINGS)
    error = table["mu"] - table["final_score"]
    expected = {
        "spearman": stats.spearmanr(table["mu"], table["final_score"]).statistic,
        "spearman_execution": stats.spearmanr(
            table["mu_execution"], table["execution_score"]
        ).statistic,
        "mae": error.abs().mean(),
        "rmse": (error**2).mean() ** 0.5,
        "rl2_x100": 100 * (error**2).mean() / np.ptp(table["final_score"]) ** 2,
        "nll": -stats.norm.logpdf(table["final_score"], table["mu"], table["sigma"]).mean(),
        "coverage_50": (error.abs() < 0.67449 * table["sigma"]).mean(),
        "coverage_90": (error.abs() < 1.64485 * table["sigma"]).mean(),
        "num_test": 120,
        "rl2_score_min": table["final_score"].min(),
        "rl2_score_max": table["final_score"].max(),
        "baseline_difficulty_only": stats.spearmanr(
            table["difficulty"], table["final_score"]
        ).statistic,
    }
    expected |= uncertainty_by_hand(table, "mu", "sigma", "final_score", suffix="")
    expected |= uncertainty_by_hand(
        table, "mu_execution", "sigma_execution", "execution_score", suffix="_execution"
    )
    expected |= {
        "bias": error.mean(),
        "mae_execution": (table["mu_execution"] - table["execution_score"]).abs().mean(),
        "sharpness": table["sigma"].mean(),
    }
    assert abs(expected["bias"]) < 0.5 * expected["mae"]  # or one could stand for the other
    del expected["crps_execution"], expected["calibration_error_execution"]  # of the final alone
    assert {key: result[key] for key in expected} == pytest.approx(expected, rel=1e-5)
    assert result["spearman_ci95"] == [result["spearman_ci95_low"], result["spearman_ci95_high"]]
    assert result["spearman_ci95_low"] < result["spearman"] < result["spearman_ci95_high"]
    assert {"nll_constant_sigma", "crps", "rejection_tau", "calibration_error"} <= result.keys()
    assert not [key for key in result if key.endswith("_reason")]
    assert "sigma_rank_correlation" not in result


def test_the_truth_of_a_simulated_dataset_is_compared():
    table = predictions(truth=True)
    result = evaluate_predictions(table, **SETTINGS)
    for suffix in ("", "_execution"):
        oracle = stats.spearmanr(table[f"sigma{suffix}"], table[f"true_sigma{suffix}"]).statistic
        assert result[f"sigma_rank_correlation{suffix}"] == pytest.approx(oracle)


def test_the_judges_part_of_sigma_is_compared_where_it_is_told():
    result = evaluate_predictions(predictions(truth=True, judges=True), **SETTINGS)
    # the part falls as the true sigma rises, which 10 % of noise hardly disturbs
    assert result["sigma_judges_rank_correlation_execution"] < -0.95
    assert result["sigma_judges_rank_correlation"] < 0
    without = evaluate_predictions(predictions(truth=True), **SETTINGS)
    assert "sigma_judges_rank_correlation" not in without


def test_one_sigma_for_all_has_a_likelihood_but_orders_nothing():
    """Such is `mlp`: its sigma is a constant of the final score, fitted on validation samples."""
    table = predictions(one_sigma=True, truth=True)
    result = evaluate_predictions(table, **SETTINGS)
    by_hand = -stats.norm.logpdf(table["final_score"], table["mu"], 2.5).mean()
    assert result["nll"] == pytest.approx(by_hand)
    assert result["sharpness"] == pytest.approx(2.5)
    assert result["nll_constant_sigma"] < result["nll"]
    assert result["rejection_tau"] is None
    assert "120 samples, 1 different sigmas" in str(result["rejection_tau_reason"])
    assert result["sigma_rank_correlation"] is None
    assert "all predictions are equal" in str(result["sigma_rank_correlation_reason"])


def test_constant_predictions_have_no_rho_and_never_zero():
    table = predictions().assign(difficulty=1.0, mu=50.0, mu_execution=50.0)
    table["execution_score"] = table["final_score"]
    table["sigma_execution"] = table["sigma"]
    result = evaluate_predictions(table, **SETTINGS)
    for key in ("spearman", "spearman_ci95", "spearman_ci95_low", "spearman_execution"):
        assert result[key] is None
    assert "all predictions are equal" in str(result["spearman_reason"])
    assert result["baseline_difficulty_only"] is None
    assert "same difficulty" in str(result["baseline_difficulty_only_reason"])
    assert result["mae"] is not None


def test_baselines_become_flat_keys():
    table = predictions()
    result = evaluate_predictions(table, **SETTINGS, baselines={"splash": 0.71, "ceiling": 0.9})
    assert (result["baseline_splash"], result["baseline_ceiling"]) == (0.71, 0.9)
    rho = stats.spearmanr(table["difficulty"], table["final_score"]).statistic
    defined = {"splash": 0.71, "ceiling": 0.9, "difficulty_only": pytest.approx(rho)}
    assert baselines_of(result) == defined
    undefined = evaluate_predictions(predictions(num=5), **SETTINGS, baselines={"splash": 0.71})
    assert baselines_of(undefined) == {}


def test_a_baseline_that_is_not_finite_is_an_error():
    with pytest.raises(EvaluationError, match="baseline 'splash' must be a finite number"):
        evaluate_predictions(predictions(), **SETTINGS, baselines={"splash": float("nan")})


@pytest.mark.parametrize("num", [1, 2, 5])
def test_tiny_test_sets_give_strict_json(num, tmp_path):
    result = evaluate_predictions(predictions(num=num), **SETTINGS)
    write_metrics(result, tmp_path / "metrics.json")

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is no JSON")

    loaded = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=refuse)
    assert loaded == result
    nulls = [key for key, value in loaded.items() if value is None and "ci95_" not in key]
    assert all(loaded[f"{key}_reason"] for key in nulls)


RANKED = (
    *("spearman", "spearman_ci95", "spearman_execution", "spearman_execution_ci95", "rl2_x100"),
    *("nll_constant_sigma", "nll_constant_sigma_execution", "baseline_difficulty_only"),
    *("baseline_splash", "sigma_rank_correlation", "sigma_rank_correlation_execution"),
)


@pytest.mark.parametrize(
    ("fewest", "keys"),
    [
        (11, RANKED),
        (36, ("coverage_50", "coverage_90", "calibration_error")),
        (50, ("rejection_tau", "rejection_tau_execution")),
    ],
)
def test_a_figure_that_so_few_samples_cannot_support_is_null_with_a_reason(fewest, keys):
    fewer, enough = (
        evaluate_predictions(
            predictions(num=num, truth=True), **SETTINGS, baselines={"splash": 0.5}
        )
        for num in (fewest - 1, fewest)
    )
    assert [key for key in keys if fewer[key] is not None] == []
    assert [key for key in keys if enough[key] is None] == []
    for key in keys:
        reason = str(fewer[f"{key}_reason"])
        assert reason.endswith(f"needs at least {fewest} samples, got {fewest - 1}")
    for key in ("mae", "rmse", "bias", "nll", "crps", "sharpness"):
        assert fewer[key] is not None


def test_a_perfect_order_has_no_interval():
    table = predictions().assign(mu=lambda table: table["final_score"])
    table = table.assign(mu_execution=lambda table: table["mu"] / table["difficulty"])
    result = evaluate_predictions(table, **SETTINGS)
    assert result["spearman"] == pytest.approx(1.0)
    assert result["spearman_ci95"] is None
    assert "every resample has the same rho" in str(result["spearman_ci95_reason"])


def test_the_same_table_gives_the_same_bytes(tmp_path):
    for name in ("a.json", "b.json"):
        write_metrics(evaluate_predictions(predictions(), **SETTINGS), tmp_path / name)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_value_that_is_not_finite_is_never_written(tmp_path):
    values = {"mae": 1.0, "nll": float("nan"), "spearman_ci95": [0.5, float("inf")]}
    with pytest.raises(EvaluationError, match="nll, spearman_ci95 not finite"):
        write_metrics(values, tmp_path / "metrics.json")
    assert list(tmp_path.iterdir()) == []


def test_texts_are_written_as_people_read_them(tmp_path):
    write_metrics({"nll": None, "nll_reason": "σ ist überall null"}, tmp_path / "metrics.json")
    assert "σ ist überall null" in (tmp_path / "metrics.json").read_text(encoding="utf-8")


def test_each_interval_is_a_bootstrap_of_its_own_scale():
    """95 % of resampled rhos lie inside; the final and the execution score have each their own."""
    table = predictions()
    result = evaluate_predictions(table, **SETTINGS | {"num_bootstrap": 2000})
    rng = np.random.default_rng(77)
    for suffix, mu, score in (
        ("", "mu", "final_score"),
        ("_execution", "mu_execution", "execution_score"),
    ):
        draws = [table.iloc[rng.integers(120, size=120)] for _ in range(500)]
        rhos = [stats.spearmanr(draw[mu], draw[score]).statistic for draw in draws]
        expected = np.quantile(rhos, [0.025, 0.975])
        width = expected[1] - expected[0]
        found = [result[f"spearman{suffix}_ci95_{end}"] for end in ("low", "high")]
        assert found == pytest.approx(list(expected), abs=0.15 * width)


def test_the_seed_of_the_bootstrap_counts():
    table = predictions()
    first, other = (evaluate_predictions(table, **SETTINGS | {"seed": seed}) for seed in (0, 1))
    assert first["spearman_ci95"] != other["spearman_ci95"]
    assert first["spearman"] == other["spearman"]
