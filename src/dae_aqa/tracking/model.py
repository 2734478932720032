"""Writing a trained model into the store as an MLflow model, with its signature."""

from __future__ import annotations

import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from dae_aqa.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.models import Model, ModelSignature

MODEL_NAME = "model"
_LOADER_MODULE = "dae_aqa.scorer.served"  # its `_load_pyfunc(path)` gives a `ServedModel`
_REQUIRED = ("mlflow", "numpy", "pandas", "torch")


def log_model(
    store: Store,
    *,
    run_id: str,
    experiment_id: str,
    model_path: Path,
    step: int,
    tags: dict[str, str],
) -> str:
    """Write the model file as an MLflow model of the run and return the model's id.

    MLflow's own `log_model` would copy metrics around; these are the calls that it is made of, less
    that.

    Args:
        store: where to.
        run_id: the run that trained the model.
        experiment_id: the run's experiment.
        model_path: the model file, copied as it is: nothing is pickled.
        step: epoch whose weights these are.
        tags: tags of the model.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus
    from mlflow.models import Model

    client = store.client
    logged = client.create_logged_model(
        experiment_id, name=MODEL_NAME, source_run_id=run_id, tags=tags, model_type="pyfunc"
    )
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=step)])
    description = Model(
        artifact_path=logged.artifact_location,
        model_uuid=logged.model_id,
        run_id=run_id,
        model_id=logged.model_id,
    )
    with tempfile.TemporaryDirectory(prefix="dae-aqa-model-") as folder:
        written = Path(folder) / MODEL_NAME
        _write(written, description, model_path)
        client.log_model_artifacts(logged.model_id, str(written))
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    return str(logged.model_id)


def _write(folder: Path, description: Model, model_path: Path) -> None:
    import mlflow.pyfunc

    with warnings.catch_warnings():
        # an example would be a whole video
        warnings.filterwarnings("ignore", message=".*input example was not provided")
        mlflow.pyfunc.save_model(
            path=str(folder),
            mlflow_model=description,
            loader_module=_LOADER_MODULE,
            data_path=str(model_path),
            signature=_signature(),
            pip_requirements=[f"{name}=={version(name)}" for name in _REQUIRED],
        )


def _signature() -> ModelSignature:
    """Return what `scorer.served.ServedModel.predict` takes and gives."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    def column(kind: DataType, name: str) -> ColSpec:
        return ColSpec(kind, name, required=False)

    inputs: list[ColSpec | TensorSpec] = [
        column(DataType.binary, "video"),
        column(DataType.string, "path"),
        column(DataType.double, "start_seconds"),
        column(DataType.double, "end_seconds"),
        column(DataType.double, "difficulty"),
        column(DataType.string, "action_class"),
    ]
    numbers = (
        *("mu", "sigma", "low_50", "high_50", "low_90", "high_90"),
        *("mu_execution", "sigma_execution"),
    )
    outputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.double, name) for name in numbers]
    outputs += [
        ColSpec(DataType.boolean, "unlike_training"),
        ColSpec(DataType.string, "notes"),
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))
