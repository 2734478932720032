"""Writing a trained model into the store as an MLflow model, with signature and input example."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dae_aqa.tracking.served import DIFFICULTY
from dae_aqa.tracking.store import Store

MODEL_NAME = "model"
EXAMPLE_FILE = "input_example.npz"
# MLflow writes the example as JSON text, twice: 4 million values are 16 MB each time and seconds
_MAX_JSON_VALUES = 4_000_000
_REQUIRED = ("mlflow", "numpy", "pandas", "torch")


def log_model(
    store: Store,
    *,
    run_id: str,
    experiment_id: str,
    model_path: Path,
    loader_module: str,
    input_example: NDArray[np.uint8],
    step: int,
    tags: dict[str, str],
) -> str:
    """Write the model file as an MLflow model of the run and return the model's id.

    MLflow's own `log_model` would score the example again through JSON and copy metrics around;
    these are the calls that it is made of, less that.

    Args:
        store: where to.
        run_id: the run that trained the model.
        experiment_id: the run's experiment.
        model_path: the model file, copied as it is: nothing is pickled.
        loader_module: importable module whose `_load_pyfunc(path)` gives a `ServedModel` of it.
        input_example: uint8 RGB, (1, F, H, W, 3), one sample.
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
        _write(written, description, model_path, loader_module, input_example)
        client.log_model_artifacts(logged.model_id, str(written))
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    return str(logged.model_id)


def _write(
    folder: Path,
    description: object,
    model_path: Path,
    loader_module: str,
    input_example: NDArray[np.uint8],
) -> None:
    import mlflow.pyfunc

    small = input_example.size <= _MAX_JSON_VALUES
    mlflow.pyfunc.save_model(
        path=str(folder),
        mlflow_model=description,
        loader_module=loader_module,
        data_path=str(model_path),
        signature=_signature(input_example),
        input_example=input_example if small else None,
        pip_requirements=[f"{name}=={version(name)}" for name in _REQUIRED],
    )
    if not small:
        np.savez_compressed(folder / EXAMPLE_FILE, frames=input_example)


def _signature(input_example: NDArray[np.uint8]) -> object:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    shape = (-1, *input_example.shape[1:])
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), shape)]),
        outputs=Schema([ColSpec(DataType.double, "mu"), ColSpec(DataType.double, "sigma")]),
        params=ParamSchema([ParamSpec(DIFFICULTY, DataType.double, [1.0], shape=(-1,))]),
    )
