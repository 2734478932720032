"""`dae_judges`: one Gaussian per judge, and through the sport's rule one of the execution score.

Judges see the same performance, so what a model cannot know about it moves all marks together.
The marks are therefore modelled as `mark_j = mu_j + tau e_0 + sigma_j e_j` with independent
standard normal `e`: `tau` is common to the panel, `sigma_j` is the judge's own. With
`tau = 0` a rule that averages seven judges would promise far too small a variance.

A rule that drops the highest and lowest marks has no closed-form variance for judges that differ.
It is computed by integrating the rule over a fixed set of quasi-random points, the same for every
sample and call: predictions are never random, gradients pass through it, and any rule will do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dae_aqa import scoring
from dae_aqa.errors import ModelError
from dae_aqa.models import losses
from dae_aqa.models.heads.base import (
    GaussianHead,
    GaussianMlp,
    Head,
    HeadOutput,
    exact,
    from_execution,
)
from dae_aqa.models.marks import checked_marks
from dae_aqa.models.options import LossOptions, ModelSpec
from dae_aqa.models.targets import ScorePrediction, Targets

NUM_POINTS = 1024


def normal_points(num_judges: int) -> Tensor:
    """Return fixed standard normal points (NUM_POINTS, J + 1), float64, symmetric about zero.

    Half are scrambled Sobol points through the normal quantile function, the others their mirror
    images, so that means are exact for linear rules; each column has variance 1.

    Source: quasi-Monte Carlo with antithetic points, Owen 2013, "Monte Carlo theory, methods and
    examples", chapters 8 and 15 to 17.
    """
    sobol = torch.quasirandom.SobolEngine(num_judges + 1, scramble=True, seed=0)  # type: ignore[no-untyped-call]
    uniform = sobol.draw(NUM_POINTS // 2, dtype=torch.float64).clamp(1e-9, 1 - 1e-9)
    points = torch.special.ndtri(uniform)
    points = torch.cat((points, -points))
    return points / points.square().mean(dim=0).sqrt()


def propagate(
    *, mu: Tensor, sigma: Tensor, tau: Tensor, rule: Callable[[Any], Any], points: Tensor
) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (N,) of the execution score.

    Args:
        mu: mean mark per judge (N, J).
        sigma: each judge's own standard deviation (N, J).
        tau: standard deviation common to the panel (N,).
        rule: a function of `scoring.SCORING_RULES`, marks (..., J) -> execution (...).
        points: standard normal points (S, J + 1), first column the common one.
    """
    points = points.to(mu)
    common = tau[:, None, None] * points[None, :, :1]  # (N, S, 1)
    own = sigma[:, None, :] * points[None, :, 1:]  # (N, S, J)
    execution = rule(mu[:, None, :] + common + own)  # (N, S)
    variance = execution.var(dim=1, unbiased=False)
    return execution.mean(dim=1), variance.clamp_min(torch.finfo(mu.dtype).tiny).sqrt()


def centred_variance(variance: Tensor) -> Tensor:
    """Return the variances (N, J) of J > 1 independent values less their mean, given theirs (N, J).

    Closed form: `Var(x_j - mean(x)) = v_j (1 - 2 / J) + mean(v) / J`.
    """
    num_judges = variance.shape[1]
    return variance * (1 - 2 / num_judges) + variance.mean(dim=1, keepdim=True) / num_judges


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(dim=1, keepdim=True)


class JudgesHead(GaussianHead):
    """`dae_judges`: a Gaussian per judge, combined by the sport's rule.

    The loss has two parts. How far each mark lies from the mean of its panel teaches what the
    judges scatter among themselves (`sigma_j`): whatever all of them share, a performance that the
    model misjudges above all, is not in these distances. The execution score that the rule makes of
    the marks teaches the rest (`tau`). Both parts of the predicted sigma thus mean something on
    their own, and `ScorePrediction.sigma_judges_execution` gives the first; a single judge has no
    such parts.
    """

    execution_mean: Tensor
    execution_std: Tensor
    points: Tensor

    def __init__(self, net: GaussianMlp, *, rule: scoring.ScoringRule, num_judges: int) -> None:
        super().__init__(net)
        self.rule = rule
        self.register_buffer("execution_mean", torch.zeros(()))
        self.register_buffer("execution_std", torch.ones(()))
        self.register_buffer("points", normal_points(num_judges).float(), persistent=False)

    def target(self, targets: Targets) -> Tensor:
        """Return marks (N, J).

        Raises:
            ModelError: the targets carry no marks, or another number of them.
        """
        return checked_marks(targets, num_judges=self.points.shape[1] - 1, model="dae_judges")

    def fit_to(self, targets: Targets, *, standardize: bool) -> None:
        """Set the scales of marks and of execution scores from the training targets."""
        super().fit_to(targets, standardize=standardize)
        if standardize:
            self._set_scale("execution", self.rule.execution(self.target(targets)))

    def loss(
        self, output: HeadOutput, targets: Targets, *, options: LossOptions, warmup: bool
    ) -> Tensor:
        """Return the loss of the marks about their panel's mean plus that of the execution.

        A single judge has no panel: the loss is then that of the execution alone.
        """
        marks = self.target(targets).to(output.values)
        if warmup:
            return losses.mse(output.values, self._standardized(marks))
        mu, sigma = self._execution(output)
        truth = self.rule.execution(marks)
        execution_loss = losses.gaussian_loss(
            ((mu - self.execution_mean) / self.execution_std).to(output.values),
            (2.0 * torch.log(sigma / self.execution_std)).to(output.values),
            ((truth - self.execution_mean) / self.execution_std).to(output.values),
            options=options,
        )
        if not self._is_panel:
            return execution_loss
        own, _ = self._variances(output)
        panel_loss = losses.gaussian_loss(
            _centred(output.values),
            torch.log(centred_variance(own)),
            _centred(self._standardized(marks)),
            # calibration, which undoes what unequal weights do to sigma, reaches the sum alone
            options=options.replaced(alpha=0.5, beta=0.5),
        )
        return panel_loss + execution_loss

    def predict(
        self, output: HeadOutput, difficulty: Tensor, *, action_class: Tensor | None = None
    ) -> ScorePrediction:
        """Return the Gaussian of the execution score under the rule, and that times difficulty."""
        del action_class
        output = exact(output)
        mu, sigma = self._execution(output)
        sigma_judges = None
        if self._is_panel:
            own, common = self._variances(output)
            _, sigma_judges = self._propagated(output.values, own, torch.zeros_like(common))
        sigma = sigma * self.sigma_scale.to(sigma)
        prediction = from_execution(mu, sigma, difficulty, sigma_judges=sigma_judges)
        mean, std = self.target_mean.to(mu), self.target_std.to(mu)
        return replace(prediction, marks=mean + std * output.values)

    @property
    def _is_panel(self) -> bool:
        """Whether there are several marks, so that they can lie apart."""
        return self.points.shape[1] > 2

    def _variances(self, output: HeadOutput) -> tuple[Tensor, Tensor]:
        """Return each judge's own variance (N, J) and the common one (N, 1), standardised."""
        if output.log_variance is None:
            raise ModelError("dae_judges got an output without variances.")
        variance = torch.exp(losses.bounded_log_variance(output.log_variance))
        return variance[:, :-1], variance[:, -1:]

    def _execution(self, output: HeadOutput) -> tuple[Tensor, Tensor]:
        """Return mean and sigma of the execution score (N,), in score points."""
        return self._propagated(output.values, *self._variances(output))

    def _propagated(self, mu: Tensor, own: Tensor, common: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = self.target_mean.to(mu), self.target_std.to(mu)
        return propagate(
            mu=mean + std * mu,
            sigma=std * own.sqrt(),
            tau=std * common.sqrt().squeeze(1),
            rule=self.rule.execution,
            points=self.points,
        )


def build_head(feature_dim: int, spec: ModelSpec) -> Head:
    """Return the head for features of length `feature_dim`.

    Raises:
        ScoringError: the rule does not take that many judges.
    """
    assert spec.scoring_rule is not None  # by the rules of ModelSpec
    assert spec.num_judges is not None
    judges = spec.num_judges
    rule = scoring.scoring_rule(spec.scoring_rule, num_judges=judges)
    net = GaussianMlp(feature_dim, num_means=judges, num_variances=judges + 1, dropout=spec.dropout)
    return JudgesHead(net, rule=rule, num_judges=judges)
