"""The evaluate stage: test samples are predicted once, and all that is said of them is written."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor
from torchvision.io import encode_jpeg

from dae_aqa.clips.decode import decode_frames
from dae_aqa.datasets import Dataset
from dae_aqa.errors import TrackingError
from dae_aqa.evaluation.options import EvaluateOptions
from dae_aqa.files.hashing import file_sha256
from dae_aqa.inference.device import resolve_device, set_determinism, set_threads
from dae_aqa.inference.predict import predict
from dae_aqa.inference.samples import select_samples
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.metrics.summary import Metrics, evaluate_predictions, write_metrics
from dae_aqa.options import flatten
from dae_aqa.packs.store import PackedSample
from dae_aqa.report import ReportInputs, write_report
from dae_aqa.running.places import check_outputs, project_root
from dae_aqa.splits.make import split_counts
from dae_aqa.tables.predictions import build_predictions, write_predictions
from dae_aqa.tracking import log_evaluation
from dae_aqa.tracking.record import record_restored_training
from dae_aqa.training.checkpoint import remove_finished
from dae_aqa.training.history import EpochChoice
from dae_aqa.training.options import TrainingOptions
from dae_aqa.training.session import inputs_of

logger = logging.getLogger(__name__)
_NUM_THUMBNAILS = 10
_IMPORTED = (
    "The model was not trained here: it is the imported checkpoint {}. Of the parameters below, "
    "those of a training had no part in it; how its clips are made comes from train.clips."
)


@dataclass(frozen=True)
class EvaluationTables:
    """The tables that the report tells of, as the stages before wrote them."""

    annotations: pd.DataFrame
    splits: pd.DataFrame
    truth: pd.DataFrame
    notes: pd.DataFrame
    extraction_notes: pd.DataFrame
    excluded: pd.DataFrame
    missing_videos: pd.DataFrame
    history: pd.DataFrame


def evaluate_and_report(
    options: TrainingOptions,
    *,
    evaluate: EvaluateOptions,
    dataset: Dataset,
    scoring_rule: str | None,
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
        scoring_rule: its rule for the marks of judges; None where it has none.
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
    test = select_samples(
        tables.annotations,
        tables.splits,
        split="test",
        scoring_rule=scoring_rule,
        with_judges=False,
    )
    inputs = inputs_of(options, frames_dir=frames_dir, features_dir=features_dir)
    prediction = predict(
        trained.model,
        inputs.feed(trained, test),
        samples=test,
        batch_size=options.test_batch_size,
        precision=options.train.precision,
        show_progress=True,
    )
    rows = tables.annotations.set_index("sample_id").loc[test.sample_ids].reset_index()
    truth = _truth_of(tables.truth, test.sample_ids)
    predictions = write_predictions(
        build_predictions(
            samples=rows,
            mu_execution=prediction.mu_execution.numpy(),
            sigma_execution=prediction.sigma_execution.numpy(),
            sigma_judges_execution=_numpy(prediction.sigma_judges_execution),
            true_sigma_execution=(
                None if truth is None else truth["true_sigma_execution"].to_numpy(np.float64)
            ),
        ),
        reports_dir / "predictions.csv",
    )
    baselines = dataset.baselines
    metrics = evaluate_predictions(
        predictions,
        score_range=None,
        num_bootstrap=evaluate.num_bootstrap,
        seed=options.seed,
        baselines=None if truth is None or baselines is None else baselines(truth, rows),
    )
    counts = split_counts(tables.splits)
    metrics = {"num_train": counts["train"], "num_val": counts["val"], **metrics}
    write_metrics(metrics, reports_dir / "metrics.json")
    choice = EpochChoice.of(options, num_val=counts["val"])
    write_report(
        _report_inputs(
            params,
            tables,
            predictions,
            metrics,
            choice=choice,
            checkpoint=evaluate.checkpoint,
            num_worst=evaluate.num_worst,
            frames_dir=frames_dir,
        ),
        output=reports_dir / "index.html",
    )
    if options.train.tracking:
        _track(
            flatten(params),
            trained,
            metrics,
            choice=choice,
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


def _numpy(values: Tensor | None) -> np.ndarray | None:
    return None if values is None else values.numpy()


def _truth_of(truth: pd.DataFrame, sample_ids: Sequence[str]) -> pd.DataFrame | None:
    """Return the simulator's truth of the samples, or None for a real dataset."""
    if truth.empty:
        return None
    return truth.set_index("sample_id").loc[list(sample_ids)].reset_index()


def _report_inputs(
    params: Mapping[str, Any],
    tables: EvaluationTables,
    predictions: pd.DataFrame,
    metrics: Metrics,
    *,
    choice: EpochChoice,
    checkpoint: str | None,
    num_worst: int,
    frames_dir: Path,
) -> ReportInputs:
    history = tables.history
    provenance: dict[str, object] = {key: params[key] for key in ("dataset", "model", "backbone")}
    provenance["num_epochs"] = len(history)
    kept = choice.best_epoch(history)
    if kept is not None:
        provenance["kept_epoch"] = kept
        provenance["epoch_choice"] = choice.in_words(history)
    notes = note_sentences(tables)
    if checkpoint is not None:
        provenance["imported_checkpoint"] = checkpoint
        notes.insert(0, _IMPORTED.format(checkpoint))
    counts = split_counts(tables.splits)
    return ReportInputs(
        predictions=predictions,
        metrics=metrics,
        annotations=tables.annotations,
        training_curves=history,
        params=dict(params),
        provenance=provenance,
        thumbnails=lambda sample_id: _thumbnails(frames_dir / f"{sample_id}.zip"),
        excluded=tables.excluded,
        truth=None if tables.truth.empty else tables.truth,
        notes=notes,
        num_worst=num_worst,
        num_train=counts["train"],
        num_val=counts["val"],
    )


def _thumbnails(path: Path) -> list[bytes]:
    """Return JPEG frames evenly spread over the sample's window."""
    pack = PackedSample.open(path)
    offset, length = pack.meta.window_offset, pack.meta.window_length
    rows = np.linspace(offset, offset + length - 1, _NUM_THUMBNAILS).astype(int).tolist()
    images = pack.read(rows)
    if pack.meta.image_format == "jpeg":
        return images
    return [encode_jpeg(frame).numpy().tobytes() for frame in decode_frames(images)]


def note_sentences(tables: EvaluationTables) -> list[str]:
    """Return what a reader should know of the data: a sentence per kind of note, none left out."""
    sentences = [
        f"{str(kind).replace('_', ' ')}: {len(rows)} sample(s), e.g. {rows['sample_id'].iloc[0]}: "
        f"{rows['detail'].iloc[0]}"
        for kind, rows in tables.notes.groupby("kind")
    ]
    extracted = tables.extraction_notes
    if not extracted.empty:
        first = extracted.iloc[0]
        named = first["sample_id"] or first["video_id"]
        sentences.append(f"extraction: {len(extracted)} note(s), e.g. {named}: {first['note']}")
    own_test = tables.annotations.loc[tables.annotations["split"] == "test", "sample_id"]
    tested = tables.splits.loc[tables.splits["split"] == "test", "sample_id"]
    elsewhere = own_test.isin(tables.splits["sample_id"]) & ~own_test.isin(tested)
    if elsewhere.any():
        sentences.append(
            f"{elsewhere.sum()} of the dataset's own {len(own_test)} test samples trained or "
            "validated here, since make_splits.source is random: compare with no published figure."
        )
    missing = tables.missing_videos["video_id"].tolist()
    if missing:
        sentences.append(f"{len(missing)} video(s) could not be had: {', '.join(missing)}.")
    return sentences


def _track(
    params: Mapping[str, Any],
    trained: TrainedModel,
    metrics: Metrics,
    *,
    choice: EpochChoice,
    model_path: Path,
    reports_dir: Path,
) -> None:
    """Add the evaluation to the run that trained the model.

    Where DVC restored the model from its cache and the store knows no run of it, one is recorded
    first, so that every experiment can be compared in the store.
    """

    def add() -> bool:
        return log_evaluation(
            root=project_root(),
            experiment=params["train.experiment"],
            model_sha256=file_sha256(model_path),
            metrics=metrics,
            artifacts=[
                reports_dir / name for name in ("predictions.csv", "metrics.json", "index.html")
            ],
        )

    try:
        if not add():
            history_path = reports_dir / "training.csv"
            history = pd.read_csv(history_path)
            record_restored_training(
                params,
                trained,
                best_epoch=choice.best_epoch(history),
                chosen_by=choice.in_words(history),
                model_path=model_path,
                history_path=history_path,
            )
            add()
    except TrackingError as error:  # the reports are the result, the store is for comparing
        logger.warning("The evaluation is in the reports only. %s", error)
