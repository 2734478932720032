"""`dae`: a Gaussian over the final score."""

from __future__ import annotations

from torch import Tensor

from dae_aqa.models.heads.base import (
    GaussianHead,
    GaussianMlp,
    Head,
    HeadOutput,
    checked_difficulty,
)
from dae_aqa.models.options import ModelSpec
from dae_aqa.models.targets import ScorePrediction, Targets


class FinalScoreHead(GaussianHead):
    """It learns final scores and needs no difficulty to forecast them."""

    needs_difficulty = False

    def target(self, targets: Targets) -> Tensor:
        """Return final scores (N, 1)."""
        return targets.final_score[:, None]

    def predict(
        self, output: HeadOutput, difficulty: Tensor, *, action_class: Tensor | None = None
    ) -> ScorePrediction:
        """Return the Gaussian of the final score, and that of the execution: divided by difficulty.

        The predictions table takes the execution's from every method alike.
        """
        del action_class
        mu, sigma = self._gaussian(output)
        dd = checked_difficulty(difficulty).to(mu)
        return ScorePrediction(mu, sigma, mu / dd, sigma / dd)


def build_head(feature_dim: int, spec: ModelSpec) -> Head:
    """Return the head for features of length `feature_dim`."""
    net = GaussianMlp(feature_dim, num_means=1, num_variances=1, dropout=spec.dropout)
    return FinalScoreHead(net)
