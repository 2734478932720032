"""Whether a performance looks like training: distances by SciPy, percentiles, the threshold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from tests.tiny_training import MakeOptions, TinyData

from dae_aqa.errors import ModelError
from dae_aqa.inference.familiarity import UNLIKE_FACTOR, TrainingFeatures
from dae_aqa.inference.predict import clip_features


def test_distances_are_scipys() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 6)).astype(np.float32)
    known = TrainingFeatures(torch.from_numpy(values))
    between = cdist(values.astype(float), values.astype(float))
    np.fill_diagonal(between, np.inf)
    usual = np.sort(between.min(axis=1))
    np.testing.assert_allclose(known.usual.numpy(), usual, rtol=1e-6)
    assert known.threshold == pytest.approx(UNLIKE_FACTOR * np.quantile(usual, 0.99))
    clips = rng.normal(size=(5, 6)).astype(np.float32)
    expected = cdist(clips.mean(axis=0, keepdims=True), values).min()
    distance = known.distance(torch.from_numpy(clips))
    assert distance == pytest.approx(expected, rel=1e-5)
    assert known.percentile(distance) == pytest.approx(100 * (usual < expected).mean())
    assert known.percentile(0.0) == 0.0


def test_features_of_another_length_are_refused() -> None:
    known = TrainingFeatures(torch.eye(3))
    with pytest.raises(ModelError, match="features of length 3, got 4"):
        known.distance(torch.ones(2, 4))


@pytest.mark.parametrize(
    "values", [None, "abc", torch.ones(1, 4), torch.ones(4), torch.ones(2, 2, dtype=torch.int64)]
)
def test_damaged_features_are_refused(values: object) -> None:
    with pytest.raises(ModelError, match=r"m\.pt: its features of training samples are damaged"):
        TrainingFeatures.from_file(values, path=Path("m.pt"))


@pytest.mark.parametrize("finetune", ["all", "head"])
def test_a_trained_model_knows_what_it_was_trained_on(
    finetune: str, small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path
) -> None:
    options = small_options({"num_epochs": 1, "train.finetune": finetune})
    trained, _ = tiny_data.train(options, tmp_path)
    names = tiny_data.splits.query("split == 'train'")["sample_id"].tolist()
    feed = trained.feed(names, frames_dir=tiny_data.frames_dir, num_workers=0, cache=False)
    (features,) = (
        each
        for _, each in clip_features(
            trained.model, feed, [list(range(len(names)))], precision="fp32"
        )
    )
    assert trained.features is not None
    torch.testing.assert_close(trained.features.values, features.mean(dim=1), rtol=1e-4, atol=1e-5)
    trained.save(tmp_path / "model.pt")
