"""What a model learns from and what it gives back, in score points, checked at the door."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dae_aqa import scoring
from dae_aqa.errors import ModelError
from dae_aqa.metrics.mixture import Mixture
from dae_aqa.wording import problem_list

_MAX_SHOWN = 20


@dataclass(frozen=True)
class _OfSamples:
    """Tensors whose first axis is N samples; one may be None."""

    def to(self, device: torch.device | str) -> Self:
        """Return the same on `device`."""
        return self._each(lambda values: values.to(device))

    def take(self, rows: Tensor) -> Self:
        """Return those of the samples at `rows` (indices or a mask)."""
        return self._each(lambda values: values[rows])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(
            self, **{name: change(value) for name, value in values.items() if value is not None}
        )


@dataclass(frozen=True)
class Targets(_OfSamples):
    """True scores of N samples, in score points.

    Attributes:
        final_score: official final scores (N,).
        execution_score: the judged part before difficulty (N,).
        difficulty: degree of difficulty (N,), 1.0 where the sport has none.
        judge_scores: marks in judge order (N, J), or None where unknown.
        action_class: `class_codes` of what was performed (N,), int64, or None where unknown.
    """

    final_score: Tensor
    execution_score: Tensor
    difficulty: Tensor
    judge_scores: Tensor | None
    action_class: Tensor | None = None


@dataclass(frozen=True)
class ScorePrediction(_OfSamples):
    """What a model predicts of N samples, float64, in score points; tensors are (N,).

    Attributes:
        mu: the answer for the final score: the mean of what is predicted, unless the model decodes
            it as published (`train.decoding`).
        sigma: standard deviation of the final score, > 0.
        mu_execution: the answer for the execution score.
        sigma_execution: standard deviation of the execution score, > 0.
        sigma_judges_execution: the part of it that comes from judges who scatter among themselves,
            > 0; None where the model does not tell it apart.
        mixture_execution: weight, mean and sigma (N, 3, K) of the components of the execution
            score's distribution; None where that is the Gaussian of mu and sigma.
        marks: what each judge, or for each element, is expected to give (N, J); None where the
            model knows no marks.
    """

    mu: Tensor
    sigma: Tensor
    mu_execution: Tensor
    sigma_execution: Tensor
    sigma_judges_execution: Tensor | None = None
    mixture_execution: Tensor | None = None
    marks: Tensor | None = None

    def forecast(self) -> Mixture:
        """Return the distributions of the final scores."""
        if self.mixture_execution is None:
            return Mixture.gaussian(mu=self.mu.numpy(), sigma=self.sigma.numpy())
        execution = Mixture(*self.mixture_execution.numpy().transpose(1, 0, 2))
        return execution.scaled((self.sigma / self.sigma_execution).numpy())

    @classmethod
    def joined(cls, parts: Sequence[ScorePrediction]) -> ScorePrediction:
        """Return the predictions of all parts, one part after the other."""
        told = [each.name for each in fields(cls) if getattr(parts[0], each.name) is not None]
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in told})


def make_targets(
    *,
    final_score: Sequence[float],
    difficulty: Sequence[float],
    judge_scores: Sequence[Sequence[float]] | None,
    scoring_rule: str | None,
    sample_ids: Sequence[str],
    action_class: Sequence[str] | None = None,
) -> Targets:
    """Return checked targets, float32; the execution score is `final_score / difficulty`.

    Args:
        final_score: official final scores, in score points.
        difficulty: degrees of difficulty.
        judge_scores: marks per sample in judge order; None where the model needs none.
        scoring_rule: the rule that the marks must fit; needed with `judge_scores`.
        sample_ids: names for messages.
        action_class: what was performed, by name; None where that is unknown.

    Raises:
        ModelError: a score or a difficulty is not finite, or a difficulty is not > 0.
        ScoringError: a sample's marks do not fit the rule.
    """
    final = np.asarray(final_score, dtype=np.float64)
    dd = np.asarray(difficulty, dtype=np.float64)
    if not len(final) == len(dd) == len(sample_ids):
        raise ModelError(
            f"targets of {len(sample_ids)} samples need as many scores and difficulties, "
            f"got {len(final)} and {len(dd)}."
        )
    _refuse_rows(
        ~np.isfinite(final), sample_ids, "final_score must be a finite number", values=final
    )
    _refuse_rows(~(np.isfinite(dd) & (dd > 0)), sample_ids, "difficulty must be > 0", values=dd)
    marks = None
    if judge_scores is not None:
        if scoring_rule is None:
            raise ModelError("targets with judge_scores need the dataset's scoring_rule, got None.")
        checked = scoring.judge_matrix(judge_scores, rule=scoring_rule, sample_ids=sample_ids)
        marks = torch.from_numpy(checked).float()
    return Targets(
        final_score=torch.from_numpy(final).float(),
        execution_score=torch.from_numpy(final / dd).float(),
        difficulty=torch.from_numpy(dd).float(),
        judge_scores=marks,
        action_class=None if action_class is None else class_codes(action_class),
    )


def class_codes(names: Sequence[str]) -> Tensor:
    """Return a number for each name, int64 (N,), the same for the same name at any time."""
    return torch.tensor([zlib.crc32(name.encode()) for name in names], dtype=torch.int64)


def check_features(features: Tensor, *, sample_ids: Sequence[str]) -> None:
    """Raise if the features (N, ...) of a sample hold a value that is not finite.

    Raises:
        ModelError: names every such sample (the first 20).
    """
    _refuse_not_finite(
        features, sample_ids, "its features hold NaN or infinity; check its frames and the weights"
    )


def check_output(means: Tensor, *, sample_ids: Sequence[str]) -> None:
    """Raise if the means (N, ...) that a model gives for a sample are not finite.

    Raises:
        ModelError: names every such sample (the first 20).
    """
    _refuse_not_finite(
        means,
        sample_ids,
        "the model's output for it is NaN or infinite; check its frames and the weights",
    )


def _refuse_not_finite(values: Tensor, sample_ids: Sequence[str], message: str) -> None:
    _refuse_rows(~torch.isfinite(values.flatten(1)).all(dim=1).cpu().numpy(), sample_ids, message)


def _refuse_rows(
    bad: NDArray[np.bool_],
    sample_ids: Sequence[str],
    message: str,
    *,
    values: NDArray[np.float64] | None = None,
) -> None:
    """Raise a ModelError that names the samples whose row is bad, and their values."""
    lines = [
        f"sample {sample_ids[row]!r}: {message}"
        + ("" if values is None else f", got {values[row]}")
        for row in np.flatnonzero(bad).tolist()
    ]
    if lines:
        raise ModelError(f"samples cannot be used; {problem_list(lines, limit=_MAX_SHOWN)}")
