"""`musdl`: a distribution over bins of each judge's mark, combined by the sport's rule.

The judges' distributions are taken to be independent, as the method has it: they have no part in
common. The rule of a sport drops marks, so its distribution has no closed form; the rule is applied
to a fixed set of quasi-random marks, the same for every sample and call.

Source: Tang et al., "Uncertainty-aware score distribution learning for action quality assessment"
(CVPR 2020, arXiv 2006.07665), and its released code.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from dae_aqa import scoring
from dae_aqa.models.bins import BinsMlp, centres, divergence, soft_labels, width
from dae_aqa.models.heads.base import Head, HeadOutput, exact, from_mixture
from dae_aqa.models.marks import checked_marks
from dae_aqa.models.options import Bins, Decoding, LossOptions, ModelSpec
from dae_aqa.models.targets import ScorePrediction, Targets

NUM_POINTS = 1024
NUM_COMPONENTS = 64  # of the execution score's distribution, all of one weight


def uniform_points(num_judges: int) -> Tensor:
    """Return fixed points (NUM_POINTS, J) in (0, 1), float64, symmetric about one half."""
    sobol = torch.quasirandom.SobolEngine(num_judges, scramble=True, seed=0)  # type: ignore[no-untyped-call]
    half = sobol.draw(NUM_POINTS // 2, dtype=torch.float64).clamp(1e-9, 1 - 1e-9)
    return torch.cat((half, 1 - half))


def quantiles(probability: Tensor, points: Tensor, bins: Bins) -> Tensor:
    """Return the marks below which the distributions lie with the chances `points`.

    A mark is uniform within its bin, which reaches half a width to either side of its centre.

    Args:
        probability: of the bins (N, J, B), float64.
        points: chances (S, J).
        bins: the scale.

    Returns:
        Marks (N, S, J), in points of a mark.
    """
    upper = probability.cumsum(dim=-1)  # (N, J, B), chance of at most the bin's upper edge
    chances = points.T.expand(len(probability), -1, -1).contiguous()  # (N, J, S)
    chances = torch.minimum(chances, upper[..., -1:])
    row = torch.searchsorted(upper, chances).clamp_max(bins.num - 1)
    within = probability.gather(-1, row)
    rest = (upper.gather(-1, row) - chances) / within.clamp_min(1e-300)  # of the bin, above
    mark = bins.low + width(bins) * (row + 0.5 - rest.clamp(0, 1))
    return mark.transpose(1, 2)


class MarkBinsHead(Head):
    """It learns soft labels of each judge's mark.

    Attributes:
        points: see `uniform_points`.
    """

    net: nn.ModuleList
    points: Tensor

    def __init__(
        self,
        nets: list[BinsMlp],
        *,
        rule: scoring.ScoringRule,
        bins: Bins,
        decoding: Decoding,
    ) -> None:
        super().__init__()
        self.net = nn.ModuleList(nets)
        self.rule = rule
        self.bins = bins
        self.decoding = decoding
        self.register_buffer("points", uniform_points(len(nets)), persistent=False)

    def forward(self, features: Tensor) -> HeadOutput:
        """Return logits (N, J, B) of sample features (N, D)."""
        return HeadOutput(torch.stack([net(features) for net in self.net], dim=1))

    def fit_to(self, targets: Targets, *, standardize: bool) -> None:
        """Check that there are marks; no scale is to be set, since the bins are known."""
        checked_marks(targets, num_judges=len(self.net), model="musdl")

    def loss(
        self, output: HeadOutput, targets: Targets, *, options: LossOptions, warmup: bool
    ) -> Tensor:
        """Return the sum over judges of the divergence from the soft labels of their marks."""
        del options, warmup
        marks = checked_marks(targets, num_judges=len(self.net), model="musdl")
        labels = soft_labels(marks, self.bins)
        return len(self.net) * divergence(output.values, labels)

    def predict(
        self, output: HeadOutput, difficulty: Tensor, *, action_class: Tensor | None = None
    ) -> ScorePrediction:
        """Return the distribution of the execution score under the rule, and the final one's.

        The quasi-random scores are sorted, and each run of equally many of them becomes a component
        with their mean and spread. As published, the answer is what the rule makes of the judges'
        most probable marks.
        """
        del action_class
        probability = torch.softmax(exact(output).values, dim=-1)  # (N, J, B)
        marks = quantiles(probability, self.points.cpu(), self.bins)  # (N, S, J)
        scores = self.rule.execution(marks).sort(dim=1).values.view(len(marks), NUM_COMPONENTS, -1)
        # what is lost within a component of equal scores is no more than a bin
        least = width(self.bins) / 100
        components = (
            torch.full(scores.shape[:2], 1 / NUM_COMPONENTS, dtype=scores.dtype),
            scores.mean(dim=2),
            scores.std(dim=2, unbiased=False).clamp_min(least),
        )
        answer = None
        if self.decoding == "published":
            answer = self.rule.execution(centres(self.bins)[probability.argmax(dim=-1)])
        prediction = from_mixture(
            torch.stack(components, dim=1),
            difficulty.cpu(),
            sigma_scale=self.sigma_scale.cpu(),
            answer=answer,
        )
        return replace(prediction, marks=probability @ centres(self.bins))


def build_head(feature_dim: int, spec: ModelSpec) -> Head:
    """Return the head for features of length `feature_dim`.

    Raises:
        ScoringError: the rule does not take that many judges.
    """
    assert spec.scoring_rule is not None  # by the rules of ModelSpec
    assert spec.num_judges is not None
    assert spec.bins is not None
    rule = scoring.scoring_rule(spec.scoring_rule, num_judges=spec.num_judges)
    nets = [
        BinsMlp(feature_dim, num_bins=spec.bins.num, dropout=spec.dropout)
        for _ in range(spec.num_judges)
    ]
    return MarkBinsHead(nets, rule=rule, bins=spec.bins, decoding=spec.decoding)
