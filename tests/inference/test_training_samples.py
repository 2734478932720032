"""Samples that cannot be learned from are named where training and evaluation take them."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from tests.tiny_training import MakeOptions, TinyData

from dae_aqa.errors import DaeAqaError, ModelError, SplitError
from dae_aqa.inference import features as features_module
from dae_aqa.inference.feeds import FeatureFeed
from dae_aqa.inference.samples import select_samples

SEVEN = "8;8;8;8;8;8;8"


def tables(**changed: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three dives, with `changed` cells in that of the second."""
    annotations = pd.DataFrame(
        {
            "sample_id": ["one", "two", "three"],
            "final_score": [72.0, 72.0, 72.0],
            "difficulty": [3.0, 3.0, 3.0],
            "judge_scores": [SEVEN, SEVEN, SEVEN],
            "action_class": "",
        }
    )
    for column, value in changed.items():
        annotations.loc[1, column] = value
    return annotations, pd.DataFrame({"sample_id": ["one", "two", "three"], "split": "test"})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"final_score": float("nan")}, r"sample 'two': final_score must be a finite number"),
        ({"final_score": float("inf")}, r"sample 'two': final_score must be a finite number"),
        ({"difficulty": 0.0}, r"sample 'two': difficulty must be > 0, got 0\.0"),
        ({"difficulty": float("nan")}, r"sample 'two': difficulty must be > 0, got nan"),
        ({"judge_scores": "8;8;8;8;8"}, r"sample 'two': 5 marks, expected 7"),
        ({"judge_scores": ""}, r"sample 'two': 0 marks, expected 7"),
    ],
)
def test_bad_samples_are_named(changed: dict[str, object], message: str):
    annotations, splits = tables(**changed)
    with pytest.raises(DaeAqaError, match=message):
        select_samples(
            annotations, splits, split=("test",), scoring_rule="diving", with_judges=True
        )


def test_samples_that_are_not_there_are_named():
    annotations, splits = tables()
    with pytest.raises(SplitError, match="no sample in 'val'"):
        select_samples(annotations, splits, split=("val",), scoring_rule=None, with_judges=False)
    with pytest.raises(SplitError, match="no annotation: three"):
        select_samples(
            annotations[:2], splits, split=("test",), scoring_rule=None, with_judges=False
        )


@pytest.mark.usefixtures("own_torch_settings")
def test_features_that_are_not_finite_name_their_sample_and_are_not_kept(
    small_options: MakeOptions, tiny_data: TinyData, tmp_path, monkeypatch
):
    compute = features_module._compute

    def damaged(*arguments, **options) -> torch.Tensor:
        features = compute(*arguments, **options)
        features[2, 0, 5] = float("nan")
        return features

    monkeypatch.setattr(features_module, "_compute", damaged)
    with pytest.raises(ModelError, match=r"sample 't2': its features hold NaN"):
        tiny_data.train(small_options({"train.finetune": "head"}), tmp_path)
    assert list((tmp_path / "features").iterdir()) == []


def test_samples_carry_their_own_scores_in_the_order_of_the_split_table():
    annotations, _ = tables(final_score=51.0, difficulty=1.5)
    splits = pd.DataFrame({"sample_id": ["two", "three", "one"], "split": ["val", "test", "val"]})
    known = select_samples(
        annotations, splits, split=("val",), scoring_rule="diving", with_judges=True
    )
    assert known.sample_ids == ["two", "one"]
    assert known.targets.final_score.tolist() == [51.0, 72.0]
    assert known.targets.difficulty.tolist() == [1.5, 3.0]
    assert known.targets.execution_score.tolist() == [34.0, 24.0]
    assert known.targets.judge_scores is not None
    assert known.targets.judge_scores.tolist() == [[8.0] * 7] * 2


def test_a_head_is_fed_the_mean_of_a_samples_clips():
    features = torch.tensor([[[1.0, 2.0], [3.0, 6.0]], [[5.0, 5.0], [0.0, 1.0]]])
    feed = FeatureFeed(features, device=torch.device("cpu"))
    batches = list(feed.batches([[1], [0, 1]], epoch=4))
    assert [indices.tolist() for indices, _ in batches] == [[1], [0, 1]]
    assert [inputs.tolist() for _, inputs in batches] == [
        [[[2.5, 3.0]]],
        [[[2.0, 4.0]], [[2.5, 3.0]]],
    ]
