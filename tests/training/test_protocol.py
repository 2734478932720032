"""Which samples train and which choose the epoch, and that every table of a training says so."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tests.tiny_training import MakeOptions, MakeParams, TinyData
from tests.training.test_leaks import tags_of_runs
from tests.training.test_tracked_training import run_evaluate, run_train

from dae_aqa.inference.trained_model import Seen
from dae_aqa.training.fit_inputs import FitOptions
from dae_aqa.training.leaks import seen_with


@pytest.fixture
def three_splits(tiny_data: TinyData) -> TinyData:
    """Four samples train, one validates and two are tested."""
    splits = tiny_data.splits.set_index("sample_id")
    splits.loc[["v1", "v2"], "split"] = "test"
    return replace(tiny_data, splits=splits.reset_index())


def test_as_published_trains_on_all_training_samples_and_the_test_samples_choose(
    small_options: MakeOptions,
    three_splits: TinyData,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = small_options({"protocol": "as_published", "train.calibrate_sigma": True})
    with caplog.at_level(logging.INFO):
        trained, result = three_splits.train(options, tmp_path)
    assert "5 samples, 2 choose the epoch (protocol as_published)" in caplog.text
    assert "the test samples choose the epoch, so figures on them say too much" in caplog.text
    assert set(result.history["protocol"]) == {"as_published"}
    assert "2 TEST samples" in result.chosen_by
    # no sample is left by which sigma could be scaled
    assert not FitOptions.of(options).calibrate_sigma
    assert float(trained.model.head.sigma_scale) == 1.0


def test_honest_never_looks_at_a_test_sample(
    small_options: MakeOptions, three_splits: TinyData, tmp_path: Path
) -> None:
    options = small_options()
    whole = three_splits.train(options, tmp_path / "whole")
    without = replace(three_splits, splits=three_splits.splits.query("split != 'test'"))
    again = without.train(options, tmp_path / "without")
    assert whole[1].history.equals(again[1].history)
    assert set(whole[1].history["protocol"]) == {"honest"}


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["honest", "as_published"])
def test_every_output_says_which_protocol_it_was(
    protocol: str,
    small_params: MakeParams,
    three_splits: TinyData,
    project: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    params = small_params({"protocol": protocol, "train.tracking": True, "num_epochs": 2})
    with caplog.at_level(logging.INFO):
        run_train(params, three_splits, project)
    run_evaluate(params, three_splits, project)
    reports = project / "reports"
    assert f"(protocol {protocol})" in caplog.text
    assert [tags["protocol"] for tags in tags_of_runs(project)] == [protocol]
    metrics = json.loads((reports / "metrics.json").read_text())
    assert metrics["protocol"] == protocol
    for name in ("training.csv", "predictions.csv"):
        assert set(pd.read_csv(reports / name)["protocol"]) == {protocol}
    page = (reports / "index.html").read_text()
    assert f"Protocol: <code>{protocol}</code>" in page
    is_published = protocol == "as_published"
    assert ("The test performances chose the epoch." in page) == is_published
    assert not (is_published and "never saw" in page)
    assert ("best_rl2_x100" in metrics) == is_published
    if is_published:  # each figure of its own best epoch
        history = pd.read_csv(reports / "training.csv")
        assert metrics["best_rl2_x100"] == history["val_rl2_x100"].min()
        assert metrics["best_rl2_x100_epoch"] == history["val_rl2_x100"].idxmin()
        assert metrics["num_train"] == 5


def test_what_a_model_has_seen_depends_on_the_protocol(three_splits: TinyData) -> None:
    honest = seen_with(None, three_splits.splits, performances_of="x", protocol="honest")
    published = seen_with(None, three_splits.splits, performances_of="x", protocol="as_published")
    assert isinstance(honest, Seen)
    assert isinstance(published, Seen)
    assert set(published.sample_ids) - set(honest.sample_ids) == {"v1", "v2"}
