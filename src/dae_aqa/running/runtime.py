"""What every stage shares: where the project lies, its cache and log, and how a stage ends.

In a queued experiment DVC runs a stage in a temporary copy of the repository and names the real one
in `DVC_ROOT`. What must outlive that copy (unfinished work, logs, the MLflow store) belongs to the
real root.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import yaml

from dae_aqa.errors import DaeAqaError, OutputError
from dae_aqa.files import outputs
from dae_aqa.running.lifetime import StoppedError, end_in_order
from dae_aqa.running.progress import write_line

CACHE_VARIABLE = "DAE_AQA_CACHE"
logger = logging.getLogger(__name__)


def project_root() -> Path:
    """Return the real repository root, also within a queued experiment's temporary copy."""
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()).resolve()


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


def start_log(stage: str) -> Path:
    """Log to the terminal (without tearing progress bars) and to a file; return the file's path.

    The file is `logs/<experiment or 'workspace'>/<stage>.log` in the real root; runs are appended.
    Without a log the stage ends here with a message: nothing has been done yet.
    Of several processes that train together, all but the first tell of warnings and errors alone.
    """
    folder = project_root() / "logs" / os.environ.get("DVC_EXP_NAME", "workspace")
    path = folder / f"{stage}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        sys.exit(f"{path}: the log cannot be written ({error.strerror}); make it writable.")
    terminal = _TerminalHandler()
    terminal.setLevel(logging.INFO)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    package = logging.getLogger("dae_aqa")
    package.setLevel(logging.DEBUG if _is_first() else logging.WARNING)
    package.handlers = [terminal, file]
    package.propagate = False
    return path


def _is_first() -> bool:
    """Tell whether this process is alone, or the first of several that train together."""
    return os.environ.get("RANK", "0") == "0"


def run_stage(name: str, main: Callable[[], None]) -> None:
    """Run a stage's `main` with its log, and turn an expected error into a message and exit code 1.

    An unexpected error keeps its traceback, in the log too. Ctrl-C exits with 130, SIGTERM and the
    end of the DVC that started the stage with 143. What is slow to import belongs into `main`, so
    that this holds meanwhile too.
    """
    log = start_log(name)
    started = time.monotonic()
    try:
        end_in_order()
        main()
    except DaeAqaError as error:
        logger.error("%s failed.\n%s\n(log: %s)", name, error, log)
        _try_restore(name)
        sys.exit(1)
    except StoppedError as stop:
        logger.error(
            "%s interrupted (%s); finished work is kept, run it again to go on.", name, stop
        )
        _try_restore(name)
        os._exit(stop.exit_code)  # to tear down torch and its threads can take many seconds
    except Exception:
        logger.exception("%s failed unexpectedly (log: %s)", name, log)
        _try_restore(name)
        sys.exit(1)
    logger.info("%s done in %.1f s", name, time.monotonic() - started)


def _try_restore(stage: str) -> None:
    """Restore what can be; a damaged lock file or a full disk must not hide the stage's error."""
    if not _is_first():
        return
    try:
        restore_outputs(stage)
    except (OSError, ValueError, yaml.YAMLError) as error:
        logger.warning("earlier outputs could not be put back (%s); try `dvc checkout`.", error)


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


def restore_outputs(stage: str) -> None:
    """Put the outputs of the stage's last good run back, which DVC deleted before it ran."""
    outputs.restore(stage, root=project_root())


class _TerminalHandler(logging.Handler):
    """Writes above the progress bars instead of through them."""

    def emit(self, record: logging.LogRecord) -> None:
        # whoever read this may be gone, as after SIGHUP; the log file has it too
        with suppress(OSError):
            write_line(self.format(record))
