"""What the report is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from dae_aqa.errors import EvaluationError
from dae_aqa.metrics.forecast import forecast_of
from dae_aqa.metrics.parts import PartMetrics
from dae_aqa.metrics.summary import JsonValue
from dae_aqa.report.references import Reference

Thumbnails = Callable[[str], Sequence[bytes]]
LEVEL = 0.9  # of the intervals that the page speaks of


@dataclass(frozen=True)
class KeptEpoch:
    """The epoch whose weights are evaluated.

    Attributes:
        epoch: counted from 0.
        chosen_by: how it was chosen, e.g. 'the last one, since 1 validation sample cannot choose'.
    """

    epoch: int
    chosen_by: str


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Everything that the page says; the same inputs give the same bytes.

    Nothing here depends on the run, the commit, the machine or the time: the page is a DVC output,
    and whoever makes it from the same inputs has to get the same bytes. The MLflow run holds these.

    Attributes:
        dataset: name of the dataset.
        model: name of the method.
        backbone: name of the network that looks at the clips.
        checkpoint: the imported checkpoint, where the model was not trained here.
        predictions: the checked predictions table, one row per sample.
        metrics: the dict of `evaluate_predictions`; the page computes no figure of its own that
            stands there.
        part_metrics: that of `evaluate_parts`; None where there is but one part.
        parts_of: by sample, the part that tests it; empty where there is but one part, and where a
            sample is tested by several.
        references: what the model's rank correlation is compared with.
        annotations: the annotations table, with at least the rows of the predictions.
        truth: what a simulator knows of each sample: `sample_id` and columns `fault_<name>`, the
            severities in [0, 1]; others are ignored. A real dataset has no row.
        excluded: samples left out, `sample_id`, `reason` and any further columns.
        notes: further sentences that a reader should know, e.g. rows whose official score differs
            from the rule.
        learning_curves: one row per epoch, `dae_aqa.training.history.COLUMNS`, and the column
            `part` where there are several; no row where the model was not trained here.
        kept_epochs: by part, which of these epochs is evaluated; none where nothing was trained.
        num_warmup_epochs: epochs at the start that were trained with another loss.
        params: the parameters that were used, nested as in `params.yaml`.
        thumbnails: gives JPEG frames of a sample in time order for its film strip.
        num_worst: samples shown with film strips among the worst and among the most surprising.
        num_train: samples that the model was trained on.
        num_val: samples that chose its epoch and scaled its sigma.
        protocol: `honest`, or `as_published` where these are the test samples.
    """

    dataset: str
    model: str
    backbone: str
    checkpoint: str | None
    predictions: pd.DataFrame
    metrics: Mapping[str, JsonValue]
    part_metrics: PartMetrics | None
    parts_of: Mapping[str, str]
    references: Sequence[Reference]
    annotations: pd.DataFrame
    truth: pd.DataFrame
    excluded: pd.DataFrame
    notes: Sequence[str]
    learning_curves: pd.DataFrame
    kept_epochs: Mapping[str, KeptEpoch]
    num_warmup_epochs: int
    params: Mapping[str, object]
    thumbnails: Thumbnails
    num_worst: int
    num_train: int
    num_val: int
    protocol: str = "honest"

    @property
    def kept_epoch(self) -> KeptEpoch | None:
        """The epoch whose weights are evaluated; None where there are several parts, or none."""
        return self.kept_epochs.get("")

    def number(self, key: str) -> float | None:
        """Return the metric `key` as a number, or None where it is absent or undefined."""
        value = self.metrics.get(key)
        return float(value) if isinstance(value, int | float) else None

    @property
    def mean_over_tasks(self) -> float | None:
        """The mean rho over tasks, as papers report it; None where there are none, or no mean."""
        if self.part_metrics is None or not self.part_metrics.tasks:
            return None
        mean = self.part_metrics.mean["spearman"]
        return mean if isinstance(mean, float) else None

    def interval(self, key: str) -> tuple[float, float] | None:
        """Return the 95 % interval of the metric `key`, or None where there is none."""
        low, high = self.number(f"{key}_ci95_low"), self.number(f"{key}_ci95_high")
        return None if low is None or high is None else (low, high)

    def ceiling_interval(self, key: str) -> tuple[float, float] | None:
        """Return the 95 % interval of the human ceiling `key`, or None where there is none."""
        low, high = self.number(f"{key}_low"), self.number(f"{key}_high")
        return None if low is None or high is None else (low, high)

    def provenance(self) -> dict[str, str]:
        """Return what made the model, by the words of the page, in the order to show."""
        facts = {
            "dataset": self.dataset,
            "model": self.model,
            "backbone": self.backbone,
            "protocol": self.protocol,
            "num epochs": str(self.learning_curves["epoch"].nunique()),
        }
        if self.kept_epoch is not None:
            facts |= {
                "kept epoch": str(self.kept_epoch.epoch),
                "epoch choice": self.kept_epoch.chosen_by,
            }
        if self.checkpoint is not None:
            facts["imported checkpoint"] = self.checkpoint
        return facts

    def samples(self) -> pd.DataFrame:
        """Return the predictions with what the page derives of each sample.

        Added columns: `action_class`, `judge_scores`, `video_id`, `start_frame`, `end_frame`;
        `part` where it is known; `error` (mu - final_score: positive where overrated),
        `abs_error`, `surprise` (|error| / sigma), `low` and `high` of the 90 % interval, its
        `half_width`, and `outside`: whether the judged score lies outside of it.

        Raises:
            EvaluationError: a sample has no annotation.
        """
        table = self.predictions
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
        if self.parts_of:
            table["part"] = table["sample_id"].map(dict(self.parts_of))
        table["error"] = table["mu"] - table["final_score"]
        table["abs_error"] = table["error"].abs()
        table["surprise"] = table["abs_error"] / table["sigma"]
        forecast, tail = forecast_of(table), (1 - LEVEL) / 2
        table["low"], table["high"] = forecast.quantile(tail), forecast.quantile(1 - tail)
        table["half_width"] = (table["high"] - table["low"]) / 2
        table["outside"] = ~table["final_score"].between(table["low"], table["high"])
        return table
