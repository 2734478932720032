"""How a served model refuses a request."""

from __future__ import annotations


def bad_request(message: str) -> Exception:
    """Return the exception that MLflow's server answers with status 400 and `message`."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import BAD_REQUEST

    return MlflowException(message, error_code=BAD_REQUEST)
