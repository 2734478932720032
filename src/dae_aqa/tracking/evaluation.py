"""Adding an evaluation to the run that trained the model."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from dae_aqa.errors import TrackingError
from dae_aqa.files.whole import copy_file
from dae_aqa.tracking.alive import mark_killed_runs
from dae_aqa.tracking.identity import IMPORTED_TAG, MODEL_TAG, PARENT_TAG, flat_metrics
from dae_aqa.tracking.metric_names import evaluation_metrics, evaluation_tags
from dae_aqa.tracking.store import Store, explained, open_existing_store

EVALUATION_FOLDER = "evaluation"
EVALUATED = ("predictions.csv", "metrics.json")  # in it, of each evaluated run
PREDICTIONS_TABLE = f"{EVALUATION_FOLDER}/predictions.json"  # as `mlflow.load_table` reads it

logger = logging.getLogger(__name__)


def log_evaluation(
    *,
    root: Path,
    experiment: str,
    model_sha256: str,
    metrics: Mapping[str, object],
    artifacts: Sequence[Path],
    of_parent: bool = False,
    imported: str | None = None,
) -> bool:
    """Add an evaluation to the run that trained the model; say whether it was added.

    Of `metrics`, those that tell models apart become metrics of the run, see
    `dae_aqa.tracking.metric_names`; the files in `artifacts` lie under `evaluation/`. Of
    `predictions.csv` there is also a table that MLflow's UI shows and `mlflow.load_table` reads.
    Evaluating the same model again replaces the files and, where a number changed, adds it as a
    further step, so that the latest one is shown. With `of_parent` the figures belong to all parts,
    and go to the run below which that of the model stands. An imported model has its figures in the
    run of its import: `imported`, what was named, tells that run from one that trained the same
    bytes.

    Where no run is found (DVC restored the model from its cache or a colleague's remote, or the
    store was deleted), or the store is out of reach, a message is logged and nothing else happens:
    the reports are the result, and a run stands for one training, so none is invented here.
    """
    try:
        store = open_existing_store(root=root)
        if store is not None:
            mark_killed_runs(store)
        run_id = None if store is None else _find_run(store, experiment, model_sha256, imported)
        if store is None or run_id is None:
            logger.info(
                "No MLflow run trained this model (SHA-256 %s…) on this machine: the evaluation is "
                "in the reports only. `dvc repro --force train` would train it again, tracked.",
                model_sha256[:12],
            )
            return False
        with explained(store.uri):
            if of_parent:
                run_id = store.client.get_run(run_id).data.tags.get(PARENT_TAG, run_id)
            _add_figures(
                store,
                run_id,
                flat_metrics(evaluation_metrics(metrics)),
                tags=evaluation_tags(metrics),
            )
            for path in artifacts:
                store.client.log_artifact(run_id, str(path), EVALUATION_FOLDER)
                if path.name == "predictions.csv":
                    _log_table(store, run_id, path)
    except TrackingError as error:
        logger.warning("The evaluation is in the reports only. %s", error)
        return False
    return True


def fetch_evaluation(run_id: str, folder: Path, *, root: Path) -> bool:
    """Copy the predictions and the metrics of a run into `folder`; say whether there is such a run.

    Raises:
        TrackingError: the store cannot be read, or the run holds no evaluation.
    """
    store = open_existing_store(root=root)
    if store is None:
        return False
    from mlflow.exceptions import MlflowException

    with explained(store.uri):
        try:
            run = store.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        held = {
            Path(item.path).name for item in store.client.list_artifacts(run_id, EVALUATION_FOLDER)
        }
        missing = [name for name in EVALUATED if name not in held]
        if missing:
            parent = run.data.tags.get(PARENT_TAG)
            advice = (
                "Name a run that was evaluated, or run `dvc repro evaluate`"
                if parent is None
                else f"The evaluation of all parts lies in the run {parent}"
            )
            raise TrackingError(
                f"MLflow run {run_id}: no {' and no '.join(missing)} among its artifacts. {advice}."
            )
        with TemporaryDirectory() as copied:
            for name in EVALUATED:
                path = store.client.download_artifacts(
                    run_id, f"{EVALUATION_FOLDER}/{name}", copied
                )
                copy_file(source=Path(path), target=folder / name)
    return True


def _find_run(store: Store, experiment: str, model_sha256: str, imported: str | None) -> str | None:
    with explained(store.uri):
        found = store.client.get_experiment_by_name(experiment)
        if found is None:
            return None
        runs = store.client.search_runs(
            [found.experiment_id],
            filter_string=f"tags.`{MODEL_TAG}` = '{model_sha256}'",
            order_by=["attributes.start_time DESC"],
        )
        own = (run for run in runs if run.data.tags.get(IMPORTED_TAG) == imported)
        return next((str(run.info.run_id) for run in own), None)


def _log_table(store: Store, run_id: str, predictions: Path) -> None:
    """Add the predictions as MLflow's kind of table, in the place of an earlier one.

    `MlflowClient.log_table` would append the rows to those of an earlier evaluation. So this writes
    the file and the tag that it would write the first time.
    """
    from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS

    table = pd.read_csv(predictions, dtype={"sample_id": str})
    text = table.to_json(orient="split", index=False, double_precision=15)
    store.client.log_text(run_id, text, PREDICTIONS_TABLE)
    listed = json.loads(store.client.get_run(run_id).data.tags.get(MLFLOW_LOGGED_ARTIFACTS, "[]"))
    entry = {"path": PREDICTIONS_TABLE, "type": "table"}
    if entry not in listed:
        store.client.set_tag(run_id, MLFLOW_LOGGED_ARTIFACTS, json.dumps([*listed, entry]))


def _add_figures(
    store: Store, run_id: str, metrics: Mapping[str, float], *, tags: Mapping[str, str]
) -> None:
    from mlflow.entities import Metric, RunTag

    known = store.client.get_run(run_id).data.metrics
    now = time.time_ns() // 1_000_000
    points = []
    for key, value in metrics.items():
        if key not in known:
            points.append(Metric(key, value, now, 0))
        elif known[key] != value:
            last = max(point.step for point in store.client.get_metric_history(run_id, key))
            points.append(Metric(key, value, now, last + 1))
    store.client.log_batch(
        run_id, metrics=points, tags=[RunTag(key, value) for key, value in tags.items()]
    )
