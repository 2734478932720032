"""Models by the names that MLflow knows them by: fetch one, register one."""

from __future__ import annotations

import os
from pathlib import Path

from dae_aqa.errors import TrackingError
from dae_aqa.running.places import project_root
from dae_aqa.tracking.model import MODEL_NAME
from dae_aqa.tracking.store import Store, explained, open_store

_RUNS = "runs:/"


def fetch_model_file(name: str) -> Path:
    """Return the local file of a model in the store.

    Args:
        name: `runs:/<run id>` (its only model), or `models:/<name>/<version or @alias>`.

    Raises:
        TrackingError: there is no such model, or the store cannot be reached.
    """
    import mlflow.artifacts

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    store = open_store(root=project_root())
    address = _model_address(store, name.removeprefix(_RUNS)) if name.startswith(_RUNS) else name
    with explained(store.uri):
        folder = Path(
            mlflow.artifacts.download_artifacts(artifact_uri=address, tracking_uri=store.uri)
        )
    files = sorted(folder.rglob("*.pt"))
    if len(files) != 1:
        raise TrackingError(
            f"{name}: holds {len(files)} model files, expected one that this project logged."
        )
    return files[0]


def register(run_id: str, *, name: str) -> str:
    """Register the model of a run as the next version of `name`, and return that version.

    Raises:
        TrackingError: the run has no model, or the store cannot be reached.
    """
    store = open_store(root=project_root())
    address = _model_address(store, run_id)
    from mlflow.exceptions import MlflowException

    with explained(store.uri):
        try:
            store.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        version = store.client.create_model_version(
            name, source=address, run_id=run_id, model_id=address.removeprefix("models:/")
        )
    return str(version.version)


def _model_address(store: Store, run_id: str) -> str:
    """Return the address `models:/<id>` of the model that a run logged.

    Raises:
        TrackingError: there is no such run, or it has no model.
    """
    run_id = run_id.strip("/").removesuffix(f"/{MODEL_NAME}")
    with explained(store.uri):
        run = store.client.get_run(run_id)
    outputs = run.outputs.model_outputs if run.outputs is not None else []
    if not outputs:
        raise TrackingError(
            f"run {run_id} has no model. Name the run of a training (`make ui` lists them); of a "
            "dataset with several parts, each part's own."
        )
    return f"models:/{outputs[-1].model_id}"
