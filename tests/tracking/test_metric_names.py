"""What runs are compared by comes first in MLflow's UI, and constants are no metrics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dae_aqa.metrics.summary import Metrics, evaluate_predictions
from dae_aqa.tables.predictions import build_predictions
from dae_aqa.tracking.identity import flat_metrics
from dae_aqa.tracking.metric_names import (
    best_metrics,
    epoch_metrics,
    evaluation_metrics,
    evaluation_tags,
)
from dae_aqa.training.history import COLUMNS

NUM = 60
FIRST_SCREEN = 6  # charts, three in a row, of a window of 1500 x 1000 px


@pytest.fixture(scope="module")
def figures() -> Metrics:
    """Every figure that an evaluation can have."""
    rng = np.random.default_rng(0)
    samples = pd.DataFrame(
        {
            "sample_id": [f"s{n}" for n in range(NUM)],
            "final_score": rng.uniform(30, 90, NUM),
            "difficulty": rng.choice([2.0, 3.0], NUM),
        }
    )
    spread = rng.uniform(1, 2, NUM)
    predictions = build_predictions(
        samples=samples,
        mu_execution=rng.uniform(10, 30, NUM),
        sigma_execution=spread,
        sigma_judges_execution=spread / 2,
        true_sigma_execution=spread[::-1],
    )
    return evaluate_predictions(
        predictions,
        num_bootstrap=100,
        seed=0,
        baselines={"fault_splash": 0.5, "ceiling": 0.9},
    )


def shown_order(names: list[str]) -> list[str]:
    """Return the order of the charts: by group, then by name; no group, and `system`, at the end.

    Source: `getBaseChartAndSectionConfigs` in the UI of MLflow 3.17.
    """

    def position(name: str) -> tuple[int, str, str]:
        group = name.rpartition("/")[0]
        return {"": 1, "system": 2}.get(group, 0), group, name

    return sorted(names, key=position)


def test_the_first_screen_shows_what_is_compared(figures):
    epoch = dict.fromkeys([*COLUMNS, "samples_per_second", "memory_mb"], 1.0)
    order = shown_order([*evaluation_metrics(figures), *epoch_metrics(epoch)])
    assert order[:FIRST_SCREEN] == [
        "test/coverage_90",
        "test/mae",
        "test/nll",
        "test/rl2_x100",
        "test/spearman",
        "test/spearman_execution",
    ]
    assert order[FIRST_SCREEN:][:7] == [
        "train/loss",
        "train/lr",
        "val/mae",
        "val/nll",
        "val/rl2_x100",
        "val/spearman",
        "val/spearman_execution",
    ]
    assert order[-2:] == ["system/memory_mb", "system/samples_per_second"]


def test_what_is_the_same_for_every_model_or_said_twice_is_no_metric(figures):
    named = flat_metrics(evaluation_metrics(figures))
    assert {"baseline_ceiling", "baseline_difficulty_only", "num_test"} <= set(figures)
    assert not [name for name in named if "baseline" in name or "ci95" in name or "num_" in name]
    assert sorted(name for name in named if name.startswith("test_")) == [
        "test_bias",
        "test_calibration_error",
        "test_coverage_50",
        "test_crps",
        "test_mae_execution",
        "test_nll_execution",
        "test_rejection_tau",
        "test_rejection_tau_execution",
        "test_rmse",
        "test_sharpness",
        "test_sigma_judges_rank_correlation",
        "test_sigma_judges_rank_correlation_execution",
        "test_sigma_rank_correlation",
        "test_sigma_rank_correlation_execution",
    ]
    assert named["test/rl2_x100"] == figures["rl2_x100"]
    assert named["test_crps"] == figures["crps"]


def test_the_intervals_and_the_number_of_samples_are_tags(figures):
    low, high = figures["spearman_ci95_low"], figures["spearman_ci95_high"]
    tags = evaluation_tags(figures)
    assert tags["test.num_samples"] == str(NUM)
    assert tags["test.spearman_ci95"] == f"{low:.3f} to {high:.3f}"
    assert set(tags) == {
        "test.num_samples",
        "test.spearman_ci95",
        "test.spearman_execution_ci95",
    }
    undefined = {"num_test": 1, "spearman_ci95": None, "spearman_ci95_reason": "one sample"}
    assert evaluation_tags(undefined) == {"test.num_samples": "1"}


def test_an_epoch_keeps_its_values_and_validation_rho_comes_first():
    epoch = {name: float(n) for n, name in enumerate(COLUMNS)}
    assert list(epoch_metrics(epoch).items()) == [
        ("val/spearman", 6.0),
        ("train/lr", 1.0),
        ("train/loss", 2.0),
        ("val/mae", 3.0),
        ("val/rl2_x100", 4.0),
        ("val/nll", 5.0),
        ("val/spearman_execution", 7.0),
    ]
    assert best_metrics(epoch) == {
        "val/best/epoch": 0.0,
        "val/best/mae": 3.0,
        "val/best/rl2_x100": 4.0,
        "val/best/nll": 5.0,
        "val/best/spearman": 6.0,
        "val/best/spearman_execution": 7.0,
    }


def test_an_undefined_figure_is_no_metric():
    figures = {"rho": float("nan"), "mae": 1.5, "reason": "too few", "none": None, "deep": {"a": 2}}
    assert flat_metrics(figures) == {"mae": 1.5, "deep.a": 2.0}
