"""The trained model as MLflow serves it: frames in, mu and sigma out. Needs no mlflow itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from dae_aqa.errors import ModelError

DIFFICULTY = "difficulty"


class Scorer(Protocol):
    """Scores samples by their frames; what a loader module builds from a model file."""

    def __call__(
        self, frames: NDArray[np.uint8], *, difficulty: NDArray[np.float64]
    ) -> tuple[ArrayLike, ArrayLike]:
        """Return mu and sigma of the final score, (N,) each.

        Args:
            frames: uint8 RGB, (N, F, H, W, 3), the frames of N windows in order.
            difficulty: float64, (N,), 1.0 where the sport has none.
        """


class ServedModel:
    """What `mlflow.pyfunc.load_model` hands out: checks the input, asks the scorer."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def predict(
        self, model_input: ArrayLike, params: Mapping[str, Sequence[float] | float] | None = None
    ) -> pd.DataFrame:
        """Score each sample.

        Args:
            model_input: uint8 RGB, (N, F, H, W, 3), the frames of N windows in order.
            params: `difficulty`, one number per sample or one for all; 1.0 where not given, which
                makes a model of execution scores answer on the execution scale.

        Returns:
            Table with float64 columns `mu` and `sigma`, score points, one row per sample.

        Raises:
            ModelError: the frames or the difficulty have a wrong type or shape.
        """
        frames = np.asarray(model_input)
        if frames.dtype != np.uint8 or frames.ndim != 5 or frames.shape[-1] != 3:
            raise ModelError(
                "The model takes uint8 RGB frames of shape (N, F, H, W, 3), got "
                f"{frames.dtype} of shape {frames.shape}."
            )
        given = np.atleast_1d(np.asarray((params or {}).get(DIFFICULTY, 1.0), dtype=np.float64))
        if (
            given.shape not in ((1,), (len(frames),))
            or not (np.isfinite(given) & (given > 0)).all()
        ):
            raise ModelError(
                f"`difficulty` must be one positive number, or one for each of the {len(frames)} "
                f"sample(s), got {given.tolist()}."
            )
        difficulty = np.broadcast_to(given, (len(frames),)).copy()
        mu, sigma = self._scorer(frames, difficulty=difficulty)
        return pd.DataFrame({"mu": np.asarray(mu, float), "sigma": np.asarray(sigma, float)})
