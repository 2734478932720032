"""What the MLflow run of a training holds: its parameters, data, curves and model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from dae_aqa.errors import ParamsError
from dae_aqa.files.outputs import recorded_hashes
from dae_aqa.files.yaml_file import parse_yaml
from dae_aqa.options import flatten
from dae_aqa.running.places import experiment_name
from dae_aqa.tracking.identity import IMPORTED_TAG, PARENT_TAG, committed_text, flat_params
from dae_aqa.tracking.metric_names import best_metrics, epoch_metrics
from dae_aqa.tracking.start import start_training_run
from dae_aqa.tracking.tracker import NullTracker, Tracker

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TRAINED_ON = {Path("data/frames"), Path("data/annotations.csv"), Path("data/splits.csv")}
_MAX_CHANGES_NAMED = 3
_MAX_VALUE_NAMED = 40  # characters


def record_restored_training(
    params: Mapping[str, Any],
    *,
    best_epoch: int | None,
    chosen_by: str | None,
    model_path: Path,
    history_path: Path,
    part: str = "",
    parent: Tracker | None = None,
) -> None:
    """Give the store a run of a train stage that DVC restored from its cache instead of running it.

    Its curves and its model are those of the original; the tag `restored` tells it apart.
    """
    history = pd.read_csv(history_path)
    with open_run(params, resume_key=None, part=part, parent=parent) as tracker:
        tracker.set_tags({"restored": "true"})
        for row in history.to_dict(orient="records"):
            log_epoch(tracker, int(row["epoch"]), {str(key): value for key, value in row.items()})
        log_result(
            tracker,
            history,
            best_epoch=best_epoch,
            chosen_by=chosen_by,
            model_path=model_path,
            history_path=history_path,
        )


def log_epoch(tracker: Tracker, epoch: int, figures: Mapping[str, object]) -> None:
    """Add the figures of one epoch, counted from 0, to the run."""
    tracker.log_metrics(epoch_metrics(figures), step=epoch)


def open_run(
    params: Mapping[str, Any],
    *,
    resume_key: str | None,
    part: str = "",
    parent: Tracker | None = None,
) -> Tracker:
    """Return the tracker of a new or an interrupted run, with the identity of its dataset.

    The tag `imported` names the checkpoint of a model that was not trained here.

    Args:
        params: all that the run is told, by dotted key.
        resume_key: see `tracking.start_training_run`.
        part: name of the part that is trained; it becomes the run's name and its tag `part`.
        parent: the run of all parts, below which the UI shows that of `part`.
    """
    if not params["train.tracking"]:
        return NullTracker()
    tags = {key: params[key] for key in ("dataset", "model", "backbone")}
    if params["evaluate.checkpoint"] is not None:
        tags[IMPORTED_TAG] = params["evaluate.checkpoint"]
    if parent is not None:
        tags |= {PARENT_TAG: parent.run_id, "part": part}
    tracker = start_training_run(
        root=Path.cwd(),
        experiment=params["train.experiment"],
        run_name=part or _run_name(params, root=Path.cwd()),
        resume_key=resume_key,
        params=params,
        tags=tags,
    )
    for hashes in recorded_hashes().values():
        for path, digest in hashes.items():
            if path in _TRAINED_ON:
                tracker.log_dataset(name=path.stem, digest=digest, source=path.as_posix())
    return tracker


def _run_name(params: Mapping[str, Any], *, root: Path) -> str:
    """Return what tells the run from others: e.g. `dae_mt simdive lr=0.001`.

    First comes the name that DVC gave the experiment, or model and dataset; then the values that
    differ from the committed `params.yaml`, where they can be compared.
    """
    before = _committed_params(root, keys=set(params))
    texts = flat_params(params)
    changed = [key for key in params if before is not None and before[key] != params[key]]
    name = experiment_name()
    if name is None:
        name = f"{params['model']} {params['dataset']}"
        changed = [key for key in changed if key not in ("model", "dataset")]
    named = [f"{key.removeprefix('train.')}={texts[key][:_MAX_VALUE_NAMED]}" for key in changed]
    more = len(named) - _MAX_CHANGES_NAMED
    return " ".join([name, *named[:_MAX_CHANGES_NAMED], *([f"+{more}"] if more > 0 else [])])


def _committed_params(root: Path, *, keys: set[str]) -> dict[str, Any] | None:
    """Return the parameters of the last commit; None without one, or where it lacks some key."""
    text = committed_text(Path("params.yaml"), root=root)
    try:
        content = None if text is None else parse_yaml(text, source="the committed params.yaml")
    except ParamsError:
        return None
    leaves = flatten(content) if isinstance(content, Mapping) else {}
    return leaves if keys <= set(leaves) else None


def log_result(
    tracker: Tracker,
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
        numbers = history.select_dtypes("number").iloc[best_epoch]
        best = {str(key): float(value) for key, value in numbers.items()}
        tracker.log_metrics(best_metrics(best), step=best_epoch)
        tracker.log_artifact(history_path, artifact_dir="training")
        tracker.log_figure(_learning_curves(history), artifact_file="plots/learning_curves.png")
    tracker.log_model(model_path=model_path, step=best_epoch or 0)


def _learning_curves(history: pd.DataFrame) -> Figure:
    from matplotlib.figure import Figure  # a node that only trains may lack it

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
