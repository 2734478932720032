"""Models by the names that MLflow knows them by: fetch one, register one."""

from __future__ import annotations

from pathlib import Path

from dae_aqa.errors import TrackingError
from dae_aqa.running.places import project_root
from dae_aqa.tracking.model import MODEL_NAME
from dae_aqa.tracking.store import Store, explained, open_store

_RUNS, _MODELS = "runs:/", "models:/"


def fetch_model_file(name: str) -> Path:
    """Return the local file of a model in the store.

    Args:
        name: `runs:/<run id>` (its only model), or `models:/<name>/<version or @alias>`.

    Raises:
        TrackingError: there is no such model, or the store cannot be reached.
    """
    store = open_store(root=project_root())
    import mlflow.artifacts

    with explained(store.uri):
        place = (
            _place_of_model(store, _model_of_run(store, name.removeprefix(_RUNS)))
            if name.startswith(_RUNS)
            else _place_of_version(store, name.removeprefix(_MODELS))
        )
        folder = Path(
            mlflow.artifacts.download_artifacts(artifact_uri=place, tracking_uri=store.uri)
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
    from mlflow.exceptions import MlflowException

    with explained(store.uri):
        model_id = _model_of_run(store, run_id)
        try:
            store.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        version = store.client.create_model_version(
            name,
            source=_place_of_model(store, model_id),
            run_id=run_id,
            model_id=model_id,
        )
    return str(version.version)


def _model_of_run(store: Store, run_id: str) -> str:
    """Return the id of the model that a run logged.

    Raises:
        TrackingError: it has no model.
    """
    run_id = run_id.strip("/").removesuffix(f"/{MODEL_NAME}")
    run = store.client.get_run(run_id)
    outputs = run.outputs.model_outputs if run.outputs is not None else []
    if not outputs:
        raise TrackingError(
            f"run {run_id} has no model. Name the run of a training (`make ui` lists them); of a "
            "dataset with several parts, each part's own."
        )
    return str(outputs[-1].model_id)


def _place_of_model(store: Store, model_id: str) -> str:
    """Return where the files of a logged model lie."""
    return str(store.client.get_logged_model(model_id).artifact_location)


def _place_of_version(store: Store, name: str) -> str:
    """Return where the files of the model lie that `name/version` or `name@alias` means.

    Raises:
        TrackingError: no version or alias is named.
    """
    registered, _, version = name.partition("/")
    if version:
        found = store.client.get_model_version(registered, version)
    elif "@" in name:
        found = store.client.get_model_version_by_alias(*name.split("@", 1))
    else:
        raise TrackingError(f"models:/{name} names no version; write models:/{name}/1, e.g.")
    place = str(found.source)  # the UI registers by the id of the logged model
    return _place_of_model(store, place.removeprefix(_MODELS)) if _MODELS in place else place
