"""The predictions table: what it admits, what it refuses, and the bytes that it writes."""

import numpy as np
import pandas as pd
import pytest

from dae_aqa.errors import EvaluationError
from dae_aqa.tables.predictions import (
    COLUMNS,
    JUDGES_COLUMNS,
    TRUTH_COLUMNS,
    build_predictions,
    check_predictions,
    has_judges_sigma,
    read_predictions,
    write_predictions,
)


@pytest.fixture
def samples() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sample_id": ["v1_002", "v1_001", "v2_001"],
            "final_score": [100.7, 54.0, 61.2],
            "difficulty": [3.8, 3.0, 3.4],
        }
    )


@pytest.fixture
def table(samples) -> pd.DataFrame:
    return build_predictions(
        samples=samples,
        mu_execution=np.array([26.1, 19.0, 17.5], dtype=np.float32),
        sigma_execution=np.array([0.7, 1.9, 1.2], dtype=np.float32),
    )


def test_columns_are_ordered_and_rows_sorted(table):
    assert tuple(table.columns) == COLUMNS
    assert table["sample_id"].tolist() == ["v1_001", "v1_002", "v2_001"]


def test_final_is_execution_times_difficulty(table):
    dive = table.set_index("sample_id").loc["v1_002"]
    assert dive["execution_score"] == pytest.approx(26.5)  # 9.0 + 9.0 + 8.5
    assert dive["mu"] == pytest.approx(26.1 * 3.8, rel=1e-6)
    assert dive["sigma"] == pytest.approx(0.7 * 3.8, rel=1e-6)


def test_without_difficulty_the_execution_columns_equal_the_final_ones(samples):
    samples["difficulty"] = 1.0
    table = build_predictions(
        samples=samples, mu_execution=np.ones(3), sigma_execution=np.full(3, 2.0)
    )
    assert table["mu_execution"].equals(table["mu"].rename("mu_execution"))
    assert table["execution_score"].equals(table["final_score"].rename("execution_score"))


def test_a_table_reads_back_as_it_was_written(table, tmp_path):
    path = tmp_path / "reports" / "predictions.csv"
    write_predictions(table, path)
    pd.testing.assert_frame_equal(read_predictions(path), table, check_exact=True)


def test_equal_samples_give_equal_bytes_in_any_order(samples, tmp_path):
    contents = []
    for order in ([0, 1, 2], [2, 0, 1]):
        mu, sigma = np.array([26.1, 19.0, 17.5]), np.array([0.7, 1.9, 1.2])
        table = build_predictions(
            samples=samples.iloc[order], mu_execution=mu[order], sigma_execution=sigma[order]
        )
        write_predictions(table, tmp_path / "predictions.csv")
        contents.append((tmp_path / "predictions.csv").read_bytes())
    assert contents[0] == contents[1]
    assert contents[0].startswith(b"sample_id,final_score,mu,sigma,difficulty,")
    assert b"\r" not in contents[0]


def test_a_table_that_was_edited_is_put_in_order_where_it_is_read(table, tmp_path):
    path = tmp_path / "predictions.csv"
    table.iloc[::-1, ::-1].to_csv(path, index=False)
    pd.testing.assert_frame_equal(read_predictions(path), table, check_exact=True)


def test_numbers_have_nine_significant_digits(samples, tmp_path):
    third = build_predictions(
        samples=samples, mu_execution=np.full(3, 1e3 / 3), sigma_execution=np.full(3, 1.0)
    )
    write_predictions(third, tmp_path / "predictions.csv")
    first = (tmp_path / "predictions.csv").read_text().splitlines()[1]
    assert first == "v1_001,54,1000,3,3,18,333.333333,1"


def test_every_float32_survives_writing(tmp_path):
    rng = np.random.default_rng(0)
    mu = rng.uniform(0, 110, 500).astype(np.float32)
    sigma = np.exp(rng.uniform(-20, 3, 500)).astype(np.float32)
    samples = pd.DataFrame(
        {
            "sample_id": [f"s{i:03d}" for i in range(500)],
            "final_score": 50.0,
            "difficulty": 1.0,
        }
    )
    path = tmp_path / "predictions.csv"
    write_predictions(
        build_predictions(samples=samples, mu_execution=mu, sigma_execution=sigma), path
    )
    table = read_predictions(path)
    assert table["mu"].to_numpy(np.float32).tolist() == mu.tolist()
    assert table["sigma"].to_numpy(np.float32).tolist() == sigma.tolist()


def test_the_truth_follows_the_forecast(samples):
    table = build_predictions(
        samples=samples,
        mu_execution=np.ones(3),
        sigma_execution=np.ones(3),
        true_sigma_execution=np.full(3, 0.5),
    )
    assert tuple(table.columns) == (*COLUMNS, *TRUTH_COLUMNS)
    assert table["true_sigma"].tolist() == pytest.approx([1.5, 1.9, 1.7])


def test_the_judges_part_stands_between_forecast_and_truth(samples, tmp_path):
    table = build_predictions(
        samples=samples,
        mu_execution=np.ones(3),
        sigma_execution=np.ones(3),
        sigma_judges_execution=np.full(3, 0.4),
        true_sigma_execution=np.full(3, 0.5),
    )
    assert tuple(table.columns) == (*COLUMNS, *JUDGES_COLUMNS, *TRUTH_COLUMNS)
    assert table["sigma_judges"].tolist() == pytest.approx([1.2, 1.52, 1.36])
    write_predictions(table, tmp_path / "predictions.csv")
    assert has_judges_sigma(read_predictions(tmp_path / "predictions.csv"))
    assert not has_judges_sigma(table.drop(columns=list(JUDGES_COLUMNS)))
    with pytest.raises(EvaluationError, match="missing: sigma_judges;"):
        check_predictions(table.drop(columns="sigma_judges"), source="predictions")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("mu", np.nan, "'v1_001': mu must be a finite number"),
        ("final_score", np.inf, "'v1_001': final_score must be a finite number"),
        ("sigma", 0.0, "'v1_001': sigma must be greater than 0"),
        ("sigma", np.nan, "'v1_001': sigma must be a finite number"),
        ("difficulty", 0.0, "'v1_001': difficulty must be greater than 0"),
        ("mu_execution", 3.0, "'v1_001': mu is not mu_execution × difficulty"),
        ("sample_id", "v1_002", "'v1_002': sample_id is not unique"),
        ("sample_id", "", "'': sample_id is empty"),
    ],
)
def test_a_bad_row_is_named(table, column, value, message):
    table.loc[0, column] = value
    with pytest.raises(EvaluationError, match=message):
        check_predictions(table, source="here")


def test_all_bad_rows_are_reported_at_once(table):
    table.loc[0, "mu"] = np.nan
    table.loc[2, "sigma_execution"] = -1.0
    with pytest.raises(EvaluationError, match=r"(?s)v1_001.*v2_001.*sigma_execution"):
        check_predictions(table, source="here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="mu"), "missing: mu; unknown: none"),
        (lambda t: t.assign(extra=1), "missing: none; unknown: extra"),
        (lambda t: t.assign(true_sigma=1.0), "missing: true_sigma_execution"),
        (lambda t: t.iloc[:0], "has no rows; is the test split empty"),
        (lambda t: t.assign(sigma=np.nan), r"3 problem\(s\):\n.*sigma must be a finite number"),
    ],
)
def test_a_bad_table_is_refused(table, change, message):
    with pytest.raises(EvaluationError, match=message):
        check_predictions(change(table), source="here")


def test_a_forecast_of_another_length_is_refused(samples):
    with pytest.raises(EvaluationError, match=r"mu_execution has shape \(2,\), expected \(3,\)"):
        build_predictions(samples=samples, mu_execution=np.ones(2), sigma_execution=np.ones(3))


def test_a_missing_file_says_which_stage_writes_it(tmp_path):
    with pytest.raises(EvaluationError, match="dvc repro evaluate"):
        read_predictions(tmp_path / "predictions.csv")


def test_an_empty_file_is_no_table(tmp_path):
    path = tmp_path / "predictions.csv"
    path.touch()
    with pytest.raises(EvaluationError, match="not a readable CSV table"):
        read_predictions(path)


def test_a_bad_forecast_makes_no_table(samples):
    mu = np.array([1.0, np.nan, 1.0])
    with pytest.raises(EvaluationError, match="'v1_001': mu must be a finite number"):
        build_predictions(samples=samples, mu_execution=mu, sigma_execution=np.ones(3))


@pytest.mark.parametrize(
    ("final", "execution"),
    [
        ("mu", "mu_execution"),
        ("sigma", "sigma_execution"),
        ("final_score", "execution_score"),
        ("true_sigma", "true_sigma_execution"),
        ("sigma_judges", "sigma_judges_execution"),
    ],
)
def test_both_scales_agree_but_for_rounding(samples, final, execution):
    """A relative 1e-5 is float32's arithmetic; one in a thousand is another value."""
    table = build_predictions(
        samples=samples,
        mu_execution=np.full(3, 20.0),
        sigma_execution=np.full(3, 20.0),
        sigma_judges_execution=np.full(3, 20.0),
        true_sigma_execution=np.full(3, 20.0),
    )
    near, far = table.copy(), table.copy()
    near.loc[1, final] *= 1 + 1e-5
    far.loc[1, final] *= 1 + 1e-3
    check_predictions(near, source="here")
    with pytest.raises(EvaluationError, match=f"'v1_002': {final} is not {execution} × diff"):
        check_predictions(far, source="here")


def test_both_rows_of_one_name_are_told_and_fifty_at_most_are_shown(samples):
    table = build_predictions(samples=samples, mu_execution=np.ones(3), sigma_execution=np.ones(3))
    with pytest.raises(EvaluationError, match=r"2 problem\(s\)"):
        check_predictions(table.assign(sample_id=["a", "b", "a"]), source="here")
    many = pd.concat([table.iloc[:1]] * 52).assign(
        sample_id=[f"s{row:02d}" for row in range(52)], mu=np.nan
    )
    with pytest.raises(EvaluationError, match=r"52 problem(?s:.*)'s49'.*\n  … and 2 more$"):
        check_predictions(many, source="here")
