"""What the MLflow run of a training holds: its parameters, data, curves and model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure

from dae_aqa import tracking
from dae_aqa.params import Params, flatten
from dae_aqa.tracking import Tracker
from dae_aqa.trained_model import TrainedModel
from dae_aqa.training.history import best_epoch, how_chosen

_GREY = 128  # of the example; a served model refuses black frames


def record_restored_training(
    params: Params, trained: TrainedModel, *, num_val: int, model_path: Path, history_path: Path
) -> None:
    """Give the store a run of a train stage that DVC restored from its cache instead of running it.

    Its curves and its model are those of the original; the tag `restored` tells it apart.
    """
    history = pd.read_csv(history_path)
    with open_run(params, resume_key=None) as tracker:
        tracker.set_tags({"restored": "true"})
        for row in history.to_dict(orient="records"):
            tracker.log_metrics(
                {str(name): value for name, value in row.items()}, step=int(row["epoch"])
            )
        log_result(
            tracker,
            trained,
            history,
            best_epoch=best_epoch(history, params=params, num_val=num_val),
            chosen_by=how_chosen(history, params=params, num_val=num_val),
            model_path=model_path,
            history_path=history_path,
        )


def open_run(params: Params, *, resume_key: str | None) -> Tracker:
    """Return the tracker of a new or an interrupted run, with the identity of its dataset.

    The tag `imported` names the checkpoint of a model that was not trained here.
    """
    if not params.train.tracking:
        return tracking.NullTracker()
    tags = {"dataset": params.dataset, "model": params.model, "backbone": params.backbone}
    if params.evaluate.checkpoint is not None:
        tags["imported"] = params.evaluate.checkpoint
    tracker = tracking.start_training_run(
        root=Path.cwd(),
        experiment=params.train.experiment,
        resume_key=resume_key,
        params=_logged_params(params),
        tags=tags,
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


def log_result(
    tracker: Tracker,
    trained: TrainedModel,
    history: pd.DataFrame,
    *,
    best_epoch: int | None,
    chosen_by: str | None,
    model_path: Path,
    history_path: Path,
) -> None:
    """Add what the training ended with to its run; without an epoch, the model alone.

    The tag `epoch_choice` says how the epoch was chosen.
    """
    if best_epoch is not None:
        tracker.set_tags({"epoch_choice": chosen_by or "unknown"})
        best = history.iloc[best_epoch]
        names = [name for name in history.columns.astype(str) if name.startswith("val_")]
        figures = {f"best_{name}": float(best.loc[name]) for name in names}
        figures["best_epoch"] = float(best_epoch)
        tracker.log_metrics(figures, step=best_epoch)
        tracker.log_artifact(history_path, artifact_dir="training")
        tracker.log_figure(_learning_curves(history), artifact_file="plots/learning_curves.png")
    layout = trained.layout
    window = (1, layout.reach, layout.padded_crop_px, layout.padded_crop_px, 3)
    tracker.log_model(
        model_path=model_path,
        loader_module="dae_aqa.trained_model",
        input_example=np.full(window, _GREY, dtype=np.uint8),
        step=best_epoch or 0,
    )


def _learning_curves(history: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(history["epoch"], history["train_loss"])
    left.set(xlabel="epoch", ylabel="training loss")
    if history["val_spearman"].isna().all():  # too few validation samples to rank, mostly
        right.plot(history["epoch"], history["val_mae"])
        right.set(xlabel="epoch", ylabel="mean absolute error, validation, points")
        return figure
    right.plot(history["epoch"], history["val_spearman"], label="final score")
    right.plot(history["epoch"], history["val_spearman_execution"], label="execution score")
    right.set(xlabel="epoch", ylabel="Spearman's rho, validation")
    right.legend()
    return figure
