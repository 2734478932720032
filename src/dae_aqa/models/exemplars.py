"""Comparing a performance with exemplars, training samples whose scores are known.

`core` and `dae_core` share this. The features of the exemplars are computed once, by the very
backbone that the model ends with, and lie in its buffers: scoring needs no training data, and one
pass through the backbone.

Source: Yu et al., "Group-aware contrastive regression for action quality assessment" (CoRe, ICCV
2021, arXiv 2108.07797), and its released code.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dae_aqa.errors import ModelError
from dae_aqa.models.heads.base import Head, HeadOutput, checked_difficulty, from_mixture, full
from dae_aqa.models.options import Exemplars, LossOptions
from dae_aqa.models.targets import ScorePrediction, Targets, check_features

_SAME_DIFFICULTY = 1e-4  # difficulties have one decimal, and are kept as float32


class ExemplarHead(Head):
    """Base of the heads that predict by how much a performance differs from an exemplar.

    Attributes:
        features: of the exemplars (E, D).
        scores: their execution scores (E,), in points.
        difficulty: their degrees of difficulty (E,).
        action_class: their `targets.class_codes` (E,).
    """

    features: Tensor
    scores: Tensor
    difficulty: Tensor
    action_class: Tensor

    def __init__(self, feature_dim: int, *, exemplars: Exemplars, dropout: float) -> None:
        super().__init__()
        self.exemplars = exemplars
        self.dropout = dropout
        num = len(exemplars.sample_ids)
        self.register_buffer("features", torch.zeros(num, feature_dim))
        self.register_buffer("scores", torch.zeros(num))
        self.register_buffer("difficulty", torch.ones(num))
        self.register_buffer("action_class", torch.zeros(num, dtype=torch.int64))

    @abstractmethod
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
        """Return the mean loss of P pairs.

        Args:
            query: features (P, D).
            exemplar: features (P, D).
            score: execution scores of the queries (P,), in points.
            of_exemplar: those of the exemplars (P,).
            options: the loss of a Gaussian, for heads that predict one.
            warmup: train the means alone, for the same.
        """

    @abstractmethod
    def votes(
        self, query: Tensor, exemplar: Tensor, scores: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return what P pairs say of the query's execution score, float64, on the CPU.

        Args:
            query: features (P, D).
            exemplar: features (P, D).
            scores: execution scores of the exemplars (P,), in points.

        Returns:
            Weight, mean and sigma (P, 3, C) of the components of each pair's vote, and the answer
            that each gives (P,), None where it is the mean.
        """

    def forward(self, features: Tensor) -> HeadOutput:
        """Return the features (N, D) themselves: they are compared when it is known with what."""
        return HeadOutput(F.dropout(full(features), self.dropout, training=self.training))

    def fit_to(self, targets: Targets, *, standardize: bool) -> None:
        """Take over what is known of the exemplars: all training samples, in their order.

        Raises:
            ModelError: they have not what is needed to find one for a performance.
        """
        del standardize
        self.scores.copy_(targets.execution_score)
        self.difficulty.copy_(targets.difficulty)
        if targets.action_class is not None:
            self.action_class.copy_(targets.action_class)
        by = self.exemplars.by
        if by != "any" and len(getattr(self, by).unique()) == 1:
            what = "difficulty" if by == "difficulty" else "action class"
            raise ModelError(
                f"train.exemplars.by: {by}, but all {len(self.scores)} training samples have the "
                f"same {what}, or the dataset knows none; set train.exemplars.by to any."
            )

    def hold(self, features: Tensor) -> None:
        """Keep the features (E, D) of the exemplars.

        Raises:
            ModelError: some are not finite; the exemplars are named.
        """
        check_features(features, sample_ids=self.exemplars.sample_ids)
        self.features.copy_(features)

    def loss(
        self, output: HeadOutput, targets: Targets, *, options: LossOptions, warmup: bool
    ) -> Tensor:
        """Return the mean loss over the pairs of the batch.

        As released, the second half of the batch are the exemplars of the first, and each pair is
        looked at both ways.
        """
        query, exemplar = self.pairs(targets)
        features, scores = output.values, targets.execution_score
        return self.pair_loss(
            features[query],
            features[exemplar],
            score=scores[query],
            of_exemplar=scores[exemplar],
            options=options,
            warmup=warmup,
        )

    def pairs(self, targets: Targets) -> tuple[Tensor, Tensor]:
        """Return the rows of queries and of their exemplars in a batch, (P,) each.

        All ordered pairs, whether or not they are alike: of sixteen samples few are, and a
        difference in score teaches something between any two. A sample that is alone is paired with
        itself. As released, the first half of the batch is paired with the second, both ways.
        """
        num = len(targets.difficulty)
        rows = torch.arange(num, device=targets.difficulty.device)
        if self.exemplars.pairs == "released" and num > 1:
            first, second = rows[: num // 2], rows[num // 2 :]
            return torch.cat((first, second)), torch.cat((second, first))
        different = rows[:, None] != rows[None, :]
        query, exemplar = (different if num > 1 else ~different).nonzero(as_tuple=True)
        return query, exemplar

    def partners(self, rows: Sequence[int], *, rng: np.random.Generator) -> list[int]:
        """Return for each training sample another that is alike, at random; itself if none is."""
        alike = self.alike(self.difficulty[rows], action_class=self.action_class[rows])
        alike[range(len(rows)), rows] = False
        found = (others.nonzero()[:, 0].tolist() for others in alike)
        return [
            int(rng.choice(others)) if others else row
            for row, others in zip(rows, found, strict=True)
        ]

    def predict(
        self, output: HeadOutput, difficulty: Tensor, *, action_class: Tensor | None = None
    ) -> ScorePrediction:
        """Return the mixture of what the voters say; their answers' mean as published."""
        voters, weights = self.voters(difficulty, action_class=action_class)  # (N, V)
        num, num_voters = voters.shape
        rows = voters.flatten()
        components, answers = self.votes(
            full(output.values).repeat_interleave(num_voters, dim=0),
            self.features[rows],
            self.scores[rows],
        )
        components = components.view(num, num_voters, 3, -1)
        weights = weights.cpu().double()
        weighted = components[:, :, 0] * weights[..., None]
        mixture = torch.stack((weighted, components[:, :, 1], components[:, :, 2]), dim=1)
        return from_mixture(
            mixture.flatten(2),  # (N, 3, V * C)
            difficulty.cpu(),
            sigma_scale=self.sigma_scale.cpu(),
            answer=None if answers is None else (answers.view(num, -1) * weights).sum(dim=1),
        )

    def voters(
        self, difficulty: Tensor, *, action_class: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the exemplars that vote on N performances (N, V), and their weights, of sum 1.

        Of those that are alike, `num_voters` are taken evenly over the order of their scores, the
        same ones every time. Where fewer are alike, these alone vote. Where none is, those vote
        whose difficulty is nearest. What is missing to V has weight 0.
        """
        checked_difficulty(difficulty)
        alike = self.alike(difficulty, action_class=action_class)
        rows = [
            self._voters_of(dd, candidates=candidates)
            for dd, candidates in zip(difficulty.tolist(), alike, strict=True)
        ]
        num_voters = min(self.exemplars.num_voters, len(self.scores))
        index = torch.zeros(len(rows), num_voters, dtype=torch.int64)
        weight = torch.zeros(len(rows), num_voters)
        for row, chosen in enumerate(rows):
            index[row, : len(chosen)] = chosen
            weight[row, : len(chosen)] = 1 / len(chosen)
        return index.to(self.scores.device), weight.to(self.scores.device)

    def alike(self, difficulty: Tensor, *, action_class: Tensor | None = None) -> Tensor:
        """Return which exemplars have in common with N performances what they should, (N, E).

        Args:
            difficulty: degrees of difficulty of the performances (N,).
            action_class: their `targets.class_codes` (N,), where exemplars are chosen by these.

        Raises:
            ModelError: exemplars are chosen by class, and the classes are not known.
        """
        if self.exemplars.by == "difficulty":
            distance = difficulty.cpu()[:, None] - self.difficulty.cpu()
            return distance.abs() < _SAME_DIFFICULTY
        if self.exemplars.by == "any":
            return torch.ones(len(difficulty), len(self.scores), dtype=torch.bool)
        if action_class is None:
            raise ModelError(
                "this model compares performances of one action class "
                "(train.exemplars.by: action_class), but the class is not known."
            )
        return action_class.cpu()[:, None] == self.action_class.cpu()

    def _voters_of(self, difficulty: float, *, candidates: Tensor) -> Tensor:
        """Return the rows of those who vote, at most V, of the exemplars in a mask (E,)."""
        if not bool(candidates.any()):
            distance = (self.difficulty.cpu() - difficulty).abs()
            candidates = distance <= distance.min() + _SAME_DIFFICULTY
        chosen = candidates.nonzero()[:, 0]
        ordered = chosen[self.scores.cpu()[chosen].argsort(stable=True)]
        num = min(self.exemplars.num_voters, len(ordered))
        places = torch.linspace(0, len(ordered) - 1, num, dtype=torch.float64).round().long()
        return ordered[places]
