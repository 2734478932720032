"""What every head is: from the feature vector of a sample to the distribution of its score.

A head knows what it predicts (`target`), how that is learned (`loss`) and what it says about the
final score (`predict`). It learns standardised scores. The scale lies in its buffers, so that
a saved model speaks in score points by itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dae_aqa import scoring
from dae_aqa.errors import ModelError
from dae_aqa.models import losses
from dae_aqa.models.options import LossOptions
from dae_aqa.models.targets import ScorePrediction, Targets

HIDDEN_DIMS = (256, 128)  # Source: Zhang et al. 2021, arXiv 2111.11029, and its released code


class HeadOutput(NamedTuple):
    """Raw output of a head, in its standardised unit.

    Attributes:
        mu: means (N, M).
        log_variance: log sigma² (N, M), or (N, M + 1), where the last one is common to all judges;
            None for a point regression.
    """

    mu: Tensor
    log_variance: Tensor | None


class GaussianMlp(nn.Module):
    """D → 256 → 128 → (mean, log-variance) with ReLU, named as in the released checkpoints."""

    def __init__(
        self, feature_dim: int, *, num_means: int, num_variances: int, dropout: float
    ) -> None:
        super().__init__()
        self.fc1 = nn.Linear(feature_dim, HIDDEN_DIMS[0])
        self.fch = nn.Linear(*HIDDEN_DIMS)
        self.fc2_mean = nn.Linear(HIDDEN_DIMS[1], num_means)
        self.fc2_logvar = nn.Linear(HIDDEN_DIMS[1], num_variances) if num_variances else None
        self.dropout = dropout

    def forward(self, features: Tensor) -> HeadOutput:
        """Return means and log-variances of features (N, D)."""
        hidden = F.dropout(features, self.dropout, training=self.training)
        hidden = F.relu(self.fc1(hidden))  # (N, 256)
        hidden = F.dropout(hidden, self.dropout, training=self.training)
        hidden = F.relu(self.fch(hidden))  # (N, 128)
        log_variance = None if self.fc2_logvar is None else _full(self.fc2_logvar(hidden))
        return HeadOutput(_full(self.fc2_mean(hidden)), log_variance)


class Head(nn.Module, ABC):
    """Base of the heads: the network, the scale of its target, and the calibration of sigma.

    Attributes:
        target_mean: mean of the training targets, in score points; 0 where not standardised.
        target_std: their standard deviation; 1 where not standardised.
        sigma_scale: factor on every predicted sigma, fitted on validation samples; 1 at first.
        needs_difficulty: whether its forecast of the final score depends on the difficulty.
    """

    target_mean: Tensor
    target_std: Tensor
    sigma_scale: Tensor
    needs_difficulty = True

    def __init__(self, net: GaussianMlp) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("target_mean", torch.zeros(()))
        self.register_buffer("target_std", torch.ones(()))
        self.register_buffer("sigma_scale", torch.ones(()))

    def forward(self, features: Tensor) -> HeadOutput:
        """Return the raw output of sample features (N, D)."""
        output: HeadOutput = self.net(features)
        return output

    @abstractmethod
    def target(self, targets: Targets) -> Tensor:
        """Return what the head learns, (N, M), in score points."""

    @abstractmethod
    def predict(self, output: HeadOutput, difficulty: Tensor) -> ScorePrediction:
        """Return the distribution of the score for difficulties (N,), on the CPU, never random."""

    def fit_target_scale(self, targets: Targets) -> None:
        """Set the scale from the training targets.

        Raises:
            ModelError: fewer than two samples, or all of them have the same score.
        """
        self._set_scale("target", self.target(targets))

    def loss(
        self, output: HeadOutput, targets: Targets, *, options: LossOptions, warmup: bool
    ) -> Tensor:
        """Return the mean loss of a batch; in `warmup` the MSE of the means alone."""
        target = self._standardized(self.target(targets)).to(output.mu)
        if warmup or output.log_variance is None:
            return losses.mse(output.mu, target)
        return losses.gaussian_loss(output.mu, output.log_variance, target, options=options)

    def _set_scale(self, name: str, values: Tensor) -> None:
        values = values.cpu().double()
        if values.shape[0] < 2 or not float(values.std()) > 0:
            raise ModelError(
                f"cannot standardise the targets of {values.shape[0]} training sample(s): they "
                "need at least two different scores. Add samples, or set "
                "train.loss.standardize_targets to false."
            )
        getattr(self, f"{name}_mean").copy_(values.mean())
        getattr(self, f"{name}_std").copy_(values.std())

    def _standardized(self, values: Tensor) -> Tensor:
        return (values - self.target_mean) / self.target_std

    def _gaussian(self, output: HeadOutput) -> tuple[Tensor, Tensor]:
        """Return mean and sigma (N,) of a target of one number, float64, in score points."""
        output = exact(output)
        mean, std = self.target_mean.to(output.mu), self.target_std.to(output.mu)
        scale = std * self.sigma_scale.to(std)
        mu = (mean + std * output.mu).squeeze(1)
        if output.log_variance is None:
            return mu, scale.expand_as(mu)
        log_variance = losses.bounded_log_variance(output.log_variance)
        return mu, (scale * torch.exp(0.5 * log_variance)).squeeze(1)


def _full(value: Tensor) -> Tensor:
    """Return `value` in at least float32: scores and variances do not fit into bfloat16."""
    return value if value.dtype == torch.float64 else value.float()


def exact(output: HeadOutput) -> HeadOutput:
    """Return the output on the CPU in float64, so that predictions are alike on every device."""
    log_variance = output.log_variance
    return HeadOutput(
        output.mu.cpu().double(), None if log_variance is None else log_variance.cpu().double()
    )


def from_execution(
    mu: Tensor, sigma: Tensor, difficulty: Tensor, *, sigma_judges: Tensor | None = None
) -> ScorePrediction:
    """Return the prediction of an execution score, and of the final one by difficulty.

    Args:
        mu: mean of the execution score (N,), float64.
        sigma: its standard deviation (N,).
        difficulty: degrees of difficulty (N,).
        sigma_judges: the part of sigma that comes from judges (N,), where it is told apart.

    Raises:
        ModelError: a difficulty is not a finite number > 0.
    """
    dd = checked_difficulty(difficulty).to(mu)
    return ScorePrediction(
        mu=scoring.final_score(execution=mu, difficulty=dd),
        sigma=dd * sigma,
        mu_execution=mu,
        sigma_execution=sigma,
        sigma_judges_execution=sigma_judges,
    )


def checked_difficulty(difficulty: Tensor) -> Tensor:
    """Return `difficulty` (N,) after a look at it.

    Raises:
        ModelError: one is not a finite number > 0.
    """
    bad = ~(torch.isfinite(difficulty) & (difficulty > 0))
    if bool(bad.any()):
        row = int(bad.nonzero()[0, 0])
        raise ModelError(
            f"difficulty must be a finite number > 0, got {float(difficulty[row])} in row {row} "
            "of the batch (use 1.0 where the sport has none)."
        )
    return difficulty
