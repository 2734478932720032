"""Losses of a Gaussian prediction: pure functions of tensors, each the mean over all elements.

Mean, log-variance and target share one shape and one unit (standardised scores in training).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dae_aqa.models.options import LossOptions

# sigma stays within e^-5 … e^5 of the target's unit: below, float32 squares of residual / sigma
# overflow the gradient; above, nothing is predicted. Typical values lie around -3 … 0.
MAX_ABS_LOG_VARIANCE = 10.0


def bounded_log_variance(log_variance: Tensor) -> Tensor:
    """Return `log_variance` clamped to ±`MAX_ABS_LOG_VARIANCE`; the gradient passes unclamped.

    A plain clamp has no gradient beyond its limits, so that a prediction out there would stay.
    """
    clamped = log_variance.clamp(-MAX_ABS_LOG_VARIANCE, MAX_ABS_LOG_VARIANCE)
    return log_variance + (clamped - log_variance).detach()


def mse(mu: Tensor, target: Tensor) -> Tensor:
    """Return the mean of `(mu - s)²`: the warm-up of every loss, and a point regression's loss."""
    return (mu - target).square().mean()


def sampled_mse(mu: Tensor, log_variance: Tensor, target: Tensor, *, noise: Tensor) -> Tensor:
    """Return MSE(z, s) + MSE(mu, s) with `z = mu + sigma * noise`.

    Its expectation over standard normal noise is `2 (mu - s)² + sigma²`, least at sigma = 0: it
    teaches no uncertainty.

    Args:
        mu: predicted means.
        log_variance: predicted log sigma².
        target: true scores.
        noise: standard normal draws.

    Source: the loss that trained the published DAE models (Zhang et al. 2021, arXiv 2111.11029).
    """
    sampled = mu + torch.exp(0.5 * log_variance) * noise
    return mse(sampled, target) + mse(mu, target)


def nll(mu: Tensor, log_variance: Tensor, target: Tensor, *, alpha: float, beta: float) -> Tensor:
    """Return the mean of `alpha (s - mu)² / sigma² + beta log sigma²`.

    With alpha = beta = 0.5 this is the Gaussian negative log-likelihood less `0.5 log 2 pi`. It is
    least at sigma² = (alpha / beta) E(s - mu)²: the published 0.6 / 0.4 asks for a variance 1.5
    times too large, which calibration on validation samples undoes.

    Source: Zhang et al. 2021, arXiv 2111.11029, the likelihood of DAE.
    """
    residual = (target - mu).square()
    return (alpha * residual * torch.exp(-log_variance) + beta * log_variance).mean()


def beta_nll(mu: Tensor, log_variance: Tensor, target: Tensor, *, beta: float) -> Tensor:
    """Return the Gaussian likelihood with each element weighed by `sigma^(2 beta)`, not learned.

    The weight keeps samples with a large predicted sigma from losing their say in the mean.

    Source: Seitzer et al. 2022, "On the pitfalls of heteroscedastic uncertainty estimation", eq. 5.
    """
    weight = torch.exp(beta * log_variance).detach()
    residual = (target - mu).square()
    return (weight * 0.5 * (residual * torch.exp(-log_variance) + log_variance)).mean()


def crps(mu: Tensor, log_variance: Tensor, target: Tensor) -> Tensor:
    """Return the mean continuous ranked probability score of the Gaussian, in the target's unit.

    Source: Gneiting and Raftery 2007, "Strictly proper scoring rules", eq. 21 (negated).
    """
    sigma = torch.exp(0.5 * log_variance)
    z = (target - mu) / sigma
    cdf = 0.5 * (1.0 + torch.erf(z / math.sqrt(2.0)))
    density = torch.exp(-0.5 * z.square()) / math.sqrt(2.0 * math.pi)
    return (sigma * (z * (2.0 * cdf - 1.0) + 2.0 * density - 1.0 / math.sqrt(math.pi))).mean()


def gaussian_loss(
    mu: Tensor, log_variance: Tensor, target: Tensor, *, options: LossOptions
) -> Tensor:
    """Return the loss that `options` name, with the log-variance bounded.

    `mse` draws its noise from torch's global generator.

    Args:
        mu: predicted means, any shape.
        log_variance: predicted log sigma², same shape.
        target: true scores, same shape.
        options: which loss.
    """
    log_variance = bounded_log_variance(log_variance)
    if options.name == "mse":
        return sampled_mse(mu, log_variance, target, noise=torch.randn_like(mu))
    if options.name == "nll":
        return nll(mu, log_variance, target, alpha=options.alpha, beta=options.beta)
    if options.name == "beta_nll":
        return beta_nll(mu, log_variance, target, beta=options.beta_nll)
    return crps(mu, log_variance, target)
