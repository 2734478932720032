"""What an epoch does: its order, its chance, its figures, and what none of them may depend on."""

from __future__ import annotations

import dataclasses
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.packed_samples import draw_frames, write_pack
from tests.tiny_training import NUM_FRAMES, MakeOptions, TinyData
from tests.training.seen import Seen, names_in, watch
from torch import nn

HEAD: dict[str, Any] = {"train.finetune": "head", "train.clips.jitter_px": 0, "num_epochs": 2}


def orders(seen: Seen) -> list[list[str]]:
    """Return the names of the samples of each epoch of two batches."""
    batches = [names_in(one.clips, per_sample=2) for one in seen.train.passes]
    return [one + other for one, other in zip(batches[::2], batches[1::2], strict=True)]


def test_every_epoch_takes_each_sample_once_in_an_order_of_its_own(
    small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path
):
    changes = {"num_epochs": 6, "train.clips.color_jitter": 0.0}
    found = orders(watch(small_options(changes), tiny_data, tmp_path))
    assert [sorted(order) for order in found] == [["t0", "t1", "t2", "t3"]] * 6
    assert len({tuple(order) for order in found}) >= 4


def test_dropout_draws_anew_in_every_epoch(
    small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    dropout, masks = nn.functional.dropout, []

    def noting(values: torch.Tensor, p: float, training: bool) -> torch.Tensor:
        factors = dropout(torch.ones_like(values), p, training)
        if training:
            masks.append(factors)
        return values * factors

    monkeypatch.setattr(nn.functional, "dropout", noting)
    changes = {"train_batch_size": 4, "train.dropout": 0.5}
    tiny_data.train(small_options(HEAD | changes), tmp_path)
    assert [mask.shape for mask in masks] == [(4, 256)] * 4  # features and hidden layer, twice
    for one, other in combinations(masks, 2):
        assert not torch.equal(one, other)


def with_test_samples(data: TinyData, folder: Path, *, seed: int, num_samples: int) -> TinyData:
    """Return the tiny data with test samples, drawn with `seed`, above and below the others."""
    rng = np.random.default_rng(seed)
    names = [f"x{row}" for row in range(num_samples)]
    shutil.copytree(data.frames_dir, folder)
    for name in names:
        frames = draw_frames(name, num_frames=NUM_FRAMES, brightness=rng.random())
        write_pack(folder, name, frames)
    scores = {"final_score": rng.uniform(0, 900, num_samples), "difficulty": rng.uniform(1, 9)}
    rows = pd.DataFrame({"sample_id": names, "judge_scores": "", **scores})
    tests = pd.DataFrame({"sample_id": names, "split": "test", "part": ""})
    half = num_samples // 2
    return TinyData(
        pd.concat([rows[:half], data.annotations, rows[half:]], ignore_index=True),
        pd.concat([tests[:half], data.splits, tests[half:]], ignore_index=True),
        folder,
    )


@pytest.mark.parametrize("changes", [{"num_epochs": 2}, HEAD])
def test_test_samples_have_no_influence(
    small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path, changes: dict[str, Any]
):
    """Other scores, difficulties and frames of them, or none at all: the same bits are learned."""
    results = [tiny_data.train(small_options(changes), tmp_path / "none")]
    for seed, num_samples in ((1, 2), (2, 5)):
        data = with_test_samples(
            tiny_data, tmp_path / f"frames{seed}", seed=seed, num_samples=num_samples
        )
        results.append(data.train(small_options(changes), tmp_path / f"work{seed}"))
    for trained, result in results[1:]:
        pd.testing.assert_frame_equal(result.history, results[0][1].history, check_exact=True)
        for key, value in results[0][0].model.state_dict().items():
            assert torch.equal(trained.model.state_dict()[key], value), key


def brighter(data: TinyData, folder: Path) -> TinyData:
    """Return the same samples with other frames."""
    folder.mkdir()
    for row, name in enumerate(data.annotations["sample_id"]):
        write_pack(folder, name, draw_frames(name, num_frames=NUM_FRAMES, brightness=row / 7))
    return dataclasses.replace(data, frames_dir=folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},  # other weights of the backbone
        {"train.clips.starts": [0, 2]},
        {"train.clips.normalization": "imagenet"},
        {"train.precision": "bf16"},
        {"frames": "others"},
    ],
    ids=str,
)
def test_kept_features_are_taken_only_for_what_they_were_computed_from(
    small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path, changes: dict[str, Any]
):
    """With features of another training at hand, a training ends as it would without."""
    tiny_data.train(small_options(HEAD), tmp_path / "both")
    data = tiny_data
    if "frames" in changes:
        data, changes = brighter(tiny_data, tmp_path / "frames"), {}
    options = small_options(HEAD | changes)
    shutil.rmtree(tmp_path / "both/work")
    _, beside = data.train(options, tmp_path / "both")
    _, alone = data.train(options, tmp_path / "alone")
    pd.testing.assert_frame_equal(beside.history, alone.history, check_exact=True)
