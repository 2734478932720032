"""What a scorer says of one performance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.metrics.mixture import Mixture
from dae_aqa.models.targets import ScorePrediction
from dae_aqa.scorer.window import Window
from dae_aqa.tables.predictions import rounded

INTERVALS = (0.5, 0.9)  # central intervals that an answer holds


@dataclass(frozen=True, kw_only=True)
class Familiarity:
    """How far a performance is from those that the model was trained on.

    Attributes:
        distance: to the nearest training sample, in units of the model's features.
        percentile: how many of 100 training samples lie nearer to another one.
        is_unlike: whether it is unlike all that the model has seen, so that the score means little.
    """

    distance: float
    percentile: float
    is_unlike: bool


@dataclass(frozen=True, kw_only=True)
class Score:
    """The predicted score of one performance, in points of the sport's scale.

    Numbers have nine significant digits, as in `predictions.csv`.

    Attributes:
        name: of the clip.
        mu: the answer: predicted final score.
        sigma: standard deviation of the prediction.
        mu_execution: predicted execution score, before the difficulty.
        sigma_execution: its standard deviation.
        difficulty: degree of difficulty that was used; 1.0 where there is none.
        distribution: of the final score, a mixture of one sample.
        sigma_aleatoric: of an ensemble, what its models expect on average; None for one model.
        sigma_epistemic: of an ensemble, how far its models disagree; None for one model.
        marks: what each judge, or for each element, is expected to give; None where the model
            knows no marks.
        sigma_judges: the part of sigma that comes from judges who scatter among themselves; None
            where the model does not tell it apart.
        frame_numbers: of the frames that the model looked at.
        start_seconds: where the clip begins, from the start of the video.
        end_seconds: where it ends.
        familiarity: how far it is from training; None where the model file does not know.
        notes: what there is to know, a sentence each.
    """

    name: str
    mu: float
    sigma: float
    mu_execution: float
    sigma_execution: float
    difficulty: float
    distribution: Mixture
    sigma_aleatoric: float | None
    sigma_epistemic: float | None
    marks: tuple[float, ...] | None
    sigma_judges: float | None
    frame_numbers: tuple[int, ...]
    start_seconds: float
    end_seconds: float
    familiarity: Familiarity | None
    notes: tuple[str, ...]

    @property
    def is_unlike(self) -> bool:
        """Whether the performance is unlike all that the model has seen."""
        return self.familiarity is not None and self.familiarity.is_unlike

    def interval(self, share: float) -> tuple[float, float]:
        """Return the central interval that should hold the score with this chance.

        Args:
            share: between 0 and 1.
        """
        tail = (1 - share) / 2
        low, high = (float(self.distribution.quantile(each)[0]) for each in (tail, 1 - tail))
        return rounded(low), rounded(high)

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as JSON holds it: numbers, texts, lists and None."""
        look = self.familiarity
        return {
            "name": self.name,
            "mu": self.mu,
            "sigma": self.sigma,
            "intervals": {f"{100 * share:g}": list(self.interval(share)) for share in INTERVALS},
            "mu_execution": self.mu_execution,
            "sigma_execution": self.sigma_execution,
            "difficulty": self.difficulty,
            "sigma_aleatoric": self.sigma_aleatoric,
            "sigma_epistemic": self.sigma_epistemic,
            "marks": None if self.marks is None else list(self.marks),
            "sigma_judges": self.sigma_judges,
            "frame_numbers": list(self.frame_numbers),
            "start_seconds": self.start_seconds,
            "end_seconds": self.end_seconds,
            "unlike_training": None if look is None else look.is_unlike,
            "familiarity_percentile": None if look is None else rounded(look.percentile),
            "notes": list(self.notes),
        }


def make_score(
    predictions: Sequence[ScorePrediction],
    *,
    name: str,
    difficulty: float,
    window: Window,
    familiarities: Sequence[Familiarity],
    notes: Sequence[str],
) -> Score:
    """Return the answer for one performance from what each model of an ensemble says of it.

    The distribution of an ensemble is the mixture of its models', all of one weight. Its variance
    is the mean of theirs, the aleatoric part, and the variance of their means, the epistemic part.

    Source: Lakshminarayanan et al. 2017, "Simple and scalable predictive uncertainty estimation
    using deep ensembles", section 2.4.

    Args:
        predictions: of one performance each.
        name: of the clip.
        difficulty: degree of difficulty, float64, which the final score is multiplied by.
        window: the frames that were looked at.
        familiarities: by those models that know how usual the performance is.
        notes: what there is to know besides the notes on the frames.
    """
    mu = np.array([float(each.mu_execution) for each in predictions])
    sigma = np.array([float(each.sigma_execution) for each in predictions])
    is_ensemble = len(predictions) > 1
    aleatoric, epistemic = float(np.sqrt((sigma**2).mean())), float(mu.std())
    mu_execution, sigma_execution = (
        (float(mu.mean()), float(np.hypot(aleatoric, epistemic)))
        if is_ensemble
        else (float(mu[0]), float(sigma[0]))
    )
    marks = [each.marks.numpy()[0] for each in predictions if each.marks is not None]
    judges = [
        float(each.sigma_judges_execution)
        for each in predictions
        if each.sigma_judges_execution is not None
    ]
    return Score(
        name=name,
        mu=rounded(mu_execution * difficulty),
        sigma=rounded(sigma_execution * difficulty),
        mu_execution=rounded(mu_execution),
        sigma_execution=rounded(sigma_execution),
        difficulty=difficulty,
        distribution=_distribution(predictions).scaled(np.array([difficulty])),
        sigma_aleatoric=rounded(aleatoric * difficulty) if is_ensemble else None,
        sigma_epistemic=rounded(epistemic * difficulty) if is_ensemble else None,
        marks=tuple(map(rounded, np.mean(marks, axis=0).tolist())) if marks else None,
        sigma_judges=rounded(float(np.sqrt(np.square(judges).mean())) * difficulty)
        if judges
        else None,
        frame_numbers=window.frame_numbers,
        start_seconds=window.start_seconds,
        end_seconds=window.end_seconds,
        familiarity=_common(familiarities),
        notes=(*window.notes, *notes),
    )


def familiarity_of(trained: TrainedModel, features: Tensor) -> Familiarity | None:
    """Return how usual a performance with clip features (K, D) is; None where it is not known."""
    usual = trained.features
    if usual is None:
        return None
    distance = usual.distance(features)
    return Familiarity(
        distance=distance,
        percentile=usual.percentile(distance),
        is_unlike=distance > usual.threshold,
    )


def _distribution(predictions: Sequence[ScorePrediction]) -> Mixture:
    """Return the mixture of one performance's execution score, all models of one weight."""
    parts = []
    for each in predictions:
        if each.mixture_execution is None:
            mu, sigma = float(each.mu_execution), float(each.sigma_execution)
            parts.append(np.array([[1.0], [mu], [sigma]]))
        else:
            parts.append(each.mixture_execution.numpy()[0])
    weights = [part[0] / len(parts) for part in parts]
    means, sigmas = ([part[row] for part in parts] for row in (1, 2))
    return Mixture(*(np.concatenate(column)[None] for column in (weights, means, sigmas)))


def _common(familiarities: Sequence[Familiarity]) -> Familiarity | None:
    """Return what the models say together: unlike where most of them say so."""
    if not familiarities:
        return None
    votes = sum(each.is_unlike for each in familiarities)
    return Familiarity(
        distance=float(np.mean([each.distance for each in familiarities])),
        percentile=float(np.mean([each.percentile for each in familiarities])),
        is_unlike=2 * votes > len(familiarities),
    )
