"""What a process leaves that was killed while it wrote a file or a folder."""

import socket
import subprocess
import sys
from pathlib import Path


def killed_process() -> int:
    """Return the id of a process that is no more."""
    command = [sys.executable, "-c", "import os; print(os.getpid())"]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


def half_written(path: Path) -> Path:
    """Leave beside `path` what a killed process of this machine wrote, and return where."""
    left = path.with_name(f".{path.name}.{socket.gethostname()}-{killed_process()}-00000000.part")
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"half")
    return left
