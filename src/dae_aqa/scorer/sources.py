"""Where a model comes from: a file, or what MLflow calls it."""

from __future__ import annotations

from pathlib import Path

from dae_aqa.errors import ModelError

SCHEMES = ("runs:/", "models:/")


def local_file(source: str | Path) -> Path:
    """Return the model file that `source` names, fetched from MLflow where it lies there.

    Args:
        source: a path, `runs:/<run id>` or `models:/<name>/<version>`.

    Raises:
        ModelError: there is no such file.
        TrackingError: MLflow has no such model, or the store cannot be reached.
    """
    text = str(source)
    # `Path` would make one slash of two, and some shells complete to `runs:/`
    if not text.startswith(SCHEMES):
        path = Path(text)
        if not path.is_file():
            raise ModelError(
                f"{path}: no such model file. Train one (`dvc repro` writes models/model.pt), or "
                "name another."
            )
        return path
    from dae_aqa.tracking.registry import fetch_model_file  # MLflow takes seconds to import

    return fetch_model_file(text)
