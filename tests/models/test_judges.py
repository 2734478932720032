"""The execution score of Gaussian judges against brute force and closed forms."""

import numpy as np
import pytest
import torch
from model_options import loss_options

from dae_aqa import scoring
from dae_aqa.models.heads.base import GaussianMlp, HeadOutput
from dae_aqa.models.heads.dae_judges import (
    JudgesHead,
    centred_variance,
    normal_points,
    propagate,
)
from dae_aqa.models.targets import Targets

CASES = {  # rule, judges' means, own sigmas, common sigma
    "equal": ("diving", [7.0] * 7, [0.4] * 7, 0.0),
    "unequal": (
        "diving",
        [7.0, 7.5, 6.0, 8.0, 7.0, 6.5, 7.2],
        [0.2, 0.9, 0.3, 0.5, 0.1, 0.4, 0.6],
        0.0,
    ),
    "common": ("diving", [6.0, 6.5, 6.2, 6.1, 5.9, 6.4, 6.0], [0.3] * 7, 0.8),
    "five": ("diving", [8.0, 7.0, 7.5, 7.5, 9.0], [0.5, 0.4, 0.3, 0.2, 0.1], 0.2),
    "synchro": ("synchronised_diving_11", [7.0 + 0.1 * j for j in range(11)], [0.4] * 11, 0.3),
}


def _propagated(rule: str, mu: list[float], sigma: list[float], tau: float) -> tuple[float, float]:
    mean, std = propagate(
        mu=torch.tensor([mu], dtype=torch.float64),
        sigma=torch.tensor([sigma], dtype=torch.float64),
        tau=torch.tensor([tau], dtype=torch.float64),
        rule=scoring.scoring_rule(rule, num_judges=len(mu)).execution,
        points=normal_points(len(mu)),
    )
    return mean.item(), std.item()


def _head(rule: str, *, num_judges: int) -> JudgesHead:
    net = GaussianMlp(1, num_means=num_judges, num_variances=num_judges + 1, dropout=0.0)
    checked = scoring.scoring_rule(rule, num_judges=num_judges)
    return JudgesHead(net, rule=checked, num_judges=num_judges)


@pytest.mark.parametrize("case", list(CASES))
def test_against_brute_force(case: str) -> None:
    rule, mu, sigma, tau = CASES[case]
    rng = np.random.default_rng(1)
    draws = 400_000
    marks = np.asarray(mu) + tau * rng.standard_normal((draws, 1))
    marks = marks + np.asarray(sigma) * rng.standard_normal((draws, len(mu)))
    execution = scoring.execution_score(marks, rule=rule)
    mean, std = _propagated(rule, mu, sigma, tau)
    assert mean == pytest.approx(execution.mean(), abs=0.01 * execution.std())
    assert std == pytest.approx(execution.std(), rel=0.02)


def test_a_sum_has_the_closed_form() -> None:
    sigma = [0.2, 0.5, 0.3, 0.4]
    mean, std = _propagated("sum_of_elements", [3.0, 4.0, 5.0, 2.0], sigma, 0.3)
    assert mean == pytest.approx(14.0, abs=1e-9)
    own = sum(value**2 for value in sigma)
    assert std == pytest.approx((own + (4 * 0.3) ** 2) ** 0.5, rel=0.01)


def test_gradients_pass_through_the_rule() -> None:
    mu = torch.tensor([[7.0, 7.5, 6.0, 8.0, 7.0]], dtype=torch.float64, requires_grad=True)
    sigma = torch.full((1, 5), 0.4, dtype=torch.float64, requires_grad=True)
    tau = torch.full((1,), 0.2, dtype=torch.float64, requires_grad=True)
    points = normal_points(5)

    def spread(mu: torch.Tensor, sigma: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
        mean, std = propagate(mu=mu, sigma=sigma, tau=tau, rule=scoring.diving, points=points)
        return mean + 3 * std

    assert torch.autograd.gradcheck(spread, (mu, sigma, tau), atol=1e-4, rtol=1e-2)


def test_points_are_fixed_symmetric_and_standard() -> None:
    points = normal_points(7)
    assert torch.equal(points, normal_points(7))
    half = points.shape[0] // 2
    assert torch.equal(points[:half], -points[half:])
    np.testing.assert_allclose(points.square().mean(dim=0), 1.0, rtol=1e-12)


def test_variance_about_the_mean_of_the_panel() -> None:
    variance = np.array([[0.1, 0.4, 0.9, 0.2], [1.0, 1.0, 1.0, 1.0]])
    draws = np.random.default_rng(0).standard_normal((400_000, 2, 4)) * np.sqrt(variance)
    centred = draws - draws.mean(axis=2, keepdims=True)
    expected = centred_variance(torch.from_numpy(variance))
    np.testing.assert_allclose(expected, centred.var(axis=0), rtol=0.01)


@pytest.mark.parametrize("loss", ["nll", "beta_nll", "crps"])
def test_what_judges_share_is_told_from_what_each_adds(loss: str) -> None:
    """A head that sees nothing learns both parts from the marks alone."""
    own, common = torch.tensor([0.3, 0.3, 0.3, 0.3, 0.6]), 0.8
    torch.manual_seed(0)
    marks = 7.0 + common * torch.randn(3000, 1) + own * torch.randn(3000, 5)
    head = _head("diving", num_judges=5)
    execution = head.rule.execution(marks)
    ones = torch.ones_like(execution)
    targets = Targets(execution, execution, ones, marks)
    head.fit_to(targets, standardize=True)
    mu, log_variance = torch.zeros(5, requires_grad=True), torch.zeros(6, requires_grad=True)
    optimizer = torch.optim.Adam([mu, log_variance], lr=0.03)
    options = loss_options(loss)
    for step in range(300):
        rows = torch.arange(step % 30 * 100, step % 30 * 100 + 100)
        output = HeadOutput(mu.expand(100, 5), log_variance.expand(100, 6))
        value = head.loss(output, targets.take(rows), options=options, warmup=False)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    learned = head.target_std * torch.exp(0.5 * log_variance.detach())
    np.testing.assert_allclose(learned[:5], own, rtol=0.12)
    np.testing.assert_allclose(learned[5], common, rtol=0.12)
    prediction = head.predict(HeadOutput(mu[None].detach(), log_variance[None].detach()), ones[:1])
    alone = 7.0 + own * torch.randn(100_000, 5)
    assert prediction.sigma_judges_execution is not None
    assert prediction.sigma_judges_execution.item() == pytest.approx(
        head.rule.execution(alone).std().item(), rel=0.1
    )
    assert prediction.sigma_execution.item() == pytest.approx(execution.std().item(), rel=0.1)


def test_calibration_leaves_the_judges_part() -> None:
    head = _head("diving", num_judges=5)
    output = HeadOutput(torch.full((1, 5), 7.0), torch.zeros(1, 6))
    before = head.predict(output, torch.ones(1))
    head.sigma_scale.mul_(2.0)
    after = head.predict(output, torch.ones(1))
    torch.testing.assert_close(after.sigma, 2 * before.sigma)
    torch.testing.assert_close(after.sigma_judges_execution, before.sigma_judges_execution)


def test_a_single_judge_has_no_panel() -> None:
    """One rater and the sum of elements: all of sigma is in the execution."""
    head = _head("sum_of_elements", num_judges=1)
    marks = torch.tensor([[3.0], [4.0], [6.0]])
    ones = torch.ones(3)
    targets = Targets(marks[:, 0], marks[:, 0], ones, marks)
    head.fit_to(targets, standardize=True)
    output = head(ones[:, None])
    options = loss_options("nll", alpha=0.6, beta=0.4)
    loss = head.loss(output, targets, options=options, warmup=False)
    loss.backward()
    gradients = [parameter.grad for parameter in head.parameters()]
    assert all(bool(torch.isfinite(grad).all()) for grad in gradients if grad is not None)
    assert head.net.fc2_logvar is not None
    assert bool((head.net.fc2_logvar.weight.grad != 0).any())
    prediction = head.predict(output, ones)
    assert prediction.sigma_judges_execution is None
    assert bool((prediction.sigma > 0).all())


def _four_raters() -> tuple[JudgesHead, torch.Tensor, Targets]:
    """Four raters and a sum, whose variances have closed forms; marks of three samples."""
    head = _head("sum_of_elements", num_judges=4)
    marks = torch.tensor([[3.0, 4.0, 5.0, 2.0], [6.0, 6.5, 7.0, 8.0], [1.0, 2.5, 1.0, 0.0]])
    execution = marks.sum(dim=1)
    difficulty = torch.tensor([2.0, 3.0, 1.5])
    targets = Targets(execution * difficulty, execution, difficulty, marks)
    head.fit_to(targets, standardize=True)
    return head, marks, targets


OWN, COMMON = [0.04, 0.25, 0.09, 0.16], 0.49  # variances in units of the marks' scale


def _output(num_samples: int) -> HeadOutput:
    mu = torch.tensor([[0.1, -0.4, 0.3, 0.8], [-1.0, 0.2, 0.0, 0.5], [0.6, 0.6, -0.2, -0.1]])
    log_variance = torch.tensor([*OWN, COMMON]).log().repeat(num_samples, 1)
    return HeadOutput(mu[:num_samples], log_variance)


def test_prediction_in_closed_form() -> None:
    """A sum of four: own variances add up, the common deviation counts four times."""
    head, marks, targets = _four_raters()
    scale, centre = marks.std().item(), marks.mean().item()
    output = _output(3)
    head.sigma_scale.fill_(1.5)
    prediction = head.predict(output, targets.difficulty)
    mu = 4 * centre + scale * output.values.sum(dim=1).numpy()
    sigma = 1.5 * scale * (sum(OWN) + 16 * COMMON) ** 0.5
    difficulty = targets.difficulty.numpy()
    np.testing.assert_allclose(prediction.mu_execution, mu, rtol=1e-5)
    np.testing.assert_allclose(prediction.mu, mu * difficulty, rtol=1e-5)
    np.testing.assert_allclose(prediction.sigma_execution, sigma, rtol=0.01)
    np.testing.assert_allclose(prediction.sigma, sigma * difficulty, rtol=0.01)
    assert prediction.sigma_judges_execution is not None
    np.testing.assert_allclose(
        prediction.sigma_judges_execution, scale * sum(OWN) ** 0.5, rtol=0.01
    )


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (2.0, 3.0)])
def test_the_loss_in_closed_form(alpha: float, beta: float) -> None:
    """The user's weights reach the execution alone; the panel has the plain likelihood."""
    head, marks, targets = _four_raters()
    output = _output(3)
    options = loss_options("nll", alpha=alpha, beta=beta)
    loss = head.loss(output, targets, options=options, warmup=False)
    scale, execution = marks.std().item(), marks.sum(dim=1).numpy()
    # the marks about their panel's mean, in units of the marks' scale
    own = np.array(OWN)
    variance = own * (1 - 2 / 4) + own.mean() / 4
    about = ((marks - marks.mean(dim=1, keepdim=True)) / scale).numpy()
    guess = (output.values - output.values.mean(dim=1, keepdim=True)).numpy()
    panel = (0.5 * (about - guess) ** 2 / variance + 0.5 * np.log(variance)).mean()
    # the execution, in units of its own scale
    unit = execution.std(ddof=1)
    mu = 4 * marks.mean().item() + scale * output.values.sum(dim=1).numpy()
    spread = scale * (own.sum() + 16 * COMMON) ** 0.5
    of_execution = alpha * (execution - mu) ** 2 / spread**2 + 2 * beta * np.log(spread / unit)
    assert loss.item() == pytest.approx(panel + of_execution.mean(), rel=0.02)


def test_the_warm_up_is_the_error_of_the_marks() -> None:
    head, marks, targets = _four_raters()
    output = _output(3)
    options = loss_options("nll", alpha=2.0, beta=3.0)
    loss = head.loss(output, targets, options=options, warmup=True)
    standardised = (marks - marks.mean()) / marks.std()
    assert loss.item() == pytest.approx((output.values - standardised).square().mean().item())


def test_the_spread_of_one_mark_is_exact() -> None:
    """The points' variance is 1, so the integral adds nothing of its own."""
    mean, std = _propagated("sum_of_elements", [3.0], [0.5], 0.0)
    assert (mean, std) == (pytest.approx(3.0, rel=1e-12), pytest.approx(0.5, rel=1e-9))


@pytest.mark.parametrize(("log_variance", "variance"), [(-60.0, np.exp(-10)), (60.0, np.exp(10))])
def test_variances_stay_within_their_bounds(log_variance: float, variance: float) -> None:
    head, marks, targets = _four_raters()
    output = HeadOutput(torch.zeros(3, 4), torch.full((3, 5), log_variance))
    sigma = head.predict(output, targets.difficulty).sigma_execution
    np.testing.assert_allclose(sigma, marks.std() * (20 * variance) ** 0.5, rtol=0.01)
