"""Losses against closed forms, SciPy and finite differences, in float64."""

import math

import numpy as np
import pytest
import torch
from model_options import loss_options
from scipy import integrate, stats
from torch import Tensor

from dae_aqa.errors import ParamsError
from dae_aqa.models import losses
from dae_aqa.models.options import LossOptions
from dae_aqa.options import parse_options

MU = torch.tensor([0.3, -1.2, 2.0, 0.0], dtype=torch.float64)
LOG_VARIANCE = torch.tensor([-1.5, 0.4, 1.1, -3.0], dtype=torch.float64)
TARGET = torch.tensor([0.1, 0.5, 2.0, -0.7], dtype=torch.float64)
NOISE = torch.tensor([0.5, -1.0, 2.0, 0.1], dtype=torch.float64)


def test_nll_with_equal_weights_is_scipys_likelihood() -> None:
    ours = losses.nll(MU, LOG_VARIANCE, TARGET, alpha=0.5, beta=0.5).item()
    sigma = np.exp(0.5 * LOG_VARIANCE.numpy())
    scipys = -stats.norm.logpdf(TARGET.numpy(), MU.numpy(), sigma).mean()
    assert ours == pytest.approx(scipys - 0.5 * math.log(2 * math.pi), rel=1e-12)


def test_nll_closed_form_with_the_published_weights() -> None:
    values = [
        0.6 * (s - m) ** 2 / math.exp(v) + 0.4 * v
        for s, m, v in zip(TARGET.tolist(), MU.tolist(), LOG_VARIANCE.tolist(), strict=True)
    ]
    ours = losses.nll(MU, LOG_VARIANCE, TARGET, alpha=0.6, beta=0.4).item()
    assert ours == pytest.approx(sum(values) / 4, rel=1e-12)


def test_the_published_weights_ask_for_a_variance_half_as_large_again() -> None:
    residual = torch.tensor([1.7], dtype=torch.float64)
    log_variance = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_variance], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = losses.nll(residual, log_variance, torch.zeros_like(residual), alpha=0.6, beta=0.4)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert math.exp(log_variance.item()) == pytest.approx(1.5 * 1.7**2, rel=1e-6)


def test_sampled_mse_closed_form_and_expectation() -> None:
    sampled = MU + torch.exp(0.5 * LOG_VARIANCE) * NOISE
    expected = ((sampled - TARGET) ** 2).mean() + ((MU - TARGET) ** 2).mean()
    ours = losses.sampled_mse(MU, LOG_VARIANCE, TARGET, noise=NOISE)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-12)
    # Over the draws it is 2 (mu - s)² + sigma²: it rewards sigma = 0.
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(200_000, 4, dtype=torch.float64, generator=generator)
    wide = [tensor.expand(200_000, 4) for tensor in (MU, LOG_VARIANCE, TARGET)]
    mean = losses.sampled_mse(*wide, noise=noise).item()
    limit = (2 * (MU - TARGET) ** 2 + torch.exp(LOG_VARIANCE)).mean().item()
    assert mean == pytest.approx(limit, rel=0.01)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_beta_nll_closed_form_and_its_weight_is_not_learned(beta: float) -> None:
    mu = MU.clone().requires_grad_()
    log_variance = LOG_VARIANCE.clone().requires_grad_()
    loss = losses.beta_nll(mu, log_variance, TARGET, beta=beta)
    variance = np.exp(LOG_VARIANCE.numpy())
    residual = (MU - TARGET).numpy()
    value = variance**beta * 0.5 * (residual**2 / variance + np.log(variance))
    assert loss.item() == pytest.approx(value.mean(), rel=1e-12)
    loss.backward()
    assert mu.grad is not None
    assert log_variance.grad is not None
    np.testing.assert_allclose(mu.grad, variance ** (beta - 1) * residual / 4, rtol=1e-12)
    slope = variance**beta * 0.5 * (1 - residual**2 / variance) / 4
    np.testing.assert_allclose(log_variance.grad, slope, rtol=1e-12)


def test_crps_is_the_integral_that_defines_it() -> None:
    expected = []
    for m, v, s in zip(MU.tolist(), LOG_VARIANCE.tolist(), TARGET.tolist(), strict=True):
        sigma = math.exp(0.5 * v)
        below, _ = integrate.quad(lambda x, m=m, d=sigma: stats.norm.cdf(x, m, d) ** 2, -40, s)
        above, _ = integrate.quad(lambda x, m=m, d=sigma: stats.norm.sf(x, m, d) ** 2, s, 40)
        expected.append(below + above)
    assert losses.crps(MU, LOG_VARIANCE, TARGET).item() == pytest.approx(
        np.mean(expected), rel=1e-7
    )


@pytest.mark.parametrize("name", ["mse", "nll", "crps"])
def test_gradients_through_mean_and_sigma_by_finite_differences(name: str) -> None:
    def loss(mu: Tensor, log_variance: Tensor) -> Tensor:
        torch.manual_seed(3)  # the same noise at every evaluation
        options = loss_options(name, alpha=0.6, beta=0.4)
        return losses.gaussian_loss(mu, log_variance, TARGET, options=options)

    inputs = (MU.clone().requires_grad_(), LOG_VARIANCE.clone().requires_grad_())
    assert torch.autograd.gradcheck(loss, inputs)
    assert inputs[1].grad_fn is None
    (gradient,) = torch.autograd.grad(loss(*inputs), inputs[1])
    assert bool((gradient != 0).all())  # sigma is learned, not detached


def test_log_variance_is_bounded_and_can_come_back() -> None:
    far = torch.tensor([-1e4, 0.3, 1e4], dtype=torch.float64, requires_grad=True)
    bounded = losses.bounded_log_variance(far)
    limit = losses.MAX_ABS_LOG_VARIANCE
    np.testing.assert_allclose(bounded.detach(), [-limit, 0.3, limit])
    zeros = torch.zeros(3, dtype=torch.float64)
    loss = losses.gaussian_loss(zeros, far, zeros + 1, options=loss_options("nll"))
    assert math.isfinite(loss.item())
    loss.backward()
    assert far.grad is not None
    assert far.grad[0] < 0 < far.grad[2]  # descent leads back from both ends


@pytest.mark.parametrize("seed", [0, 1])
def test_mse_draws_its_noise_from_the_seed(seed: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        ours = losses.gaussian_loss(MU, LOG_VARIANCE, TARGET, options=loss_options("mse"))
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(MU.shape, dtype=MU.dtype, generator=generator)
    sampled = MU + torch.exp(0.5 * LOG_VARIANCE) * noise
    expected = ((sampled - TARGET) ** 2).mean() + ((MU - TARGET) ** 2).mean()
    assert ours.item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("name", ["nll", "beta_nll", "crps"])
def test_the_other_losses_draw_nothing(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        losses.gaussian_loss(MU, LOG_VARIANCE, TARGET, options=loss_options(name))
        next_draw = torch.rand(())
    assert next_draw == torch.rand((), generator=torch.Generator().manual_seed(0))


def test_unknown_losses_are_refused() -> None:
    content = dict(loss_options("mse")) | {"name": "mae"}
    with pytest.raises(
        ParamsError, match=r"name: 'mae' is not allowed.*one of: mse, nll, beta_nll, crps\."
    ):
        parse_options(LossOptions, content, source="train.loss")


def test_options_choose_the_loss_and_its_constants() -> None:
    """Each name gives its own closed form; the constants go where their names say."""
    m, v, s = (tensor.numpy() for tensor in (MU, LOG_VARIANCE, TARGET))
    likelihood = 0.5 * ((s - m) ** 2 / np.exp(v) + v)
    expected = {
        "nll": 2.0 * (s - m) ** 2 / np.exp(v) + 3.0 * v,
        "beta_nll": np.exp(v) ** 0.7 * likelihood,
    }
    for name, values in expected.items():
        options = loss_options(name, alpha=2.0, beta=3.0, beta_nll=0.7)
        ours = losses.gaussian_loss(MU, LOG_VARIANCE, TARGET, options=options)
        assert ours.item() == pytest.approx(values.mean(), rel=1e-12), name


def test_mean_squared_error_by_hand() -> None:
    ours = losses.mse(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.0, 4.0, 4.0]))
    assert ours.item() == pytest.approx(5 / 3)
