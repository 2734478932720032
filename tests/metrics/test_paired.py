"""The paired bootstrap against SciPy and closed forms, and how often its verdict errs."""

import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dae_aqa.errors import EvaluationError
from dae_aqa.metrics.accuracy import MetricUndefinedError, require
from dae_aqa.metrics.paired import (
    MeanOverSamples,
    PairedDifference,
    Ranking,
    paired_difference,
    same_samples,
)

RHO = Ranking("mu", "final_score")
SETTINGS = {"level": 0.95, "num_resamples": 400, "seed": 0}


def errors(table: pd.DataFrame) -> np.ndarray:
    return np.abs(table["mu"] - table["final_score"]).to_numpy()


MAE = MeanOverSamples(errors)


def models(
    *noises: float, num: int = 120, seed: int = 0, shared: float = 0.0
) -> list[pd.DataFrame]:
    """Return a table for each noise: scores, and predictions that miss them by so much."""
    rng = np.random.default_rng(seed)
    score = np.round(2 * rng.normal(67, 17, num)) / 2
    common = shared * rng.normal(size=num)
    return [
        pd.DataFrame(
            {
                "sample_id": [f"d{i:03d}" for i in range(num)],
                "final_score": score,
                "difficulty": 1.0,
                "mu": score + noise * (common + rng.normal(size=num)),
            }
        )
        for noise in noises
    ]


def by_hand(
    figure, first: pd.DataFrame, second: pd.DataFrame, *, method: str
) -> tuple[float, float]:
    """Return SciPy's interval of the difference, the rows of both drawn together."""
    rows = np.arange(len(first))
    found = stats.bootstrap(
        (rows,),
        lambda draw: figure(second.iloc[draw]) - figure(first.iloc[draw]),
        vectorized=False,
        n_resamples=800,
        method=method,
        rng=np.random.default_rng(5),
    ).confidence_interval
    return found.low, found.high


@pytest.mark.parametrize(
    ("figure", "method", "oracle"),
    [
        (
            RHO,
            "percentile",
            lambda table: stats.spearmanr(table["mu"], table["final_score"]).statistic,
        ),
        (MAE, "basic", lambda table: (table["mu"] - table["final_score"]).abs().mean()),
    ],
)
def test_the_interval_is_scipys(figure, method, oracle):
    first, second = models(9, 7)
    found = paired_difference(first, second, figure=figure, **SETTINGS | {"num_resamples": 4000})
    assert found.difference == pytest.approx(oracle(second) - oracle(first), abs=1e-12)
    low, high = by_hand(oracle, first, second, method=method)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.12 * (high - low))


def test_a_mean_has_the_normal_interval_of_its_paired_differences():
    first, second = models(9, 7, num=400, shared=3)
    found = paired_difference(first, second, figure=MAE, **SETTINGS | {"num_resamples": 4000})
    differences = errors(second) - errors(first)
    half = 1.96 * stats.sem(differences)
    mean = differences.mean()
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half), abs=0.1 * half)
    # each alone is far less sure: what is hard about a sample is hard for both
    assert half < 0.5 * 1.96 * np.hypot(stats.sem(errors(first)), stats.sem(errors(second)))


@pytest.mark.parametrize(("figure", "better"), [(RHO, 1), (MAE, -1)])
def test_a_better_model_is_told_and_turning_the_pair_turns_the_sign(figure, better):
    first, second = models(12, 6)
    found = paired_difference(first, second, figure=figure, **SETTINGS)
    turned = paired_difference(second, first, figure=figure, **SETTINGS)
    assert found.is_distinguishable
    assert np.sign([found.low, found.difference, found.high]).tolist() == [better] * 3
    assert turned == PairedDifference(
        difference=-found.difference, low=pytest.approx(-found.high), high=pytest.approx(-found.low)
    )


def test_equal_and_nearly_equal_predictions_are_not_distinguishable():
    (first,) = models(9)
    rng = np.random.default_rng(1)
    noise = 1e-6 * rng.normal(size=len(first))
    for second in (first.copy(), first.assign(mu=first["mu"] + noise)):
        for figure in (RHO, MAE):
            found = paired_difference(first, second, figure=figure, **SETTINGS)
            assert not found.is_distinguishable
            assert found.low <= 0 <= found.high
    same = paired_difference(first, first, figure=MAE, **SETTINGS)
    assert same == PairedDifference(difference=0, low=0, high=0)


@pytest.mark.parametrize("figure", [RHO, MAE])
def test_equally_good_models_are_seldom_called_different(figure):
    """In 5 of 100 draws, which 200 draws show as 8.5 % at most; the benchmark makes 1,000."""
    called = [
        paired_difference(
            *models(8, 8, num=70, seed=seed), figure=figure, **SETTINGS
        ).is_distinguishable
        for seed in range(200)
    ]
    assert np.mean(called) <= stats.binom.ppf(0.99, 200, 0.05) / 200


def test_a_plain_function_gives_what_the_fast_figure_gives():
    first, second = models(9, 7)
    for fast in (RHO, MAE):
        settings = SETTINGS | {"num_resamples": 60}
        plain = paired_difference(first, second, figure=lambda t, f=fast: f(t), **settings)
        found = paired_difference(first, second, figure=fast, **settings)
        ends = [found.low, found.high]
        if fast is MAE:  # a mean is known by its kind, and its interval is mirrored
            ends = [2 * found.difference - end for end in reversed(ends)]
        assert [plain.difference, plain.low, plain.high] == pytest.approx(
            [found.difference, *ends], abs=1e-12
        )


def test_the_order_of_the_samples_does_not_matter():
    first, second = models(9, 7)
    mixed = second.sample(frac=1, random_state=3)
    found = paired_difference(first, second, figure=RHO, **SETTINGS)
    assert paired_difference(first, mixed, figure=RHO, **SETTINGS) == found
    assert paired_difference(mixed, first, figure=RHO, **SETTINGS).difference == -found.difference


def test_ranking_is_fast():
    first, second = models(9, 7, num=353)
    started = time.process_time()
    paired_difference(first, second, figure=RHO, **SETTINGS | {"num_resamples": 2000})
    assert time.process_time() - started < 5  # a second; one by one SciPy takes several


def test_other_samples_are_counted_and_named():
    first, second = models(9, 7)
    message = (
        r"120 and 118, of which 117 in both; only the first has 3 sample\(s\): d000, d001, d002; "
        r"only the second has 1 sample\(s\): other"
    )
    second.loc[2, "sample_id"] = "other"
    with pytest.raises(EvaluationError, match=message):
        paired_difference(first, second.iloc[2:], figure=RHO, **SETTINGS)


@pytest.mark.parametrize("column", ["final_score", "difficulty"])
def test_other_scores_of_the_same_samples_are_an_error(column):
    first, second = models(9, 7)
    second.loc[[4, 7], column] += 1
    message = rf"different annotations: {column} differs for 2 sample\(s\): d004, d007"
    with pytest.raises(EvaluationError, match=message):
        same_samples(first, second)


def test_samples_of_parts_are_told_apart():
    first, second = models(9, 7, num=4)
    parts = ["a", "a", "b", "b"]
    twice = first.assign(sample_id=["x", "y", "x", "y"], part=parts)
    again = second.assign(sample_id=["y", "x", "x", "y"], part=parts)
    again["final_score"] = [first["final_score"][i] for i in (1, 0, 2, 3)]
    for table in same_samples(twice, again):
        assert table["sample_id"].tolist() == ["x", "x", "y", "y"]
        assert table["part"].tolist() == ["a", "b", "a", "b"]
    with pytest.raises(EvaluationError, match="pool their parts first"):
        same_samples(twice, second)


def test_an_undefined_figure_says_why():
    first, second = models(9, 7)
    with pytest.raises(MetricUndefinedError, match="all predictions are equal"):
        paired_difference(first, second.assign(mu=1.0), figure=RHO, **SETTINGS)

    def of_all_samples_alone(table: pd.DataFrame) -> float:
        require(table["sample_id"].is_unique, "a sample occurs twice")
        return 1.0

    message = "400 of 400 bootstrap resamples are without a value: 120 samples are too few"
    with pytest.raises(MetricUndefinedError, match=message):
        paired_difference(first, second, figure=of_all_samples_alone, **SETTINGS)


def test_a_figure_must_be_finite_and_a_level_a_share():
    first, second = models(9, 7)
    with pytest.raises(EvaluationError, match=r"finite number, it is \[nan, nan\]"):
        paired_difference(first, second, figure=lambda _: float("nan"), **SETTINGS)
    with pytest.raises(EvaluationError, match="level must lie between 0 and 1"):
        paired_difference(first, second, figure=RHO, **SETTINGS | {"level": 95})
