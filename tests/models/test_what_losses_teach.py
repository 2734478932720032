"""What each loss teaches sigma, on features whose noise is known and peaks at middling scores."""

from functools import cache
from typing import get_args

import numpy as np
import pytest
import torch
from model_options import loss_options
from scipy import stats

from dae_aqa.models.heads.base import GaussianMlp
from dae_aqa.models.heads.dae_mt import ExecutionHead
from dae_aqa.models.options import LossName
from dae_aqa.models.targets import Targets

NUM_TRAIN, NUM_TEST, FEATURE_DIM = 6000, 2000, 16


def _samples() -> tuple[torch.Tensor, Targets, np.ndarray]:
    """Return features, targets and the true sigma of the execution score."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((NUM_TRAIN + NUM_TEST, FEATURE_DIM))
    quality = (features[:, 0] + 0.5 * features[:, 1] + 0.5 * features[:, 2]) / 1.5**0.5
    sigma = 0.3 + 1.5 * np.exp(-(quality**2) / 0.5)  # in score points; not monotone in the score
    execution = 20.0 + 3.0 * quality + sigma * rng.standard_normal(len(quality))
    score = torch.from_numpy(execution).float()
    ones = torch.ones_like(score)
    return torch.from_numpy(features).float(), Targets(score, score, ones, None), sigma


@cache
def _learned(loss: str) -> dict[str, float]:
    """Train a head on fixed features; return test figures."""
    torch.manual_seed(0)
    features, targets, true_sigma = _samples()
    train, test = torch.arange(NUM_TRAIN), torch.arange(NUM_TRAIN, NUM_TRAIN + NUM_TEST)
    head = ExecutionHead(GaussianMlp(FEATURE_DIM, num_means=1, num_variances=1, dropout=0.0))
    head.fit_to(targets.take(train), standardize=True)
    options = loss_options(loss)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=1e-2)
    generator = torch.Generator().manual_seed(0)
    num_epochs = 12
    for epoch in range(num_epochs):
        for rows in torch.randperm(NUM_TRAIN, generator=generator).split(100):
            value = head.loss(
                head(features[rows]),
                targets.take(rows),
                options=options,
                warmup=epoch < 0.3 * num_epochs,
            )
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    with torch.no_grad():
        prediction = head.predict(head(features[test]), targets.difficulty[test])
    mu, sigma = prediction.mu.numpy(), prediction.sigma.numpy()
    score = targets.final_score[test].numpy()
    return {
        "rho": float(stats.spearmanr(mu, score).statistic),
        "coverage": float((np.abs(score - mu) <= stats.norm.ppf(0.95) * sigma).mean()),
        "sigma_ratio": float(np.median(sigma / true_sigma[NUM_TRAIN:])),
        "sigma_rho": float(stats.spearmanr(sigma, true_sigma[NUM_TRAIN:]).statistic),
    }


@pytest.mark.parametrize("loss", ["beta_nll", "crps"])
def test_proper_losses_find_sigma_where_it_is_not_monotone(loss: str) -> None:
    figures = _learned(loss)
    assert figures["sigma_rho"] >= 0.9
    assert 0.82 <= figures["coverage"] <= 0.94
    assert 0.9 <= figures["sigma_ratio"] <= 1.1


def test_the_plain_likelihood_orders_sigma_but_is_slower() -> None:
    figures = _learned("nll")
    assert figures["sigma_rho"] >= 0.6
    assert 0.86 <= figures["coverage"] <= 0.98


def test_the_released_loss_drives_sigma_to_zero() -> None:
    figures = _learned("mse")
    assert figures["sigma_ratio"] < 0.2
    assert figures["coverage"] < 0.3


def test_all_losses_rank_alike_where_features_suffice() -> None:
    rhos = [_learned(loss)["rho"] for loss in get_args(LossName)]
    assert min(rhos) >= 0.85
    assert max(rhos) - min(rhos) < 0.05
