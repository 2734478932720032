"""`usdl`: a distribution over bins of the final score.

Source: Tang et al., "Uncertainty-aware score distribution learning for action quality assessment"
(CVPR 2020, arXiv 2006.07665), and its released code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dae_aqa.models.bins import BinsMlp, centres, divergence, soft_labels, width
from dae_aqa.models.heads.base import (
    Head,
    HeadOutput,
    checked_difficulty,
    exact,
    from_mixture,
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
        """There is no scale to set: the bins are known."""

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
        dd = checked_difficulty(difficulty).to(probability)
        points = centres(self.bins) / dd[:, None]  # of the execution score, (N, B)
        sigmas = (width(self.bins) / math.sqrt(12) / dd)[:, None]  # of a uniform distribution
        mixture = torch.stack((probability, points, sigmas.expand_as(points)), dim=1)
        answer = None
        if self.decoding == "published":
            answer = points.gather(1, probability.argmax(dim=1, keepdim=True)).squeeze(1)
        return from_mixture(mixture, dd, sigma_scale=self.sigma_scale.cpu(), answer=answer)


def build_head(feature_dim: int, spec: ModelSpec) -> Head:
    """Return the head for features of length `feature_dim`."""
    assert spec.bins is not None  # by the rules of ModelSpec
    net = BinsMlp(feature_dim, num_bins=spec.bins.num, dropout=spec.dropout)
    return ScoreBinsHead(net, bins=spec.bins, decoding=spec.decoding)
