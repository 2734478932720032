"""When a process of the project ends: at a signal, or when those that it works for are gone.

A stage works for the DVC that started it. Once DVC is gone, nobody records the stage's results, and
in a queued experiment the folder that it works in is deleted. A worker works for its stage in the
same way. The system ends neither by itself, so each watches the processes above it.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import psutil

STAGE_VARIABLE = "DVC_STAGE"  # DVC sets it for the command of a stage, and for nothing else
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK_SECONDS = 0.5
_LONGEST_END_SECONDS = 8.0  # a stage that is asked to end has these to put things in order
_ORPHANED = "whoever started this process is gone, so it ends."

logger = logging.getLogger(__name__)


class StoppedError(KeyboardInterrupt):
    """A signal ends this process, in the way Ctrl-C does.

    Attributes:
        exit_code: what a shell reports of a process that the signal ended.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


def end_in_order() -> None:
    """Let SIGTERM, SIGHUP and the end of DVC stop this process as Ctrl-C does.

    The main thread gets a `StoppedError`, once. A process that still lives some seconds later is
    ended from within. A signal that was ignored when the process began (`nohup`) stays ignored.
    """
    for number in _SIGNALS:
        if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    # The handler runs when the main thread comes back from C code; the number is sent at once.
    seen, sent = socket.socketpair()
    sent.setblocking(False)
    signal.set_wakeup_fd(sent.fileno(), warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_forget_handlers)
    watch = threading.Thread(target=_watch, args=(seen, sent, _Superiors.find()), daemon=True)
    watch.start()


def follow_parent(_number: int = 0) -> None:
    """Let this worker process end when the process that started it says so, or is gone.

    A worker calls it first of all. It leaves to its parent the signals that a terminal or a batch
    system sends to all processes at once.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.pid,), daemon=True).start()


def _end_after(parent: int | None) -> NoReturn:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    for each in _SIGNALS:  # a second one shall not disturb what the first one set going
        signal.signal(each, signal.SIG_IGN)
    raise StoppedError(number)


def _forget_handlers() -> None:
    """Take a forked process out of what concerns its parent alone."""
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        if signal.getsignal(number) is _stop:
            signal.signal(number, signal.SIG_DFL)


def _watch(seen: socket.socket, _sent: socket.socket, superiors: _Superiors) -> None:
    """Ask this process to end when a superior is gone; end it when it does not obey a signal."""
    deadline = None
    while deadline is None or time.monotonic() < deadline:
        readable, _, _ = select.select([seen], [], [], _LOOK_SECONDS)
        asked = bool(readable) and any(number in _SIGNALS for number in seen.recv(64))
        if deadline is None and asked:
            deadline = time.monotonic() + _LONGEST_END_SECONDS
        elif deadline is None and not superiors.live():
            logger.error(_ORPHANED)
            os.kill(os.getpid(), signal.SIGTERM)
    os._exit(128 + signal.SIGTERM)


@dataclass(frozen=True)
class _Superiors:
    """The processes without which this one has no purpose.

    Those are DVC and what stands between it and this process: a shell, `torchrun`. A stage that was
    started by hand has none, so that it may outlive its terminal; one of several processes that
    train together has `torchrun`.

    Attributes:
        parent: id of the direct parent; None where it does not matter.
        above: parent, grandparent and so on, up to DVC.
    """

    parent: int | None = None
    above: tuple[psutil.Process, ...] = ()

    @classmethod
    def find(cls) -> _Superiors:
        stage = os.environ.get(STAGE_VARIABLE)
        if stage is not None:
            return cls(os.getppid(), tuple(_up_to_dvc(stage)))
        return cls(os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None)

    def live(self) -> bool:
        """Tell whether all of them live."""
        return self.parent in (None, os.getppid()) and all(map(_lives, self.above))


def _up_to_dvc(stage: str) -> Iterator[psutil.Process]:
    """Yield the parent of this process, its parent and so on; the last one is DVC.

    Raises:
        StoppedError: DVC is gone already.
    """
    import psutil  # DVC needs it; a node that only trains may lack it

    for process in psutil.Process().parents():
        # orphans become children of init; DVC may be that in a container, but in our session
        if process.pid == 1 and os.getsid(1) != os.getsid(0):
            logger.error(_ORPHANED)
            raise StoppedError(signal.SIGTERM)
        try:
            is_below_dvc = process.environ().get(STAGE_VARIABLE) == stage
        except psutil.Error:  # another user's, such as a batch system's: neither DVC nor below it
            return
        yield process
        if not is_below_dvc:
            return


def _lives(process: psutil.Process) -> bool:
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
