"""The trained model as MLflow serves it: a table of clips in, a table of scores out.

A clip comes as the bytes of its video, or as a path below the folder that the environment variable
DAE_AQA_CLIPS names. Without that variable no path is read.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dae_aqa.errors import DaeAqaError, ScoreInputError
from dae_aqa.scorer.places import file_below
from dae_aqa.scorer.score import Score
from dae_aqa.scorer.scorer import Clip, Outcome, Scorer
from dae_aqa.scorer.window import Stretch

CLIPS_VARIABLE = "DAE_AQA_CLIPS"
# of the input table, besides `video` and `path`; all optional
NUMBERS = ("start_seconds", "end_seconds", "difficulty")


class ServedModel:
    """What `mlflow.pyfunc.load_model` hands out.

    Args:
        scorer: the model.
        clips_dir: the folder below which paths are read; None for no folder.
    """

    def __init__(self, scorer: Scorer, *, clips_dir: Path | None) -> None:
        self._scorer = scorer
        self._clips_dir = clips_dir

    def predict(
        self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Score each clip of a table.

        Args:
            model_input: a row for each clip: `video` (bytes) or `path`; where wanted
                `start_seconds`, `end_seconds`, `difficulty`, and `action_class`.
            params: not used.

        Returns:
            A row for each clip: `mu`, `sigma`, `low_50`, `high_50`, `low_90`, `high_90`,
            `mu_execution`, `sigma_execution`, `unlike_training`, `notes`.

        Raises:
            MlflowException: a clip cannot be scored; its row is named. Of this type alone does
                MLflow's server pass the words on; the answer has status 400.
        """
        del params
        try:
            with tempfile.TemporaryDirectory(prefix="dae-aqa-clips-") as folder:
                clips = list(self._clips(model_input, Path(folder)))
                scores = [_score_of(outcome) for outcome in self._scorer.score_many(clips)]
        except DaeAqaError as error:
            from dae_aqa.tracking.requests import bad_request  # the package scores without MLflow

            raise bad_request(str(error)) from error
        return pd.DataFrame([_row(score) for score in scores])

    def _clips(self, table: pd.DataFrame, folder: Path) -> Iterator[Clip]:
        """Yield the clips of the table; bytes become files in `folder`.

        Raises:
            ScoreInputError: the table or a row of it is no such clip.
        """
        if not isinstance(table, pd.DataFrame) or table.empty:
            raise ScoreInputError("give a table with a row for each clip.")
        for number, row in enumerate(table.to_dict(orient="records")):
            name = f"row {number}"
            numbers = {key: _number(row.get(key), key, name) for key in NUMBERS}
            action_class = row.get("action_class")
            yield Clip(
                video=self._video(row, name, folder / f"clip {number}"),
                stretch=Stretch(
                    start_seconds=numbers["start_seconds"], end_seconds=numbers["end_seconds"]
                ),
                difficulty=numbers["difficulty"],
                action_class=action_class if isinstance(action_class, str) else None,
                name=name,
            )

    def _video(self, row: Mapping[Any, object], name: str, target: Path) -> Path:
        """Return the file of a row's video, written to `target` where it comes as bytes."""
        content, path = row.get("video"), row.get("path")
        if isinstance(content, bytes) and not isinstance(path, str):
            target.write_bytes(content)
            return target
        if not isinstance(path, str) or isinstance(content, bytes):
            raise ScoreInputError(
                f"{name}: give either `video`, the bytes of a video file, or `path`."
            )
        if self._clips_dir is None:
            raise ScoreInputError(
                f"{name}: paths are not read here. Send the video itself, or let the operator name "
                f"the folder of clips in the environment variable {CLIPS_VARIABLE}."
            )
        return file_below(self._clips_dir, path)


def _score_of(outcome: Outcome) -> Score:
    if outcome.score is None:
        raise ScoreInputError(f"{outcome.clip.shown_name}: {outcome.message}")
    return outcome.score


def _row(score: Score) -> dict[str, object]:
    (low_50, high_50), (low_90, high_90) = score.interval(0.5), score.interval(0.9)
    return {
        "mu": score.mu,
        "sigma": score.sigma,
        "low_50": low_50,
        "high_50": high_50,
        "low_90": low_90,
        "high_90": high_90,
        "mu_execution": score.mu_execution,
        "sigma_execution": score.sigma_execution,
        "unlike_training": score.is_unlike,
        "notes": "; ".join(score.notes),
    }


def _number(value: object, key: str, name: str) -> float | None:
    if value is None or value is pd.NA or value != value:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ScoreInputError(f"{name}: {key} must be a number, got {value!r}.")
    return float(value)


def _load_pyfunc(path: str) -> ServedModel:
    """Return the model file at `path` as MLflow serves it; called by `mlflow.pyfunc`."""
    folder = os.environ.get(CLIPS_VARIABLE)
    return ServedModel(Scorer.load(path), clips_dir=None if folder is None else Path(folder))
