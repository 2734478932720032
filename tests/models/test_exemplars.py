"""Comparing with exemplars: pairs, voters, leaves, losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.model_options import loss_options

from dae_aqa.errors import ModelError
from dae_aqa.models.build import load_model, save_model
from dae_aqa.models.exemplars import ExemplarHead
from dae_aqa.models.heads import core
from dae_aqa.models.heads.base import HeadOutput
from dae_aqa.models.heads.dae_core import GaussianPairHead
from dae_aqa.models.model import ScoreModel
from dae_aqa.models.options import Exemplars
from dae_aqa.models.targets import Targets

Build = Callable[..., ScoreModel]
EDGES = torch.tensor([-6.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0], dtype=torch.float64)


def exemplar_head(dives: Targets, **changes: object) -> GaussianPairHead:
    """A head of dae_core with two features and the six dives as exemplars."""
    options = {
        "by": "difficulty",
        "num_voters": 2,
        "pairs": "batch",
        "sample_ids": [f"dive-{row}" for row in range(6)],
        **changes,
    }
    head = GaussianPairHead(2, exemplars=Exemplars(**options), dropout=0.0)
    head.fit_to(dives, standardize=True)
    head.hold(torch.randn(6, 2))
    return head.eval()


@pytest.mark.parametrize(
    ("difference", "leaf", "position"),
    [
        (0.0, 3, 0.0),
        (0.5, 3, 0.5),
        (1.0, 4, 0.0),  # an edge belongs to the leaf further from 0
        (3.0, 5, 0.0),
        (6.0, 5, 1.0),
        (7.5, 5, 1.5),  # beyond theta: the outermost leaf
        (-0.5, 2, 0.5),
        (-1.0, 1, 1.0),
        (-3.0, 0, 1.0),
        (-6.0, 0, 0.0),
        (-7.5, 0, -0.5),
    ],
)
def test_leaves_of_differences_by_hand(difference: float, leaf: int, position: float) -> None:
    found, place = core.leaf_labels(torch.tensor([difference], dtype=torch.float64), EDGES)
    assert found.item() == leaf
    assert place.item() == pytest.approx(position)


def test_a_difference_within_leaves_without_width_has_one_with() -> None:
    edges = torch.tensor([-6.0, 0.0, 0.0, 0.0, 6.0], dtype=torch.float64)
    leaf, place = core.leaf_labels(torch.tensor([0.0, 3.0], dtype=torch.float64), edges)
    assert leaf.tolist() == [3, 3]
    assert place.tolist() == [0.0, 0.5]


def test_edges_are_quantiles_mirrored_about_zero() -> None:
    edges = core.leaf_edges(torch.arange(1.0, 9.0), theta=20.0, num_leaves=8)
    assert edges.tolist() == [-20, -6, -4, -2, 0, 2, 4, 6, 20]
    with pytest.raises(ModelError, match="no pair of training samples"):
        core.leaf_edges(torch.zeros(0), theta=20.0)


def test_the_loss_of_the_tree_has_the_gradient_of_finite_differences() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    position = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    differences = torch.tensor([0.0, 0.4, -2.0, 7.0, 0.9], dtype=torch.float64)

    def loss(logits: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        return core.tree_loss(logits.log_softmax(dim=1), position, differences, EDGES)

    assert torch.autograd.gradcheck(loss, (logits, position))


@pytest.mark.parametrize("name", ["core", "dae_core"])
def test_the_loss_of_pairs_has_the_gradient_of_finite_differences(
    name: str, small_model: Build, dives: Targets
) -> None:
    model = small_model(name).double()
    model.head.fit_to(dives, standardize=True)
    features = torch.randn(6, 256, dtype=torch.float64, requires_grad=True)
    targets = replace(dives, execution_score=dives.execution_score.double())
    options = loss_options("nll")

    def loss(values: torch.Tensor) -> torch.Tensor:
        return model.head.loss(HeadOutput(values), targets, options=options, warmup=False)

    value = loss(features)
    (gradient,) = torch.autograd.grad(value, features)
    rng = np.random.default_rng(0)
    for row, column in zip(rng.integers(6, size=8), rng.integers(256, size=8), strict=True):
        step = torch.zeros_like(features)
        step[row, column] = 1e-6
        difference = (loss(features + step) - loss(features - step)) / 2e-6
        assert gradient[row, column].item() == pytest.approx(difference.item(), rel=1e-4, abs=1e-7)


def test_all_samples_of_a_batch_are_paired(dives: Targets) -> None:
    head = exemplar_head(dives)
    query, exemplar = head.pairs(dives.take(torch.tensor([1, 2, 3])))
    found = list(zip(query.tolist(), exemplar.tolist(), strict=True))
    assert found == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    query, exemplar = head.pairs(dives.take(torch.tensor([1])))
    assert (query.tolist(), exemplar.tolist()) == ([0], [0])


def test_released_pairs_are_the_halves_of_a_batch_both_ways(dives: Targets) -> None:
    head = exemplar_head(dives, pairs="released")
    query, exemplar = head.pairs(dives.take(torch.tensor([0, 1, 4, 2])))
    assert query.tolist() == [0, 1, 2, 3]
    assert exemplar.tolist() == [2, 3, 0, 1]
    rng = np.random.default_rng(0)
    assert head.partners([0, 4, 3], rng=rng) == [4, 0, 3]  # the only one alike, and none


def test_voters_are_alike_or_nearest(dives: Targets) -> None:
    head = exemplar_head(dives)
    voters, weights = head.voters(torch.tensor([3.0, 3.2, 1.5]))
    assert sorted(voters[0].tolist()) == [0, 4]
    assert weights[0].tolist() == [0.5, 0.5]
    assert (voters[1, 0].item(), weights[1].tolist()) == (1, [1.0, 0.0])
    assert voters[2, 0].item() == 2  # none has 1.5; 2.8 is nearest
    assert head.alike(torch.tensor([3.0, 3.2, 1.5])).sum(dim=1).tolist() == [2, 1, 0]


def test_voters_spread_over_the_scores_and_are_the_same_every_time(dives: Targets) -> None:
    head = exemplar_head(dives, by="any", num_voters=3)
    order = dives.execution_score.argsort(stable=True)
    voters, _ = head.voters(torch.tensor([3.0]))
    assert voters[0].tolist() == order[[0, 2, 5]].tolist()  # 2.5 rounds to the even place
    again, _ = head.voters(torch.tensor([3.0]))
    assert torch.equal(voters, again)


def test_voters_who_disagree_widen_sigma(dives: Targets) -> None:
    head = exemplar_head(dives)
    output = HeadOutput(torch.zeros(1, 2))
    components, _ = head.votes(torch.zeros(2, 2), head.features[[0, 4]], head.scores[[0, 4]])
    with torch.no_grad():
        prediction = head.predict(output, torch.tensor([3.0]))
    means, sigmas = components[:, 1, 0].detach(), components[:, 2, 0].detach()
    variance = sigmas.square().mean() + means.var(unbiased=False)
    assert prediction.mu_execution.item() == pytest.approx(means.mean().item())
    assert prediction.sigma_execution.item() == pytest.approx(variance.sqrt().item())


def test_a_sport_without_difficulty_needs_other_exemplars(dives: Targets) -> None:
    same = replace(dives, difficulty=torch.ones(6))
    with pytest.raises(ModelError, match=r"by: difficulty, .* same difficulty.* to any"):
        exemplar_head(same)
    with pytest.raises(ModelError, match=r"by: action_class, .* same action class"):
        exemplar_head(dives, by="action_class")
    exemplar_head(same, by="any")


def test_action_classes_choose_the_voters(dives: Targets) -> None:
    classes = torch.tensor([7, 8, 7, 8, 8, 9])
    head = exemplar_head(replace(dives, action_class=classes), by="action_class", num_voters=5)
    voters, weights = head.voters(torch.tensor([3.0]), action_class=torch.tensor([8]))
    assert sorted(voters[0][weights[0] > 0].tolist()) == [1, 3, 4]
    with pytest.raises(ModelError, match="the class is not known"):
        head.voters(torch.tensor([3.0]))


@pytest.mark.parametrize("name", ["core", "dae_core"])
def test_a_file_scores_without_training_data_in_one_pass(
    name: str, small_model: Build, dives: Targets, tmp_path: Path
) -> None:
    model = small_model(name).eval()
    head = model.head
    assert isinstance(head, ExemplarHead)
    head.fit_to(dives, standardize=True)
    head.hold(torch.rand(6, 256))
    save_model(model, tmp_path / "model.pt", usage={})
    loaded, _ = load_model(tmp_path / "model.pt")
    passes: list[int] = []
    loaded.backbone.register_forward_hook(lambda *args: passes.append(len(args[1][0])))
    clips = torch.randn(2, 1, 3, 8, 32, 32)
    with torch.no_grad():
        first = loaded.predict(loaded(clips), torch.tensor([3.0, 3.3]))
        assert passes == [2]  # one clip each, and none for exemplars
        expected = model.predict(model(clips), torch.tensor([3.0, 3.3]))
        for _ in range(20):
            again = loaded.predict(loaded(clips), torch.tensor([3.0, 3.3]))
            assert torch.equal(again.mu, first.mu)
            assert torch.equal(again.sigma, first.sigma)
    assert torch.equal(first.mu, expected.mu)
    assert loaded.spec.exemplars == model.spec.exemplars


def test_a_component_stays_within_its_leaf(
    small_model: Build, dives: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A position that nothing taught may lie anywhere; the published answer takes it as it is."""
    head = small_model("core").head
    assert isinstance(head, core.TreeHead)
    head.fit_to(dives, standardize=True)
    chances = torch.full((1, 16), -20.0)
    chances[0, 12] = 0.0
    monkeypatch.setattr(head, "_tree", lambda *_: (chances, torch.full((1, 16), 5.0)))
    score = torch.tensor([20.0])
    components, answer = head.votes(torch.zeros(1, 256), torch.zeros(1, 256), score)
    differences = components[0, 1] - 20.0
    assert answer is None
    assert bool((differences >= head.edges[:-1] - 1e-9).all())
    assert bool((differences <= head.edges[1:] + 1e-9).all())
    head.decoding = "published"
    _, answer = head.votes(torch.zeros(1, 256), torch.zeros(1, 256), score)
    width = head.edges[13] - head.edges[12]
    expected = 20.0 + head.edges[12] + 5 * torch.where(width > 0, width, 1.0)
    assert answer is not None
    assert answer.item() == pytest.approx(expected.item())
