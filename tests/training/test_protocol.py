"""Which samples train and which choose the epoch, and that every table of a training says so."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from tests.tiny_training import MakeOptions, TinyData

from dae_aqa.inference.trained_model import Seen
from dae_aqa.training.leaks import seen_with
from dae_aqa.training.loop import FitOptions


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


def test_what_a_model_has_seen_depends_on_the_protocol(three_splits: TinyData) -> None:
    honest = seen_with(None, three_splits.splits, performances_of="x", protocol="honest")
    published = seen_with(None, three_splits.splits, performances_of="x", protocol="as_published")
    assert isinstance(honest, Seen)
    assert isinstance(published, Seen)
    assert set(published.sample_ids) - set(honest.sample_ids) == {"v1", "v2"}
