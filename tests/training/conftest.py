"""A training so small that it runs in a second: seven packed samples of 48x40 px."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tests.packed_samples import HEIGHT, MARGIN, WIDTH
from tests.tiny_training import NUM_FRAMES, MakeParams, TinyData, make_tiny_data

from dae_aqa.options import parse_options
from dae_aqa.params import Params

SMALL = {
    "lr": 3e-3,
    "weight_decay": 0.0,
    "train_batch_size": 2,
    "test_batch_size": 2,
    "num_epochs": 4,
    "num_workers": 0,
    "temporal_aug": 2,
    "device": "cpu",
    "extract_frames.num_frames": NUM_FRAMES,
    "extract_frames.margin_frames": MARGIN,
    "extract_frames.width": WIDTH,
    "extract_frames.height": HEIGHT,
    "train.clips.starts": [0, 1],
    "train.clips.num_frames": 8,
    "train.clips.stride": 1,
    "train.clips.crop_px": 32,
    "train.clips.size_px": 32,
    "train.clips.jitter_px": 1,
    "train.dropout": 0.3,
    "train.loss.mse_warmup_fraction": 0.5,
    "train.warmup_epochs": 1,
    "train.num_threads": 1,
    "train.tracking": False,
}


@pytest.fixture(scope="session")
def small_params(repo_root: Path) -> MakeParams:
    """Return the shipped parameters made small, with further changes by dotted key."""
    shipped = yaml.safe_load((repo_root / "params.yaml").read_text())

    def make(changes: dict[str, Any] | None = None) -> Params:
        content = copy.deepcopy(shipped)
        for key, value in (SMALL | (changes or {})).items():
            *sections, name = key.split(".")
            target = content
            for section in sections:
                target = target[section]
            target[name] = value
        return parse_options(Params, content, source="params.yaml")

    return make


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> TinyData:
    return make_tiny_data(tmp_path_factory.mktemp("frames"))


@pytest.fixture(autouse=True)
def own_torch_settings() -> Iterator[None]:
    """A training sets torch's threads and determinism; other tests shall not feel it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
