"""`mlp`: the final score as a point; its sigma is one constant, fitted on validation samples."""

from __future__ import annotations

from dae_aqa.models.heads.base import GaussianMlp, Head
from dae_aqa.models.heads.dae import FinalScoreHead
from dae_aqa.models.options import ModelSpec


def build_head(feature_dim: int, spec: ModelSpec) -> Head:
    """Return the head for features of length `feature_dim`."""
    net = GaussianMlp(feature_dim, num_means=1, num_variances=0, dropout=spec.dropout)
    return FinalScoreHead(net)
