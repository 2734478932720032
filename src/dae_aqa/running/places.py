"""Where a stage works: the project's root, its cache of unfinished work, its outputs.

In a queued experiment DVC runs a stage in a temporary copy of the repository and names the real one
in `DVC_ROOT`. What must outlive that copy (unfinished work, logs, the MLflow store) belongs to the
real root.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from dae_aqa.errors import OutputError

CACHE_VARIABLE = "DAE_AQA_CACHE"


def project_root(working_dir: Path | None = None) -> Path:
    """Return the real root of the repository: `DVC_ROOT` where DVC sets it, else `working_dir`.

    Args:
        working_dir: where the stage runs; None: the current folder.
    """
    return Path(os.environ.get("DVC_ROOT") or working_dir or Path.cwd()).resolve()


def user_path(text: str) -> Path:
    """Return a path that the user gave; relative ones start at the real root of the repository.

    A queued experiment runs in a copy of the repository, where the user's own files are not.
    """
    return project_root() / Path(text).expanduser()


def experiment_name() -> str | None:
    """Return the name that DVC gave the experiment which runs this process; None outside of one."""
    return os.environ.get("DVC_EXP_NAME") or None


def cache_dir(name: str) -> Path:
    """Return (and create) the folder where a stage keeps finished pieces of unfinished work.

    It lies in the real root's `.cache`, or where the environment variable `DAE_AQA_CACHE` says, and
    survives DVC, which deletes a stage's outputs before it runs the stage. It is safe to delete.
    """
    base = Path(os.environ.get(CACHE_VARIABLE) or project_root() / ".cache")
    path = base.resolve() / name
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be made ({error.strerror}). Give yourself the right to write there, "
            f"or let the environment variable {CACHE_VARIABLE} name another folder."
        ) from error
    return path


def check_outputs(*paths: Path) -> None:
    """Check that files can be written, before the work whose results they take.

    Raises:
        OutputError: a folder cannot be made or written.
    """
    for folder in sorted({path.parent for path in paths}):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise OutputError(
                f"{folder}: the results of this stage cannot be written there ({error.strerror}). "
                "Make the folder writable and run the stage again; nothing has been computed yet."
            ) from error
