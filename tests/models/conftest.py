"""Weights and models that the model tests share."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from dae_aqa.models import ScoreModel, Targets, build_model, make_targets


@pytest.fixture(scope="session")
def golden(shared_dir: Path) -> ModuleType:
    """The script that makes the deterministic reference weights and inputs."""
    spec = importlib.util.spec_from_file_location("weights", shared_dir / "golden/weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def reference(shared_dir: Path) -> dict[str, np.ndarray]:
    """What the reference implementations compute with those weights."""
    with np.load(shared_dir / "golden/i3d_features.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="session")
def i3d_states(
    golden: ModuleType, reference: dict[str, np.ndarray]
) -> dict[str, dict[str, torch.Tensor]]:
    """State dicts under the published names, by layout."""
    seed = int(reference["seed"])
    return {
        layout: {
            key: torch.from_numpy(value)
            for key, value in golden.fill(golden.load_spec(f"i3d_{layout}"), seed).items()
        }
        for layout in ("inception", "model_rgb")
    }


@pytest.fixture
def dives() -> Targets:
    """Six dives with seven marks each."""
    rng = np.random.default_rng(0)
    marks = np.round(rng.normal(7.0, 1.0, (6, 7)) * 2) / 2
    difficulty = np.array([3.0, 3.2, 2.8, 3.6, 3.0, 3.4])
    final = np.sort(marks, axis=1)[:, 2:5].sum(axis=1) * difficulty
    return make_targets(
        final_score=final.tolist(),
        difficulty=difficulty.tolist(),
        judge_scores=marks.tolist(),
        scoring_rule="diving",
        sample_ids=[f"dive-{row}" for row in range(6)],
    )


@pytest.fixture
def small_model() -> Callable[[str], ScoreModel]:
    """Build a model by name on the small backbone, with fixed fresh weights."""

    def build(model: str) -> ScoreModel:
        torch.manual_seed(0)
        return build_model(
            model=model,
            backbone="small3d",
            backbone_weights=None,
            pretrained=False,
            scoring_rule="diving",
            num_judges=7,
            dropout=0.0,
        )

    return build
