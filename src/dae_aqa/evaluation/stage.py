"""The evaluate stage: test samples are predicted once, and all that is said of them is written."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dae_aqa.datasets import Dataset
from dae_aqa.evaluation.options import EvaluateOptions
from dae_aqa.evaluation.record import record_evaluation
from dae_aqa.evaluation.report_inputs import report_inputs
from dae_aqa.evaluation.tables import EvaluationTables
from dae_aqa.files.hashing import file_sha256
from dae_aqa.inference.device import resolve_device, set_determinism, set_threads
from dae_aqa.inference.predict import predict
from dae_aqa.inference.samples import ScoredSamples, select_samples
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.metrics.accuracy import spearman
from dae_aqa.metrics.summary import Metrics, evaluate_predictions, write_metrics
from dae_aqa.models.targets import ScorePrediction
from dae_aqa.options import flatten
from dae_aqa.report import write_report
from dae_aqa.running.places import check_outputs
from dae_aqa.tables.annotations import execution_scores
from dae_aqa.tables.predictions import build_predictions, write_predictions
from dae_aqa.training.checkpoint import remove_finished
from dae_aqa.training.options import TrainingOptions
from dae_aqa.training.session import inputs_of

logger = logging.getLogger(__name__)


def evaluate_and_report(
    options: TrainingOptions,
    *,
    evaluate: EvaluateOptions,
    dataset: Dataset,
    params: Mapping[str, Any],
    tables: EvaluationTables,
    frames_dir: Path,
    model_path: Path,
    reports_dir: Path,
    trainings_dir: Path,
    features_dir: Path,
) -> None:
    """Write `predictions.csv`, `metrics.json` and `index.html` to `reports_dir`.

    Args:
        options: how the model was trained.
        evaluate: how it is evaluated.
        dataset: what is known of the dataset.
        params: all parameters that were used, nested as in `params.yaml`.
        tables: of the stages before.
        frames_dir: folder of packed samples.
        model_path: the model of the train stage.
        reports_dir: where the three files go.
        trainings_dir: work folders of trainings; the one that ended with this model is removed.
        features_dir: cache of clip features, used where only the head was trained.

    Raises:
        DaeAqaError: tables, model or frames do not fit together.
    """
    check_outputs(reports_dir / "index.html")
    set_threads(options.train.num_threads)
    set_determinism(options.train.deterministic)
    trained = TrainedModel.load(model_path)
    trained.model.to(resolve_device(options.device))
    samples = select_samples(
        tables.annotations,
        tables.splits,
        split="test",
        scoring_rule=None,  # the marks of judges are not looked at
        with_judges=False,
    )
    prediction = _predict(
        trained, samples, options=options, frames_dir=frames_dir, features_dir=features_dir
    )
    predictions, baselines = _compare(prediction, samples, dataset=dataset, tables=tables)
    num_bootstrap, seed = evaluate.num_bootstrap, options.seed
    figures = evaluate_predictions(
        predictions, num_bootstrap=num_bootstrap, seed=seed, baselines=baselines
    )
    metrics = {"num_train": tables.num_train, "num_val": tables.num_val, **figures}
    write_predictions(predictions, reports_dir / "predictions.csv")
    write_metrics(metrics, reports_dir / "metrics.json")
    inputs = report_inputs(
        options,
        evaluate=evaluate,
        dataset=dataset,
        params=params,
        tables=tables,
        predictions=predictions,
        metrics=metrics,
        frames_dir=frames_dir,
    )
    write_report(inputs, output=reports_dir / "index.html")
    if options.train.tracking:
        record_evaluation(
            flatten(params),
            trained,
            metrics,
            kept_epoch=inputs.kept_epoch,
            model_path=model_path,
            reports_dir=reports_dir,
        )
    remove_finished(trainings_dir, model_sha256=file_sha256(model_path))
    logger.info("test: %s", result_line(metrics))


def result_line(metrics: Metrics) -> str:
    """Return the result in a line for the log; a rho that is undefined says why.

    Example: '360 samples, rho 0.891 on the final score, 0.848 on the execution score, mean absolute
    error 5.50 points'.
    """
    rho, execution = metrics["spearman"], metrics["spearman_execution"]
    ranks = (
        f"rho {rho:.3f} on the final score, {execution:.3f} on the execution score"
        if isinstance(rho, float) and isinstance(execution, float)
        else f"no rho ({metrics.get('spearman_reason') or metrics['spearman_execution_reason']})"
    )
    error = f"mean absolute error {metrics['mae']:.2f} points"
    return f"{metrics['num_test']} sample(s), {ranks}, {error}"


def _predict(
    trained: TrainedModel,
    samples: ScoredSamples,
    *,
    options: TrainingOptions,
    frames_dir: Path,
    features_dir: Path,
) -> ScorePrediction:
    """Return the forecasts of the samples, in their order."""
    inputs = inputs_of(options, frames_dir=frames_dir, features_dir=features_dir)
    return predict(
        trained.model,
        inputs.feed(trained, samples),
        samples=samples,
        batch_size=options.test_batch_size,
        precision=options.train.precision,
        show_progress=True,
    )


def _compare(
    prediction: ScorePrediction,
    samples: ScoredSamples,
    *,
    dataset: Dataset,
    tables: EvaluationTables,
) -> tuple[pd.DataFrame, Mapping[str, float]]:
    """Return the predictions table, and rank correlations to compare the model's with.

    A simulator's dataset knows the true sigma of each sample, and baselines; others know neither.
    """
    annotations = _rows_of(tables.annotations, samples)
    truth = None if tables.truth.empty else _rows_of(tables.truth, samples)
    judges = prediction.sigma_judges_execution
    predictions = build_predictions(
        samples=annotations,
        mu_execution=prediction.mu_execution.numpy(),
        sigma_execution=prediction.sigma_execution.numpy(),
        sigma_judges_execution=None if judges is None else judges.numpy(),
        true_sigma_execution=None if truth is None else truth["true_sigma_execution"].to_numpy(),
    )
    if truth is None or dataset.baselines is None:
        return predictions, {}
    score = execution_scores(annotations).to_numpy()
    return predictions, {
        name: abs(spearman(predicted=values, target=score))
        for name, values in dataset.baselines(truth, annotations).items()
    }


def _rows_of(table: pd.DataFrame, samples: ScoredSamples) -> pd.DataFrame:
    """Return the rows of the samples, in their order."""
    return table.set_index("sample_id").loc[samples.sample_ids].reset_index()
