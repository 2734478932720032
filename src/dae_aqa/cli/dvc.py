"""Calls of the program `dvc`, which the package itself never imports."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dae_aqa.errors import OutputError

# of an experiment or a stage that surrounds this process; what is called belongs to none
_SURROUNDING = ("DVC_ROOT", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "DVC_STAGE")
_PAUSES_SECONDS = (1.0, 5.0, 15.0)  # it refuses at times while a worker writes


def run_dvc(*arguments: str, root: Path) -> int:
    """Run `dvc` in `root` in sight of the user, and return its exit code."""
    return subprocess.run(_command(arguments), cwd=root, env=_environment()).returncode


def try_dvc(*arguments: str, root: Path) -> tuple[int, str]:
    """Run `dvc` in `root` aside; return its exit code and its output.

    Ctrl-C does not reach it, and waits until it is over: it may hold the workspace's own changes.
    """
    # no pipe: workers that `dvc queue start` leaves behind would keep it open
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            _command(arguments),
            cwd=root,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise
        output.seek(0)
        return code, output.read().decode(errors="replace")


def call_dvc(*arguments: str, root: Path) -> str:
    """Return the output of `dvc`, tried again where it fails; see `try_dvc`.

    Raises:
        OutputError: it fails again and again.
    """
    for pause in (*_PAUSES_SECONDS, None):
        code, output = try_dvc(*arguments, root=root)
        if code == 0:
            return output
        if pause is not None:
            time.sleep(pause)
    raise OutputError(f"`dvc {' '.join(arguments)}` failed:\n{output.strip()}")


def _command(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]


def _environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in _SURROUNDING}
    # stages start the `python` of the PATH, which must be the one that runs here
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**own, "PATH": path}
