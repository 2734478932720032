"""The train stage: a training that resumes, is tracked, and writes its model and history."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure

from dae_aqa import tracking
from dae_aqa.params import Params, flatten
from dae_aqa.tracking import Tracker
from dae_aqa.tracking.identity import file_sha256
from dae_aqa.trained_model import TrainedModel
from dae_aqa.training.checkpoint import mark_finished
from dae_aqa.training.fingerprint import frames_digest, training_fingerprint
from dae_aqa.training.loop import FitResult
from dae_aqa.training.session import train_model

logger = logging.getLogger(__name__)
_PACKAGE = Path(__file__).resolve().parent


def train_and_track(
    params: Params,
    *,
    annotations: pd.DataFrame,
    splits: pd.DataFrame,
    frames_dir: Path,
    data_files: Sequence[Path],
    trainings_dir: Path,
    features_dir: Path,
    model_path: Path,
    history_path: Path,
) -> None:
    """Train, and write the model file and the learning curves.

    Args:
        params: the whole parameters.
        annotations: annotations table.
        splits: split table.
        frames_dir: folder of packed samples.
        data_files: files that say which data these are, for the fingerprint.
        trainings_dir: holds one work folder per unfinished training.
        features_dir: cache of clip features.
        model_path: where the model goes.
        history_path: where the learning curves go.

    Raises:
        DaeAqaError: see `train_model`; or the tracking store cannot be reached, before training.
    """
    used = splits.loc[splits["split"] != "test", "sample_id"]
    key = training_fingerprint(
        flatten(params),
        data_files=data_files,
        frames=frames_digest(frames_dir, used),
        package_dir=_PACKAGE,
    )
    work_dir = trainings_dir / key
    work_dir.mkdir(parents=True, exist_ok=True)
    with _tracker(params, resume_key=key) as tracker:
        trained, result = train_model(
            params,
            annotations=annotations,
            splits=splits,
            frames_dir=frames_dir,
            features_dir=features_dir,
            work_dir=work_dir,
            on_epoch=lambda epoch, figures: tracker.log_metrics(figures, step=epoch),
        )
        history_path.parent.mkdir(parents=True, exist_ok=True)
        result.history.to_csv(history_path, index=False, lineterminator="\n")
        trained.save(model_path)
        mark_finished(work_dir, model_sha256=file_sha256(model_path))
        _log_result(tracker, trained, result, model_path=model_path, history_path=history_path)
    logger.info("best epoch %d of %d, chosen on validation", result.best_epoch, len(result.history))


def _tracker(params: Params, *, resume_key: str) -> Tracker:
    """Return the tracker of a new or an interrupted run, with the identity of its dataset."""
    if not params.train.tracking:
        return tracking.NullTracker()
    tracker = tracking.start_training_run(
        root=Path.cwd(),
        experiment=params.train.experiment,
        resume_key=resume_key,
        params=_logged_params(params),
        tags={"dataset": params.dataset, "model": params.model, "backbone": params.backbone},
    )
    for path, digest in _dvc_hashes(Path("dvc.lock")).items():
        if path in ("data/frames", "data/annotations.csv", "data/splits.csv"):
            tracker.log_dataset(name=Path(path).stem, digest=digest, source=path)
    return tracker


def _logged_params(params: Params) -> dict[str, object]:
    """Return the leaves by dotted key, without the sections of datasets that are not used."""
    return {
        key: value
        for key, value in flatten(params).items()
        if not key.startswith("datasets.") or key.startswith(f"datasets.{params.dataset}.")
    }


def _dvc_hashes(lock_path: Path) -> dict[str, str]:
    """Return DVC's hash of every output that its lock file knows, by path."""
    if not lock_path.exists():
        return {}
    stages = (yaml.safe_load(lock_path.read_text()) or {}).get("stages", {})
    outs = [out for stage in stages.values() for out in stage.get("outs", [])]
    return {out["path"]: out["md5"] for out in outs if "md5" in out}


def _log_result(
    tracker: Tracker,
    trained: TrainedModel,
    result: FitResult,
    *,
    model_path: Path,
    history_path: Path,
) -> None:
    """Add what the training ended with to its run."""
    best = result.history.iloc[result.best_epoch]
    names = [name for name in result.history.columns.astype(str) if name.startswith("val_")]
    figures = {f"best_{name}": float(best.loc[name]) for name in names}
    figures["best_epoch"] = float(result.best_epoch)
    tracker.log_metrics(figures, step=result.best_epoch)
    tracker.log_artifact(history_path, artifact_dir="training")
    tracker.log_figure(_learning_curves(result.history), artifact_file="plots/learning_curves.png")
    layout = trained.layout
    window = (1, int(layout.frame_indices[-1]) + 1, layout.padded_crop_px, layout.padded_crop_px, 3)
    tracker.log_model(
        model_path=model_path,
        loader_module="dae_aqa.trained_model",
        input_example=np.zeros(window, dtype=np.uint8),
        step=result.best_epoch,
    )


def _learning_curves(history: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(history["epoch"], history["train_loss"])
    left.set(xlabel="epoch", ylabel="training loss")
    right.plot(history["epoch"], history["val_spearman"], label="final score")
    right.plot(history["epoch"], history["val_spearman_execution"], label="execution score")
    right.set(xlabel="epoch", ylabel="Spearman's rho, validation")
    right.legend()
    return figure
