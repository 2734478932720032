"""USDL, MUSDL and CoRe against what their published code computes, from given features and weights.

The values lie in `../shared/golden/methods.npz`; its weights come from the script beside it.
"""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dae_aqa.datasets.safe_pickle import load_plain_pickle
from dae_aqa.errors import ModelError
from dae_aqa.models import bins
from dae_aqa.models.heads import core
from dae_aqa.models.options import Bins
from dae_aqa.models.published import published_net
from dae_aqa.scoring import diving

THETA = 30.0  # of execution scores, in CoRe's configuration
SCORES = {"low": 0.0, "high": 104.5, "num": 101}
MARKS = {"low": 0.0, "high": 10.0, "num": 21}


@pytest.fixture(scope="module")
def methods(shared_dir: Path) -> dict[str, np.ndarray]:
    """What the published code computes."""
    with np.load(shared_dir / "golden/methods.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def training_dives(shared_dir: Path) -> list[dict[str, Any]]:
    """The annotations of MTL-AQA's official training split."""
    folder = shared_dir / "annotations/mtl-aqa"
    known: Any = load_plain_pickle(folder / "final_annotations_dict_with_dive_number.pkl")
    split: Any = load_plain_pickle(folder / "Ready_2_Use/MTL-AQA_split_0_data/train_split_0.pkl")
    return [known[tuple(key)] for key in split]


def net(golden: ModuleType, method: str, keys: str) -> nn.Module:
    state = golden.fill(golden.load_spec(keys), 0)
    return published_net(method, {key: torch.from_numpy(value) for key, value in state.items()})


def tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values))


def close(found: Tensor | float, expected: np.ndarray) -> None:
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("std", [2, 5])
def test_soft_labels_of_scores_and_marks(methods: dict[str, np.ndarray], std: int) -> None:
    scores = bins.soft_labels(tensor(methods["final_score"]), Bins(**SCORES, std=std))
    close(scores, methods[f"usdl_target_std{std}"])
    marks = bins.soft_labels(tensor(methods["judge_scores"]), Bins(**MARKS, std=std))
    close(marks, methods[f"musdl_target_std{std}"])


def test_soft_labels_of_jigsaws(methods: dict[str, np.ndarray], shared_dir: Path) -> None:
    ratings: Any = load_plain_pickle(shared_dir / "annotations/jigsaws/label.pkl")
    elements = torch.tensor([ratings[str(trial)] for trial in methods["jigsaws_trials"]])
    total = bins.soft_labels(elements.sum(dim=1), Bins(low=6, high=30, num=25, std=1))
    close(total, methods["jigsaws_usdl_target_std1"])
    each = bins.soft_labels(elements, Bins(low=1, high=5, num=5, std=1))
    close(each, methods["jigsaws_musdl_target_std1"])


@torch.no_grad()
def test_usdl(methods: dict[str, np.ndarray], golden: ModuleType) -> None:
    logits = net(golden, "usdl", "usdl")(tensor(methods["features"]))
    close(logits.softmax(dim=1), methods["usdl_probs"])
    scale = Bins(**SCORES, std=5)
    labels = bins.soft_labels(tensor(methods["final_score"]), scale)
    close(bins.divergence(logits, labels), methods["usdl_loss_std5"])
    close(bins.centres(scale)[logits.argmax(dim=1)], methods["usdl_score"])


@torch.no_grad()
def test_musdl(methods: dict[str, np.ndarray], golden: ModuleType) -> None:
    judges = net(golden, "musdl", "musdl")
    assert isinstance(judges, nn.ModuleList)
    logits = torch.stack([judge(tensor(methods["features"])) for judge in judges], dim=1)
    close(logits.softmax(dim=2), methods["musdl_probs"])
    scale = Bins(**MARKS, std=5)
    labels = bins.soft_labels(tensor(methods["judge_scores"]), scale)
    close(7 * bins.divergence(logits, labels), methods["musdl_loss_std5"])
    marks = bins.centres(scale)[logits.argmax(dim=2)]
    close(diving(marks) * tensor(methods["difficulty"]), methods["musdl_score"])


def test_leaves_of_core_from_all_training_pairs(
    methods: dict[str, np.ndarray], training_dives: list[dict[str, Any]]
) -> None:
    by_difficulty: dict[float, list[float]] = {}
    for dive in training_dives:
        difficulty = float(dive["difficulty"])
        by_difficulty.setdefault(difficulty, []).append(float(dive["final_score"]) / difficulty)
    differences = [
        abs(first - second)
        for scores in by_difficulty.values()
        for first, second in combinations(scores, 2)
    ]
    assert len(differences) == methods["core_num_pairs"]
    edges = core.leaf_edges(torch.tensor(differences, dtype=torch.float64), theta=THETA)
    close(torch.stack((edges[:-1], edges[1:]), dim=1), methods["core_leaf_edges"])


@torch.no_grad()
def test_core(
    methods: dict[str, np.ndarray],
    golden: ModuleType,
    training_dives: list[dict[str, Any]],
    shared_dir: Path,
) -> None:
    known: Any = load_plain_pickle(
        shared_dir / "annotations/mtl-aqa/final_annotations_dict_with_dive_number.pkl"
    )
    exemplars = [known[tuple(key)] for key in methods["core_exemplar_keys"].tolist()]
    other = torch.tensor([dive["final_score"] / dive["difficulty"] for dive in exemplars])
    own = tensor(methods["final_score"] / methods["difficulty"]).float()
    features, of_other = tensor(methods["features"]), tensor(methods["core_exemplar_features"])
    as_exemplar = torch.cat((features, of_other, own[:, None] / THETA), dim=1)
    as_query = torch.cat((of_other, features, other[:, None] / THETA), dim=1)
    log_prob, position = net(golden, "core", "core_tree")(torch.cat((as_exemplar, as_query)))
    close(log_prob, methods["core_leaf_log_probs"])
    close(position, methods["core_positions"])
    intervals = methods["core_leaf_edges"]
    edges = torch.from_numpy(np.append(intervals[:, 0], intervals[-1, 1]))
    loss = core.tree_loss(log_prob[:8], position[:8], other - own, edges) + core.tree_loss(
        log_prob[8:], position[8:], own - other, edges
    )
    close(loss, methods["core_loss"])
    best = log_prob[8:].argmax(dim=1, keepdim=True)
    relative = core.leaf_values(position[8:], edges).gather(1, best).squeeze(1)
    close(relative, methods["core_relative_score"])
    close((relative + other) * tensor(methods["difficulty"]), methods["core_score"])


def test_the_example_of_the_docs_runs(repo_root: Path) -> None:
    page = (repo_root / "docs/models.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    values: dict[str, Any] = {}
    exec(example, values)
    assert values["score"].shape == (8,)
    assert values["loss"].item() > 0


def test_weights_of_another_method_are_named(golden: ModuleType) -> None:
    state = {key: torch.from_numpy(v) for key, v in golden.fill(golden.load_spec("usdl")).items()}
    with pytest.raises(ModelError, match=r"lack first_layer\.0\.weight; they have evaluator"):
        published_net("core", state)
