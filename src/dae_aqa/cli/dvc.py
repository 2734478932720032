"""Calls of the program `dvc`, which the package itself never imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# of an experiment or a stage that surrounds this process; what is called belongs to none
_SURROUNDING = ("DVC_ROOT", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "DVC_STAGE")


def run_dvc(*arguments: str, root: Path) -> int:
    """Run `dvc` in `root` in sight of the user, and return its exit code."""
    return subprocess.run(_command(arguments), cwd=root, env=_environment()).returncode


def start_dvc(*arguments: str, root: Path) -> subprocess.Popen[str]:
    """Start `dvc` in `root` out of reach of Ctrl-C; its output goes to the returned process."""
    return subprocess.Popen(
        _command(arguments),
        cwd=root,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _command(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]


def _environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in _SURROUNDING}
    # stages start the `python` of the PATH, which must be the one that runs here
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**own, "PATH": path}
