"""Distributions over the bins of a scale: what `usdl` and `musdl` share.

Source: Tang et al., "Uncertainty-aware score distribution learning for action quality assessment"
(CVPR 2020, arXiv 2006.07665), and its released code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dae_aqa.errors import ModelError
from dae_aqa.models.heads.base import HIDDEN_DIMS, full
from dae_aqa.models.options import BinOptions, Bins
from dae_aqa.scoring import ScoringRule

_NUM_SCORE_BINS = 101  # Source: Tang et al. 2020, section 4.2


class BinsMlp(nn.Module):
    """D → 256 → 128 → logits over B bins with ReLU, named as in the released code."""

    def __init__(self, feature_dim: int, *, num_bins: int, dropout: float) -> None:
        super().__init__()
        self.layer1 = nn.Linear(feature_dim, HIDDEN_DIMS[0])
        self.layer2 = nn.Linear(*HIDDEN_DIMS)
        self.layer3 = nn.Linear(HIDDEN_DIMS[1], num_bins)
        self.dropout = dropout

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (N, B) of features (N, D)."""
        hidden = F.dropout(features, self.dropout, training=self.training)
        hidden = F.relu(self.layer1(hidden))  # (N, 256)
        hidden = F.dropout(hidden, self.dropout, training=self.training)
        return full(self.layer3(F.relu(self.layer2(hidden))))


def known_bins(options: BinOptions, values: Tensor, *, rule: ScoringRule | None) -> Bins:
    """Return the bins, where what `options` leave open follows from the rule or from the samples.

    Args:
        options: `train.bins`.
        values: final scores (N,) or marks (N, J) of the training samples, in points.
        rule: of the marks; None for final scores, which get 101 bins over their range, widened by
            a twentieth on either side.

    Raises:
        ModelError: all values are equal, or `low` and `high` do not enclose them.
    """
    different = torch.unique(values.double())  # ascending
    least, greatest = float(different[0]), float(different[-1])
    if least == greatest:
        raise ModelError(
            f"all training samples have the score {least:g}: there is nothing to spread over bins. "
            "Add samples."
        )
    if rule is None:
        margin = (greatest - least) / 20
        low, high, step = least - margin, greatest + margin, None
    elif rule.marks is not None:
        low, high, step = rule.marks
    else:
        low, high, step = least, greatest, float(different.diff().min())
    low = low if options.low is None else options.low
    high = high if options.high is None else options.high
    if least < low or greatest > high:
        raise ModelError(
            f"train.bins: the bins reach from {low:g} to {high:g}, but the training samples have "
            f"{'marks' if rule else 'scores'} from {least:g} to {greatest:g}. Set train.bins.low "
            "and train.bins.high so that they enclose them, or to null."
        )
    num = options.num or (_NUM_SCORE_BINS if step is None else round((high - low) / step) + 1)
    return Bins(num=num, low=low, high=high, std=options.std)


def centres(bins: Bins) -> Tensor:
    """Return the centres of the bins (B,), float64, in points."""
    return torch.linspace(bins.low, bins.high, bins.num, dtype=torch.float64)


def width(bins: Bins) -> float:
    """Return the width of a bin, in points."""
    return (bins.high - bins.low) / (bins.num - 1)


def soft_labels(values: Tensor, bins: Bins) -> Tensor:
    """Return for each true value the distribution that is learned, float64 (..., B).

    It is the density at the bins of a Gaussian around the value, made to add up to 1.

    Args:
        values: true scores or marks (...), in points.
        bins: the scale, and the standard deviation in bins.

    Source: Tang et al. 2020, equations 1 and 2.
    """
    position = (values.double()[..., None] - bins.low) / width(bins)
    distance = torch.arange(bins.num, device=values.device) - position
    # a softmax, since the densities of a value far outside of the scale would all be 0
    return torch.softmax(-0.5 * (distance / bins.std).square(), dim=-1)


def divergence(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the KL divergence of predictions from labels (..., B), the mean over all elements.

    Source: the loss of the released code, which divides by the number of bins too.
    """
    log_prob = torch.log_softmax(logits, dim=-1)
    return F.kl_div(log_prob, labels.to(logits), reduction="none").mean()
