"""The trained model as MLflow serves it: frames in, mu and sigma out.

MLflow checks what callers send against the model's signature first. From an array it takes no other
type than uint8. A server, though, turns the numbers of a JSON request into uint8 by itself: floats
lose their fractions without a word (numbers below 0 or above 255 are refused).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from dae_aqa.errors import ModelError

DIFFICULTY = "difficulty"
# What is left of frames scaled to 0 … 1 is 0 and 1, of normalised ones at most 2.
_DARK = 2


class Scorer(Protocol):
    """Scores samples by their frames; what a loader module builds from a model file."""

    def __call__(
        self, frames: NDArray[np.uint8], *, difficulty: NDArray[np.float64]
    ) -> tuple[ArrayLike, ArrayLike]:
        """Return mu and sigma of the final score, (N,) each.

        Args:
            frames: uint8 RGB, (N, F, H, W, 3), the frames of N windows in order.
            difficulty: float64, (N,), 1.0 where the sport has none.

        Raises:
            ModelError: the frames do not fit the model.
        """


class ServedModel:
    """What `mlflow.pyfunc.load_model` hands out: checks the input, asks the scorer.

    Args:
        scorer: the model.
        needs_difficulty: whether the difficulty must be given; otherwise it is 1.0 where it is not.
    """

    def __init__(self, scorer: Scorer, *, needs_difficulty: bool) -> None:
        self._scorer = scorer
        self._needs_difficulty = needs_difficulty

    def predict(
        self, model_input: ArrayLike, params: Mapping[str, Sequence[float] | float] | None = None
    ) -> pd.DataFrame:
        """Score each sample.

        Args:
            model_input: uint8 RGB, (N, F, H, W, 3), the frames of N windows in order.
            params: `difficulty`, one number per sample or one for all.

        Returns:
            Table with float64 columns `mu` and `sigma`, score points, one row per sample.

        Raises:
            MlflowException: the frames or the difficulty cannot be scored. Of this type alone does
                MLflow's server pass the words on; the answer has status 400.
        """
        try:
            frames = _checked_frames(np.asarray(model_input))
            difficulty = self._difficulty((params or {}).get(DIFFICULTY, ()), len(frames))
            mu, sigma = self._scorer(frames, difficulty=difficulty)
        except ModelError as error:
            # here, since the package scores without MLflow too
            from mlflow.exceptions import MlflowException
            from mlflow.protos.databricks_pb2 import BAD_REQUEST

            raise MlflowException(str(error), error_code=BAD_REQUEST) from error
        return pd.DataFrame({"mu": np.asarray(mu, float), "sigma": np.asarray(sigma, float)})

    def _difficulty(self, given: ArrayLike, num_samples: int) -> NDArray[np.float64]:
        """Return the difficulty of each sample, (N,); `given` is empty where it was not said."""
        values = np.atleast_1d(np.asarray(given, dtype=np.float64))
        if values.shape == (0,):
            if self._needs_difficulty:
                raise ModelError(
                    "this model scores the execution, and the final score is that times the "
                    "difficulty: give `difficulty` among the params, one number per sample or one "
                    'for all, e.g. {"difficulty": [3.2]}; 1.0 gives the execution score.'
                )
            values = np.ones(1)
        right = values.shape in ((1,), (num_samples,))
        if not right or not (np.isfinite(values) & (values > 0)).all():
            raise ModelError(
                f"`difficulty` must be one positive number, or one for each of the {num_samples} "
                f"sample(s), got {values.tolist()}."
            )
        return np.broadcast_to(values, (num_samples,)).copy()


def _checked_frames(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the frames (N, F, H, W, 3).

    Raises:
        ModelError: they have another type or shape, or a window of them shows nothing.
    """
    if frames.dtype != np.uint8 or frames.ndim != 5 or frames.shape[-1] != 3:
        raise ModelError(
            "The model takes uint8 RGB frames of shape (N, F, H, W, 3), got "
            f"{frames.dtype} of shape {frames.shape}."
        )
    brightest = frames.max(axis=(1, 2, 3, 4), initial=0)
    if (brightest <= _DARK).any():
        row = int(np.flatnonzero(brightest <= _DARK)[0])
        raise ModelError(
            f"the frames of sample {row} are black: no value is above {brightest[row]} of 255. "
            "Give whole numbers from 0 to 255, neither scaled to 0 … 1 nor normalised."
        )
    return frames


def _load_pyfunc(path: str) -> ServedModel:
    """Return the model file at `path` as MLflow serves it; called by `mlflow.pyfunc`."""
    # here, since a run is opened long before torch is needed
    from dae_aqa.inference.trained_model import TrainedModel

    trained = TrainedModel.load(Path(path))
    return ServedModel(trained.score_frames, needs_difficulty=trained.needs_difficulty)
