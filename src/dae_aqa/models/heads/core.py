"""`core`: how a performance differs from exemplars, by a tree with ranges of difference as leaves.

A pair's difference in execution score falls into one of 16 ranges, the leaves of a binary tree.
The network tells how probable each leaf is, and where within it the difference lies.

Source: Yu et al., "Group-aware contrastive regression for action quality assessment" (CoRe, ICCV
2021, arXiv 2108.07797), and its released code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dae_aqa.errors import ModelError
from dae_aqa.models.exemplars import ExemplarHead
from dae_aqa.models.heads.base import Head, full
from dae_aqa.models.options import Decoding, Exemplars, LossOptions, ModelSpec
from dae_aqa.models.targets import Targets

DEPTH = 5  # Source: the released configuration
NUM_LEAVES = 2 ** (DEPTH - 1)
HIDDEN_DIM = 256


class RegressionTree(nn.Module):
    """(2 D + 1) → 256, then a binary tree of linear layers; named as in the released code.

    Each node has 256 features of its own, from which two numbers choose between its children. The
    layers of all nodes of a level are one grouped convolution.
    """

    def __init__(self, pair_dim: int) -> None:
        super().__init__()
        width, levels = HIDDEN_DIM, [2**level for level in range(DEPTH - 1)]
        self.first_layer = nn.Sequential(nn.Linear(pair_dim, width), nn.ReLU(inplace=True))
        self.feature_layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(num * width, 2 * num * width, 1, groups=num), nn.ReLU(inplace=True)
            )
            for num in levels
        )
        self.clf_layers = nn.ModuleList(
            nn.Conv1d(num * width, 2 * num, 1, groups=num) for num in levels
        )
        self.reg_layer = nn.Conv1d(NUM_LEAVES * width, NUM_LEAVES, 1, groups=NUM_LEAVES)

    def forward(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities and positions of leaves, (P, 16) each, of pairs (P, 2 D + 1)."""
        x = self.first_layer(pairs)[..., None]  # (P, 256, 1)
        log_prob = torch.zeros(len(x), 1, 1, device=x.device)
        for choose, descend in zip(self.clf_layers, self.feature_layers, strict=True):
            children = full(choose(x)).view(len(x), -1, 2)
            log_prob = log_prob.reshape(len(x), -1, 1) + torch.log_softmax(children, dim=-1)
            x = descend(x)  # (P, nodes of the next level * 256, 1)
        return log_prob.flatten(1), full(self.reg_layer(x)).squeeze(-1)


def leaf_edges(differences: Tensor, *, theta: float, num_leaves: int = NUM_LEAVES) -> Tensor:
    """Return the edges (L + 1,) of the leaves, ascending and symmetric about 0, float64.

    Each half has the quantiles of the differences, so that leaves hold equally many pairs; the
    outermost edges are ± `theta`, and the middle one is 0.

    Args:
        differences: |difference| in score of the training pairs (P,), in points.
        theta: the greatest difference that there can be.
        num_leaves: number of leaves, even.

    Raises:
        ModelError: there is no pair.

    Source: the released code of CoRe, which takes the value at `int(share * (P - 1))`.
    """
    if len(differences) == 0:
        raise ModelError("core has no pair of training samples to compare. Add samples.")
    half = num_leaves // 2
    ordered = differences.double().sort().values
    places = [int(leaf / half * (len(ordered) - 1)) for leaf in range(1, half)]
    inner = ordered[torch.tensor(places, dtype=torch.int64)].clamp_max(theta)
    ends = torch.tensor([theta], dtype=torch.float64)
    upper = torch.cat((inner, ends))
    return torch.cat((-upper.flip(0), torch.zeros(1, dtype=torch.float64), upper))


def leaf_labels(differences: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """Return the leaf of each difference (P,), int64, and its position from 0 to 1 within (P,).

    A difference on an edge belongs to the leaf that is further from 0, as in the released code. One
    beyond the outermost edge belongs to the outermost leaf, at a position beyond 1 (or below 0):
    the released code would put it into the first leaf, the other end of the scale.

    Args:
        differences: in points (P,).
        edges: of the leaves (L + 1,), ascending.
    """
    num_leaves, edges = len(edges) - 1, edges.to(differences)
    is_negative = differences < 0
    upper = edges[num_leaves // 2 :].contiguous()
    # leaves without width, where many pairs differ by the same, hold nothing
    leaf = torch.searchsorted(upper, differences.abs().contiguous(), right=True) - 1
    leaf = leaf.clamp_max(num_leaves // 2 - 1)
    leaf = torch.where(is_negative, num_leaves // 2 - 1 - leaf, num_leaves // 2 + leaf)
    width = edges[leaf + 1] - edges[leaf]
    return leaf, (differences - edges[leaf]) / torch.where(width > 0, width, 1)


def tree_loss(log_prob: Tensor, position: Tensor, differences: Tensor, edges: Tensor) -> Tensor:
    """Return the loss of P pairs: that of the right leaf, and of the position within it.

    It is the mean negative log-probability of the right leaf, plus for each leaf the mean squared
    error of the position over the pairs that belong there.

    Args:
        log_prob: log-probabilities of the leaves (P, L).
        position: predicted positions (P, L).
        differences: true differences (P,), in points.
        edges: of the leaves (L + 1,).

    Source: the loss of the released code, of one direction of its pairs.
    """
    leaf, place = leaf_labels(differences, edges)
    squares = (position.gather(1, leaf[:, None]).squeeze(1) - place.to(position)).square()
    counts = squares.new_zeros(log_prob.shape[1]).index_add(0, leaf, torch.ones_like(squares))
    return F.nll_loss(log_prob, leaf) + (squares / counts[leaf]).sum()


def leaf_values(position: Tensor, edges: Tensor) -> Tensor:
    """Return the difference that each leaf stands for (P, L), in points, at positions (P, L)."""
    edges = edges.to(position)
    width = edges[1:] - edges[:-1]
    return edges[:-1] + torch.where(width > 0, width, 1) * position


class TreeHead(ExemplarHead):
    """It learns relative execution scores.

    Attributes:
        edges: of the leaves (L + 1,), float64, in points.
    """

    edges: Tensor

    def __init__(
        self, feature_dim: int, *, exemplars: Exemplars, decoding: Decoding, dropout: float
    ) -> None:
        super().__init__(feature_dim, exemplars=exemplars, dropout=dropout)
        self.net = RegressionTree(2 * feature_dim + 1)
        self.decoding = decoding
        self.register_buffer("edges", torch.zeros(NUM_LEAVES + 1, dtype=torch.float64))

    @property
    def theta(self) -> Tensor:
        """The greatest difference that there can be, in points: the outermost edge."""
        return self.edges[-1]

    def fit_to(self, targets: Targets, *, standardize: bool) -> None:
        """Set the leaves by the pairs that train: all, or as released those that are alike.

        Where none are alike, all pairs do. Theta is the range of the samples' scores.
        """
        super().fit_to(targets, standardize=standardize)
        score = targets.execution_score.double().cpu()
        pairs = torch.ones(len(score), len(score), dtype=torch.bool).triu(1)
        alike = pairs & self.alike(self.difficulty, action_class=self.action_class)
        if self.exemplars.pairs == "released" and bool(alike.any()):
            pairs = alike
        first, second = pairs.nonzero(as_tuple=True)
        theta = float(score.max() - score.min())
        if not theta > 0:
            raise ModelError(
                f"all {len(score)} training samples have the same execution score: core has "
                "nothing to compare. Add samples."
            )
        self.edges.copy_(leaf_edges((score[first] - score[second]).abs(), theta=theta))

    def pair_loss(
        self,
        query: Tensor,
        exemplar: Tensor,
        *,
        score: Tensor,
        of_exemplar: Tensor,
        options: LossOptions,
        warmup: bool,
    ) -> Tensor:
        """See `ExemplarHead.pair_loss`."""
        del options, warmup
        log_prob, position = self._tree(query, exemplar, of_exemplar)
        return tree_loss(log_prob, position, score - of_exemplar, self.edges)

    def votes(
        self, query: Tensor, exemplar: Tensor, scores: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return a component per leaf, as wide as a uniform distribution over the leaf would be.

        A component stays within its leaf: where a difference of that size is improbable, nothing
        has taught the network a position. As published, the answer is the most probable leaf's
        value, wherever its position lies.
        """
        log_prob, position = self._tree(query, exemplar, scores)
        log_prob, position = log_prob.cpu().double(), position.cpu().double()
        edges, score = self.edges.cpu(), scores.cpu().double()[:, None]
        means = score + edges[:-1] + position.clamp(0, 1) * (edges[1:] - edges[:-1])  # (P, L)
        width = (edges[1:] - edges[:-1]).clamp_min(1e-3 * float(self.theta))
        sigmas = (width / math.sqrt(12)).expand_as(means)
        probability = log_prob.exp()
        components = torch.stack((probability, means, sigmas), dim=1)
        if self.decoding == "mean":
            return components, None
        best = probability.argmax(dim=1, keepdim=True)
        return components, (score + leaf_values(position, edges)).gather(1, best).squeeze(1)

    def _tree(self, query: Tensor, exemplar: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        relative = (score / self.theta).to(query)[:, None]
        log_prob, position = self.net(torch.cat((exemplar, query, relative), dim=1))
        return log_prob, position


def build_head(feature_dim: int, spec: ModelSpec) -> Head:
    """Return the head for features of length `feature_dim`."""
    assert spec.exemplars is not None  # by the rules of ModelSpec
    return TreeHead(
        feature_dim, exemplars=spec.exemplars, decoding=spec.decoding, dropout=spec.dropout
    )
