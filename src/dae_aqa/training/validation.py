"""What the samples that choose the epoch say of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from dae_aqa.metrics.accuracy import MetricUndefinedError, mae, relative_l2, spearman
from dae_aqa.metrics.calibration import nll
from dae_aqa.metrics.sample_size import MIN_RANKED
from dae_aqa.models.targets import ScorePrediction, Targets


def validation_figures(prediction: ScorePrediction, targets: Targets) -> dict[str, float]:
    """Return the columns `val_…` of the learning curves; NaN where a figure is undefined.

    Args:
        prediction: of N samples.
        targets: their true scores.
    """
    final, score = prediction.mu.numpy(), targets.final_score.double().numpy()
    execution = prediction.mu_execution.numpy(), targets.execution_score.numpy()
    score_range = float(score.min()), float(score.max())
    return {
        "val_mae": mae(predicted=final, target=score),
        "val_rl2_x100": 100
        * _or_nan(lambda: relative_l2(predicted=final, target=score, score_range=score_range)),
        "val_nll": nll(forecast=prediction.forecast(), target=score),
        "val_spearman": _rho(final, score),
        "val_spearman_execution": _rho(*execution),
    }


def _rho(predicted: npt.NDArray[Any], target: npt.NDArray[Any]) -> float:
    # all predictions may be equal, as in the first epochs
    few = len(target) < MIN_RANKED
    return math.nan if few else _or_nan(lambda: spearman(predicted=predicted, target=target))


def _or_nan(figure: Callable[[], float]) -> float:
    try:
        return figure()
    except MetricUndefinedError:
        return math.nan
