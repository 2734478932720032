"""Necks: from the features of a performance's clips to one vector."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dae_aqa.models.options import NeckName

NUM_QUERIES = 4
ATTENTION_DIM = 128
NUM_HEADS = 4


class Neck(nn.Module):
    """`mean`: the features averaged, which forgets their order.

    Attributes:
        out_dim: length of the vector.
        needs_steps: whether it looks at a backbone's time steps rather than at clips.
    """

    needs_steps = False

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.out_dim = feature_dim

    def forward(self, features: Tensor) -> Tensor:
        """Return vectors (N, D) of features (N, K, D)."""
        return features.mean(dim=1)


class AttentionNeck(Neck):
    """`attention`: the mean, and beside it what learned queries find in the order of the features.

    Each query attends over all clips (time steps, where a backbone tells them) of a performance, as
    a phase of an action would; sine and cosine waves tell where each lies.

    Source: the decoder queries of Bai et al., "Action quality assessment with temporal parsing
    transformer" (TPT, ECCV 2022, arXiv 2207.09270); attention and positions of Vaswani et al.,
    "Attention is all you need" (NeurIPS 2017), sections 3.2 and 3.5.
    """

    needs_steps = True

    def __init__(self, feature_dim: int) -> None:
        super().__init__(feature_dim)
        self.out_dim = feature_dim + NUM_QUERIES * ATTENTION_DIM
        self.project = nn.Linear(feature_dim, ATTENTION_DIM)
        self.norm = nn.LayerNorm(ATTENTION_DIM)
        self.queries = nn.Parameter(torch.randn(NUM_QUERIES, ATTENTION_DIM))
        self.attention = nn.MultiheadAttention(ATTENTION_DIM, NUM_HEADS, batch_first=True)

    def forward(self, features: Tensor) -> Tensor:
        """Return vectors (N, D + 4 * 128) of features (N, K, D)."""
        places = positions(features.shape[1], ATTENTION_DIM).to(features)
        steps = self.norm(self.project(features)) + places  # (N, K, 128)
        # a copy: a view of a parameter cannot be followed where no gradient is wanted (costs.py)
        queries = self.queries.repeat(features.shape[0], 1, 1).to(steps)
        found, _ = self.attention(queries, steps, steps, need_weights=False)  # (N, 4, 128)
        return torch.cat((features.mean(dim=1), found.flatten(1)), dim=1)


def positions(num: int, dim: int) -> Tensor:
    """Return `num` positions (num, dim) as sines and cosines of waves, float32, within ±1."""
    rates = torch.exp(torch.arange(0, dim, 2) * (-math.log(10_000.0) / dim))
    angles = torch.arange(num)[:, None] * rates  # (num, dim / 2)
    return torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1)


def build_neck(name: NeckName, feature_dim: int) -> Neck:
    """Return the neck for features of length `feature_dim`, with fresh weights."""
    return AttentionNeck(feature_dim) if name == "attention" else Neck(feature_dim)
