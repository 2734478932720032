"""The predictions of a part's test samples, by the part's own model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dae_aqa.clips.layout import ClipLayout
from dae_aqa.evaluation.costs import model_costs
from dae_aqa.evaluation.notes import ExemplarCounts
from dae_aqa.evaluation.tables import EvaluationTables, rows_of
from dae_aqa.inference.device import resolve_device
from dae_aqa.inference.predict import predict
from dae_aqa.inference.samples import select_samples
from dae_aqa.inference.trained_model import Seen, TrainedModel
from dae_aqa.models.targets import ScorePrediction
from dae_aqa.splits.make import rows_of_part
from dae_aqa.tables.predictions import build_predictions
from dae_aqa.training.options import TrainingOptions
from dae_aqa.training.session import inputs_of


@dataclass(frozen=True)
class PredictedPart:
    """One part's predictions table, and what is told of the model that made it.

    Attributes:
        predictions: of the part's test samples.
        layout: of the model's clips.
        costs: see `evaluation.costs.model_costs`.
        seen: what the model has seen.
        exemplars: how many exemplars are alike each test sample, and how many should vote; None
            where the model compares with none.
    """

    predictions: pd.DataFrame
    layout: ClipLayout
    costs: Mapping[str, float]
    seen: Seen | None
    exemplars: ExemplarCounts | None

    def num_leaked(self, *, performances_of: str) -> int:
        """Return how many of the test samples had a part in training the model.

        Args:
            performances_of: the dataset whose sample_ids the predictions hold, or ''.
        """
        if self.seen is None:
            return 0
        tested = self.predictions["sample_id"]
        return len(self.seen.among(tested, performances_of=performances_of))


def predict_part(
    part: str,
    model_path: Path,
    *,
    options: TrainingOptions,
    tables: EvaluationTables,
    frames_dir: Path,
    features_dir: Path,
) -> PredictedPart:
    """Return the predictions of one part's test samples, and what of the model they come from.

    Args:
        part: name of the part.
        model_path: its model file.
        options: how the model was trained.
        tables: of the stages before.
        frames_dir: folder of packed samples.
        features_dir: cache of clip features, used where only the head was trained.

    Raises:
        DaeAqaError: tables, model or frames do not fit together.
    """
    trained = TrainedModel.load(model_path)
    trained.model.to(resolve_device(options.device))
    samples = select_samples(
        tables.annotations,
        rows_of_part(tables.splits, part),
        split=("test",),
        scoring_rule=None,  # the marks of judges are not looked at
        with_judges=False,
    )
    trained.check_exemplars(samples)
    inputs = inputs_of(options, frames_dir=frames_dir, features_dir=features_dir)
    prediction = predict(
        trained.model,
        inputs.feed(trained, samples),
        performances=samples.performances,
        batch_size=options.test_batch_size,
        precision=options.train.precision,
        show_progress=not part,  # of many short ones, the log says which
    )
    return PredictedPart(
        _table(prediction, part=part, sample_ids=samples.sample_ids, tables=tables),
        layout=trained.layout,
        costs=model_costs(trained),
        seen=trained.seen,
        exemplars=ExemplarCounts.of(trained.model.head, samples),
    )


def _table(
    prediction: ScorePrediction, *, part: str, sample_ids: list[str], tables: EvaluationTables
) -> pd.DataFrame:
    """Return the predictions table of a part, whose samples `prediction` has in their order."""
    judges, mixture = prediction.sigma_judges_execution, prediction.mixture_execution
    truth = None if tables.truth.empty else rows_of(tables.truth, sample_ids)
    return build_predictions(
        samples=rows_of(tables.annotations, sample_ids),
        mu_execution=prediction.mu_execution.numpy(),
        sigma_execution=prediction.sigma_execution.numpy(),
        sigma_judges_execution=None if judges is None else judges.numpy(),
        mixture_execution=None if mixture is None else mixture.numpy(),
        # a simulator knows the true sigma of each sample
        true_sigma_execution=None if truth is None else truth["true_sigma_execution"].to_numpy(),
        part=part,
    )
