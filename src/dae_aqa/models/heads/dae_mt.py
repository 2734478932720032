"""`dae_mt`: a Gaussian over the execution score, multiplied by difficulty."""

from __future__ import annotations

from torch import Tensor

from dae_aqa.models.heads.base import GaussianHead, GaussianMlp, Head, HeadOutput, from_execution
from dae_aqa.models.options import ModelSpec
from dae_aqa.models.targets import ScorePrediction, Targets


class ExecutionHead(GaussianHead):
    """It learns execution scores."""

    def target(self, targets: Targets) -> Tensor:
        """Return execution scores (N, 1)."""
        return targets.execution_score[:, None]

    def predict(
        self, output: HeadOutput, difficulty: Tensor, *, action_class: Tensor | None = None
    ) -> ScorePrediction:
        """Return the Gaussian of the execution score, and the same multiplied by difficulty."""
        del action_class
        mu, sigma = self._gaussian(output)
        return from_execution(mu, sigma, difficulty)


def build_head(feature_dim: int, spec: ModelSpec) -> Head:
    """Return the head for features of length `feature_dim`."""
    net = GaussianMlp(feature_dim, num_means=1, num_variances=1, dropout=spec.dropout)
    return ExecutionHead(net)
