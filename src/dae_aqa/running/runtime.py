"""What every stage shares while it runs: its log, how it ends, what is put back after a failure."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import yaml

from dae_aqa.errors import DaeAqaError, OutputError
from dae_aqa.files import outputs
from dae_aqa.running.lifetime import StoppedError, end_in_order
from dae_aqa.running.places import experiment_name, project_root
from dae_aqa.running.progress import write_line

logger = logging.getLogger(__name__)


def start_log(stage: str) -> Path:
    """Log to the terminal (without tearing progress bars) and to a file; return the file's path.

    Each run adds to the file `logs/<experiment or 'workspace'>/<stage>.log` in the real root. If
    that cannot be written, the stage ends here with a message: nothing has been done yet. Of
    several processes that train together, the first alone logs more than warnings and errors.
    """
    folder = project_root() / "logs" / (experiment_name() or "workspace")
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
    end of the DVC that started the stage with 143. `main` imports what is slow to import, so that
    all this holds during the imports too.
    """
    log = start_log(name)
    started = time.monotonic()
    try:
        end_in_order()
        main()
    except (StoppedError, Exception) as error:
        _report(error, stage=name, log=log)
        _try_restore(name)
        if isinstance(error, StoppedError):
            os._exit(error.exit_code)  # to tear down torch and its threads can take many seconds
        sys.exit(1)
    logger.info("%s done in %.1f s", name, time.monotonic() - started)


def _report(error: BaseException, *, stage: str, log: Path) -> None:
    match error:
        case StoppedError():
            text = "%s interrupted (%s); finished work is kept, run it again to go on."
            logger.error(text, stage, error)
        case DaeAqaError():
            logger.error("%s failed.\n%s\n(log: %s)", stage, error, log)
        case _:
            logger.error("%s failed unexpectedly (log: %s)", stage, log, exc_info=error)


def _try_restore(stage: str) -> None:
    """Put back the outputs of the last good run, which DVC deleted before it ran the stage.

    A damaged lock file or a full disk must not hide the stage's own error.
    """
    if not _is_first():
        return
    try:
        outputs.restore(stage, root=project_root())
    except (OutputError, OSError, ValueError, yaml.YAMLError) as error:
        logger.warning("earlier outputs could not be put back (%s); try `dvc checkout`.", error)


class _TerminalHandler(logging.Handler):
    """Writes above the progress bars instead of through them."""

    def emit(self, record: logging.LogRecord) -> None:
        # whoever read this may be gone, as after SIGHUP; the log file has it too
        with suppress(OSError):
            write_line(self.format(record))
