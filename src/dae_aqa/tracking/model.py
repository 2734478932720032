"""Writing a trained model into the store as an MLflow model, with signature and input example."""

from __future__ import annotations

import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dae_aqa.tracking.served import DIFFICULTY
from dae_aqa.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.models import Model, ModelSignature

MODEL_NAME = "model"
EXAMPLE_FILE = "input_example.npz"
_LOADER_MODULE = "dae_aqa.tracking.served"  # its `_load_pyfunc(path)` gives a `ServedModel`
_MAX_JSON_VALUES = 4_000_000  # MLflow writes the example as JSON text: 16 MB at most
_REQUIRED = ("mlflow", "numpy", "pandas", "torch")


def log_model(
    store: Store,
    *,
    run_id: str,
    experiment_id: str,
    model_path: Path,
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
        input_example: uint8 RGB, (1, F, H, W, 3), one sample; beyond 4 million values it goes into
            `input_example.npz` beside the model instead of MLflow's JSON.
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
        _write(written, description, model_path, input_example)
        client.log_model_artifacts(logged.model_id, str(written))
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    return str(logged.model_id)


def _write(
    folder: Path,
    description: Model,
    model_path: Path,
    input_example: NDArray[np.uint8],
) -> None:
    import mlflow.pyfunc

    small = input_example.size <= _MAX_JSON_VALUES
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input example was not provided")
        mlflow.pyfunc.save_model(
            path=str(folder),
            mlflow_model=description,
            loader_module=_LOADER_MODULE,
            data_path=str(model_path),
            signature=_signature(),
            input_example=input_example if small else None,
            pip_requirements=[f"{name}=={version(name)}" for name in _REQUIRED],
        )
    if description.saved_input_example_info:
        # a second copy for `mlflow models serve`, indented: five times the size of the first
        serving_file = description.saved_input_example_info.pop("serving_input_path")
        (folder / serving_file).unlink()
        description.save(folder / "MLmodel")
    else:
        np.savez_compressed(folder / EXAMPLE_FILE, frames=input_example)


def _signature() -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    frames = TensorSpec(np.dtype(np.uint8), (-1, -1, -1, -1, 3))  # (N, F, H, W, 3)
    return ModelSignature(
        inputs=Schema([frames]),
        outputs=Schema([ColSpec(DataType.double, "mu"), ColSpec(DataType.double, "sigma")]),
        # empty: not given; the model knows whether it can do without
        params=ParamSchema([ParamSpec(DIFFICULTY, DataType.double, [], shape=(-1,))]),
    )
