"""What every head is: from the feature vector of a sample to the distribution of its score.

A head knows how its output is learned (`loss`) and what it says about the final score (`predict`).
The scale of what it learns lies in its buffers, so that a saved model speaks in score points by
itself. `GaussianHead` is the base of those that predict mean and log-variance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
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
    """Raw output of a head.

    Attributes:
        values: of N samples, (N, ...): means (N, M) in the head's standardised unit, logits over
            bins, or features that are still to be compared with others.
        log_variance: log sigma² (N, M), or (N, M + 1), where the last one is common to all judges;
            None where a head has none.
    """

    values: Tensor
    log_variance: Tensor | None = None


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
        log_variance = None if self.fc2_logvar is None else full(self.fc2_logvar(hidden))
        return HeadOutput(full(self.fc2_mean(hidden)), log_variance)


class Head(nn.Module, ABC):
    """Base of the heads: what the engine asks of them, and the calibration of sigma.

    Attributes:
        sigma_scale: factor on every predicted sigma, fitted on validation samples; 1 at first.
        needs_difficulty: whether its forecast of the final score depends on the difficulty.
    """

    net: nn.Module
    sigma_scale: Tensor
    needs_difficulty = True

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("sigma_scale", torch.ones(()))

    @abstractmethod
    def forward(self, features: Tensor) -> HeadOutput:
        """Return the raw output of sample features (N, D)."""

    @abstractmethod
    def loss(
        self, output: HeadOutput, targets: Targets, *, options: LossOptions, warmup: bool
    ) -> Tensor:
        """Return the mean loss of a batch; in `warmup` that of the means alone, where it has any.

        Raises:
            ModelError: the targets lack what the head learns.
        """

    @abstractmethod
    def predict(
        self, output: HeadOutput, difficulty: Tensor, *, action_class: Tensor | None = None
    ) -> ScorePrediction:
        """Return the distribution of the score, on the CPU, never random.

        Args:
            output: what `forward` gave for N samples.
            difficulty: degrees of difficulty (N,).
            action_class: `targets.class_codes` (N,), where the head needs them.
        """

    @abstractmethod
    def fit_to(self, targets: Targets, *, standardize: bool) -> None:
        """Look at the training targets once, before training.

        Args:
            targets: of all training samples.
            standardize: set the scale so that the targets have mean 0 and standard deviation 1.

        Raises:
            ModelError: fewer than two samples, or all of them have the same score.
        """


class GaussianHead(Head):
    """Base of the heads that predict the mean and the log-variance of what they learn.

    Attributes:
        target_mean: mean of the training targets, in score points; 0 where not standardised.
        target_std: their standard deviation; 1 where not standardised.
    """

    target_mean: Tensor
    target_std: Tensor

    def __init__(self, net: GaussianMlp) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("target_mean", torch.zeros(()))
        self.register_buffer("target_std", torch.ones(()))

    def forward(self, features: Tensor) -> HeadOutput:
        """Return the raw output of sample features (N, D)."""
        output: HeadOutput = self.net(features)
        return output

    @abstractmethod
    def target(self, targets: Targets) -> Tensor:
        """Return what the head learns, (N, M), in score points."""

    def fit_to(self, targets: Targets, *, standardize: bool) -> None:
        """See `Head.fit_to`."""
        if standardize:
            self._set_scale("target", self.target(targets))

    def loss(
        self, output: HeadOutput, targets: Targets, *, options: LossOptions, warmup: bool
    ) -> Tensor:
        """Return the mean loss of a batch; in `warmup` the MSE of the means alone."""
        target = self._standardized(self.target(targets)).to(output.values)
        if warmup or output.log_variance is None:
            return losses.mse(output.values, target)
        return losses.gaussian_loss(output.values, output.log_variance, target, options=options)

    def _set_scale(self, name: str, values: Tensor) -> None:
        mean, std = mean_and_spread(values)
        getattr(self, f"{name}_mean").copy_(mean)
        getattr(self, f"{name}_std").copy_(std)

    def _standardized(self, values: Tensor) -> Tensor:
        return (values - self.target_mean) / self.target_std

    def _gaussian(self, output: HeadOutput) -> tuple[Tensor, Tensor]:
        """Return mean and sigma (N,) of a target of one number, float64, in score points."""
        output = exact(output)
        mean, std = self.target_mean.to(output.values), self.target_std.to(output.values)
        scale = std * self.sigma_scale.to(std)
        mu = (mean + std * output.values).squeeze(1)
        if output.log_variance is None:
            return mu, scale.expand_as(mu)
        log_variance = losses.bounded_log_variance(output.log_variance)
        return mu, (scale * torch.exp(0.5 * log_variance)).squeeze(1)


def mean_and_spread(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of training targets (N, ...), float64.

    Raises:
        ModelError: fewer than two samples, or all of them have the same score.
    """
    values = values.cpu().double()
    if values.shape[0] < 2 or not float(values.std()) > 0:
        raise ModelError(
            f"cannot standardise the targets of {values.shape[0]} training sample(s): they "
            "need at least two different scores. Add samples, or set "
            "train.loss.standardize_targets to false."
        )
    return values.mean(), values.std()


def full(value: Tensor) -> Tensor:
    """Return `value` in at least float32: scores and variances do not fit into bfloat16."""
    return value if value.dtype == torch.float64 else value.float()


def exact(output: HeadOutput) -> HeadOutput:
    """Return the output on the CPU in float64, so that predictions are alike on every device."""
    log_variance = output.log_variance
    return HeadOutput(
        output.values.cpu().double(),
        None if log_variance is None else log_variance.cpu().double(),
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


def from_mixture(
    mixture: Tensor, difficulty: Tensor, *, sigma_scale: Tensor, answer: Tensor | None = None
) -> ScorePrediction:
    """Return the prediction of an execution score that is distributed as a mixture of Gaussians.

    Args:
        mixture: weight, mean and sigma (N, 3, K) of its components, float64.
        difficulty: degrees of difficulty (N,).
        sigma_scale: factor by which the distribution is stretched about its mean.
        answer: what the method answers (N,) where that is not the mean.

    Raises:
        ModelError: a difficulty is not a finite number > 0.
    """
    weights, means, sigmas = mixture.unbind(dim=1)
    mean = (weights * means).sum(dim=1, keepdim=True)
    means = mean + sigma_scale.to(mean) * (means - mean)
    sigmas = sigma_scale.to(mean) * sigmas
    variance = (weights * (sigmas.square() + (means - mean).square())).sum(dim=1)
    mu = mean.squeeze(1) if answer is None else answer
    prediction = from_execution(mu, variance.sqrt(), difficulty)
    return replace(prediction, mixture_execution=torch.stack((weights, means, sigmas), dim=1))


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
