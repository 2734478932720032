"""`usdl`: a distribution over bins of the final score.

Source: Tang et al., "Uncertainty-aware score distribution learning for action quality assessment"
(CVPR 2020, arXiv 2006.07665), and its released code.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from dae_aqa.models.bins import BinsMlp, centres, divergence, soft_labels, width
from dae_aqa.models.heads.base import (
    Head,
    HeadOutput,
    checked_difficulty,
    exact,
    from_mixture,
    mean_and_spread,
)
from dae_aqa.models.options import Bins, Decoding, LossOptions, ModelSpec
from dae_aqa.models.targets import ScorePrediction, Targets


class ScoreBinsHead(Head):
    """It learns soft labels of final scores and needs no difficulty to forecast them."""

    needs_difficulty = False

    def __init__(self, net: BinsMlp, *, bins: Bins, decoding: Decoding) -> None:
        super().__init__()
        self.net = net
        self.bins = bins
        self.decoding = decoding

    def forward(self, features: Tensor) -> HeadOutput:
        """Return logits (N, B) of sample features (N, D)."""
        return HeadOutput(self.net(features))

    def fit_to(self, targets: Targets, *, standardize: bool) -> None:
        """Check that there is something to learn; the bins are known."""
        if standardize:
            mean_and_spread(targets.final_score)

    def loss(
        self, output: HeadOutput, targets: Targets, *, options: LossOptions, warmup: bool
    ) -> Tensor:
        """Return the divergence from the soft labels; `options` concern Gaussian heads alone."""
        del options, warmup
        return divergence(output.values, soft_labels(targets.final_score, self.bins))

    def predict(
        self, output: HeadOutput, difficulty: Tensor, *, action_class: Tensor | None = None
    ) -> ScorePrediction:
        """Return the distribution: a Gaussian per bin with the variance of a score that is uniform.

        As published, the answer is the centre of the most probable bin.
        """
        del action_class
        probability = torch.softmax(exact(output).values, dim=1)  # (N, B)
        points = centres(self.bins)
        dd = checked_difficulty(difficulty).to(probability)
        answer = points[probability.argmax(dim=1)] if self.decoding == "published" else None
        sigma = width(self.bins) / math.sqrt(12)  # of a uniform distribution
        means, sigmas = points.expand_as(probability), torch.full_like(probability, sigma)
        final = from_mixture(
            torch.stack((probability, means, sigmas), dim=1),
            torch.ones_like(dd),
            sigma_scale=self.sigma_scale.cpu(),
            answer=answer,
        )
        assert final.mixture_execution is not None
        weights, means, sigmas = final.mixture_execution.unbind(dim=1)
        return replace(
            final,
            mu_execution=final.mu / dd,
            sigma_execution=final.sigma / dd,
            mixture_execution=torch.stack(
                (weights, means / dd[:, None], sigmas / dd[:, None]), dim=1
            ),
        )


def build_head(feature_dim: int, spec: ModelSpec) -> Head:
    """Return the head for features of length `feature_dim`."""
    assert spec.bins is not None  # by the rules of ModelSpec
    net = BinsMlp(feature_dim, num_bins=spec.bins.num, dropout=spec.dropout)
    return ScoreBinsHead(net, bins=spec.bins, decoding=spec.decoding)
