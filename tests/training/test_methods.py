"""Whole trainings of the methods that predict no single Gaussian, and of necks and averages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny_training import MakeOptions, TinyData

from dae_aqa.errors import ModelError, ScoringError
from dae_aqa.inference.predict import exemplar_features
from dae_aqa.inference.samples import select_samples
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.models.exemplars import ExemplarHead
from dae_aqa.models.heads.core import TreeHead
from dae_aqa.models.heads.usdl import ScoreBinsHead
from dae_aqa.models.neck import AttentionNeck, positions
from dae_aqa.training.averaging import WeightAverage
from dae_aqa.training.loop import FitResult

NEW = ("usdl", "musdl", "core", "dae_core")
Trained = tuple[TrainedModel, FitResult]
VARIANTS: list[dict[str, Any]] = [
    *({"model": name} for name in NEW),
    {"model": "core", "train.exemplars.pairs": "released", "train.exemplars.by": "action_class"},
    {"model": "dae_core", "train.average_weights": 0.9, "train.neck": "attention"},
    {"model": "dae_core", "train.finetune": "head", "train.neck": "attention"},
    {"model": "dae_mt", "train.average_weights": 0.9, "train.average_mirrored": True},
    {"model": "dae_mt", "train.average_mirrored": True, "train.finetune": "head"},
    {"model": "core", "train.precision": "bf16"},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_a_training_that_was_killed_ends_with_the_same_bits(
    changes: dict[str, Any], small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path
) -> None:
    def interrupt(epoch: int, figures: dict[str, float]) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    options = small_options(changes)
    whole = tiny_data.train(options, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        tiny_data.train(options, tmp_path / "killed", on_epoch=interrupt)
    resumed = tiny_data.train(options, tmp_path / "killed")
    states = [trained.model.state_dict() for trained, _ in (whole, resumed)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert np.isfinite(whole[1].history["val_nll"]).all()
    # and so does its file
    for name, (trained, _) in (("whole", whole), ("killed", resumed)):
        trained.save(tmp_path / name / "model.pt")
    contents = [(tmp_path / name / "model.pt").read_bytes() for name in ("whole", "killed")]
    assert contents[0] == contents[1]


def test_bins_and_decoding_are_those_of_the_parameters(
    small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path
) -> None:
    bins = {"num": 11, "low": 0.0, "high": 100.0, "std": 2.0}
    changes = {f"train.bins.{name}": value for name, value in bins.items()}
    options = small_options({"model": "usdl", "train.decoding": "published", **changes})
    head = tiny_data.train(options, tmp_path)[0].model.head
    assert isinstance(head, ScoreBinsHead)
    assert head.bins.model_dump() == bins
    assert head.decoding == "published"


@pytest.mark.parametrize("by", ["difficulty", "action_class", "any"])
def test_exemplars_are_the_training_samples_as_the_kept_backbone_sees_them(
    by: str, small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path
) -> None:
    options = small_options(
        {"model": "core", "train.exemplars.by": by, "train.exemplars.num_voters": 3}
    )
    trained, _ = tiny_data.train(options, tmp_path)
    head = trained.model.head
    assert isinstance(head, TreeHead)
    assert head.exemplars.sample_ids == ["t0", "t1", "t2", "t3"]  # no v0 … v2
    assert (head.exemplars.by, head.exemplars.num_voters) == (by, 3)
    feed = trained.feed(
        head.exemplars.sample_ids, frames_dir=tiny_data.frames_dir, num_workers=0, cache=False
    )
    found = exemplar_features(trained.model, feed, num_samples=4, batch_size=2, precision="fp32")
    torch.testing.assert_close(head.features, found, rtol=1e-5, atol=1e-6)


def test_an_exemplar_that_is_tested_is_named(
    small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path
) -> None:
    trained, _ = tiny_data.train(small_options({"model": "core"}), tmp_path)
    assert isinstance(trained.model.head, ExemplarHead)
    tested = tiny_data.splits.replace({"split": {"train": "test"}})
    samples = select_samples(
        tiny_data.annotations, tested, split=("test",), scoring_rule=None, with_judges=False
    )
    with pytest.raises(ModelError, match=r"4 test sample\(s\) are exemplars .*: t0, t1, t2, t3"):
        trained.check_exemplars(samples)
    other = tiny_data.splits.replace({"split": {"val": "test"}})
    trained.check_exemplars(
        select_samples(
            tiny_data.annotations, other, split=("test",), scoring_rule=None, with_judges=False
        )
    )


def test_musdl_without_marks_stops_before_the_first_epoch(
    small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path
) -> None:
    without = TinyData(
        tiny_data.annotations.assign(judge_scores=""), tiny_data.splits, tiny_data.frames_dir
    )
    with pytest.raises(ScoringError, match=r"sample 't0': 0 marks"):
        without.train(small_options({"model": "musdl"}), tmp_path)


def test_a_neck_that_attends_knows_the_order_of_clips() -> None:
    torch.manual_seed(0)
    neck = AttentionNeck(6).eval()
    features = torch.randn(2, 5, 6)
    with torch.no_grad():
        forwards, backwards = neck(features), neck(features.flip(1))
    assert forwards.shape == (2, neck.out_dim)
    torch.testing.assert_close(forwards[:, :6], backwards[:, :6])  # their mean
    assert (forwards[:, 6:] - backwards[:, 6:]).abs().max() > 1e-3


def test_a_mirrored_clip_scores_alike_and_training_sees_each_clip_once(
    small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path
) -> None:
    options = small_options({"model": "dae_mt", "train.average_mirrored": True})
    tiny_data.train(options, tmp_path)[0].save(tmp_path / "model.pt")
    model = TrainedModel.load(tmp_path / "model.pt").model
    clips = torch.randn(2, 1, 3, 16, 32, 32)
    seen: list[int] = []
    model.backbone.register_forward_hook(lambda module, inputs, output: seen.append(1))
    with torch.no_grad():
        plain, mirrored = model(clips), model(clips.flip(-1))
        assert len(seen) == 4
        one_way = model.backbone(clips.flatten(0, 1))
        model.train()(clips)
    assert len(seen) == 6
    torch.testing.assert_close(plain.values, mirrored.values)
    assert not torch.allclose(one_way, model.eval().features(clips)[:, 0])


def test_positions_are_sines_and_cosines() -> None:
    found = positions(3, 4).numpy()
    expected = [[np.sin(p), np.cos(p), np.sin(p / 100), np.cos(p / 100)] for p in range(3)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_averaged_weights_by_hand() -> None:
    """Steps to 1, 2 and 3 with decays of 1/10, 2/11 and then 1/4, the least of 0.25 and 3/12."""
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    average = WeightAverage(module, decay=0.25)
    expected = 0.0
    for value, decay in ((1.0, 1 / 10), (2.0, 2 / 11), (3.0, 3 / 12)):
        torch.nn.init.constant_(module.weight, value)
        average.update()
        expected = decay * expected + (1 - decay) * value
    with average.in_place():
        assert module.weight.item() == pytest.approx(expected)
    assert module.weight.item() == 3.0
