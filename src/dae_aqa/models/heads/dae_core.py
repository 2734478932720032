"""`dae_core`: how a performance differs from exemplars, as a Gaussian; the voters make a mixture.

Zhang et al. (arXiv 2111.11029) report DAE in the place of CoRe's regression tree and say no more of
it; no code of theirs is published. This is the project's reading: the relative score of a pair is a
Gaussian, whose mean and variance a DAE head predicts from both features and the exemplar's score.
Each exemplar then votes with a Gaussian. Voters who disagree widen the mixture.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dae_aqa.models import losses
from dae_aqa.models.exemplars import ExemplarHead
from dae_aqa.models.heads.base import GaussianMlp, Head, HeadOutput, mean_and_spread
from dae_aqa.models.options import Exemplars, LossOptions, ModelSpec
from dae_aqa.models.targets import Targets


class GaussianPairHead(ExemplarHead):
    """It learns relative execution scores, in units of the spread of training scores.

    Attributes:
        target_mean: mean of the training samples' execution scores, in points; 0 where scores are
            not standardised.
        target_std: their standard deviation; 1 where not standardised.
    """

    target_mean: Tensor
    target_std: Tensor

    def __init__(self, feature_dim: int, *, exemplars: Exemplars, dropout: float) -> None:
        super().__init__(feature_dim, exemplars=exemplars, dropout=dropout)
        # features are dropped before they are compared
        self.net = GaussianMlp(2 * feature_dim + 1, num_means=1, num_variances=1, dropout=0.0)
        self.register_buffer("target_mean", torch.zeros(()))
        self.register_buffer("target_std", torch.ones(()))

    def fit_to(self, targets: Targets, *, standardize: bool) -> None:
        """Take over the exemplars, and set the scale."""
        super().fit_to(targets, standardize=standardize)
        if standardize:
            mean, std = mean_and_spread(targets.execution_score)
            self.target_mean.copy_(mean)
            self.target_std.copy_(std)

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
        gaussian = self._gaussian(query, exemplar, of_exemplar)
        target = ((score - of_exemplar) / self.target_std)[:, None]
        if warmup:
            return losses.mse(gaussian.values, target)
        assert gaussian.log_variance is not None
        return losses.gaussian_loss(gaussian.values, gaussian.log_variance, target, options=options)

    def votes(
        self, query: Tensor, exemplar: Tensor, scores: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return one component per pair."""
        gaussian = self._gaussian(query, exemplar, scores)
        assert gaussian.log_variance is not None
        log_variance = losses.bounded_log_variance(gaussian.log_variance.cpu().double())
        std = self.target_std.cpu().double()
        mean = scores.cpu().double()[:, None] + std * gaussian.values.cpu().double()  # (P, 1)
        sigma = std * torch.exp(0.5 * log_variance)
        return torch.stack((torch.ones_like(mean), mean, sigma), dim=1), None

    def _gaussian(self, query: Tensor, exemplar: Tensor, score: Tensor) -> HeadOutput:
        relative = ((score - self.target_mean) / self.target_std).to(query)[:, None]
        output: HeadOutput = self.net(torch.cat((exemplar, query, relative), dim=1))
        return output


def build_head(feature_dim: int, spec: ModelSpec) -> Head:
    """Return the head for features of length `feature_dim`."""
    assert spec.exemplars is not None  # by the rules of ModelSpec
    return GaussianPairHead(feature_dim, exemplars=spec.exemplars, dropout=spec.dropout)
