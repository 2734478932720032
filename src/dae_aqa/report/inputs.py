"""What the report is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from dae_aqa.errors import EvaluationError
from dae_aqa.metrics.summary import JsonValue
from dae_aqa.tables.predictions import check_predictions, has_sigma

Thumbnails = Callable[[str], Sequence[bytes]]


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Everything that the page says; the same inputs give the same bytes.

    Attributes:
        predictions: the predictions table.
        metrics: the dict of `evaluate_predictions`; the page computes no figure of its own that
            stands there.
        annotations: the annotations table, with at least the rows of the predictions.
        training_curves: the table of learning curves, `dae_aqa.training.history.COLUMNS`; None or
            empty where there is no training to show.
        params: the parameters that made the model, as read from `params.yaml` (nested dicts).
        provenance: what else made it, in the order to show: `dataset` and `model` are needed;
            usual are `backbone`, `num_epochs`, `kept_epoch`, `epoch_choice`. Nothing that
            depends on the run, the commit, the machine or the time: the page is a DVC output, and
            whoever makes it from the same inputs has to get the same bytes. The MLflow run holds
            these.
        thumbnails: gives JPEG frames of a sample in time order for its film strip; None for no
            strips.
        excluded: samples left out, `sample_id`, `reason` and any further columns.
        truth: what a simulator knows of each sample: `sample_id` and columns `fault_<name>`, the
            severities in [0, 1]; others are ignored; None or empty for a real dataset.
        notes: further sentences that a reader should know, e.g. rows whose official score differs
            from the rule.
        num_worst: samples shown with film strips among the worst and among the most surprising.
        num_train: samples that the model was trained on.
        num_val: samples that chose its epoch and scaled its sigma.
    """

    predictions: pd.DataFrame
    metrics: Mapping[str, JsonValue]
    annotations: pd.DataFrame
    training_curves: pd.DataFrame | None
    params: Mapping[str, object]
    provenance: Mapping[str, object]
    thumbnails: Thumbnails | None
    excluded: pd.DataFrame
    truth: pd.DataFrame | None
    notes: Sequence[str] = field(default=())
    num_worst: int
    num_train: int
    num_val: int

    @property
    def dataset(self) -> str:
        """The dataset's name."""
        return str(self.provenance["dataset"])

    @property
    def has_sigma(self) -> bool:
        """Whether the model says how sure it is."""
        return has_sigma(self.predictions)

    def number(self, key: str) -> float | None:
        """Return the metric `key` as a number, or None where it is absent or undefined."""
        value = self.metrics.get(key)
        return float(value) if isinstance(value, int | float) else None

    def samples(self) -> pd.DataFrame:
        """Return the predictions with what the page derives of each sample.

        Added columns: `action_class`, `judge_scores`, `video_id`, `start_frame`, `end_frame`;
        `error` (mu - final_score: positive where overrated), `abs_error`, and `surprise`
        (|error| / sigma, NaN without sigma).

        Raises:
            EvaluationError: predictions are bad, a sample has no annotation, or provenance lacks
                a key.
        """
        missing = [key for key in ("dataset", "model") if key not in self.provenance]
        if missing:
            raise EvaluationError(f"the report's provenance needs {' and '.join(missing)}.")
        table = check_predictions(self.predictions, source="predictions")
        details = self.annotations.set_index("sample_id")
        unknown = [name for name in table["sample_id"] if name not in details.index]
        if unknown:
            raise EvaluationError(
                f"{len(unknown)} predicted sample(s) are not in the annotations table, the first "
                f"is {unknown[0]!r}: predictions and annotations come from different datasets. Run "
                "`dvc repro` to bring them together."
            )
        names = ["action_class", "judge_scores", "video_id", "start_frame", "end_frame"]
        table = table.join(details[names], on="sample_id")
        table["error"] = table["mu"] - table["final_score"]
        table["abs_error"] = table["error"].abs()
        table["surprise"] = table["abs_error"] / table["sigma"].astype(np.float64)
        return table
