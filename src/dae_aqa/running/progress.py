"""Progress of long work: a bar on a terminal, else a line in the log now and then.

In a file, a bar would be thousands of carriage returns. tqdm draws the bar; a node that only trains
may lack tqdm.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

try:
    from tqdm import tqdm
except ImportError:  # a bare node
    tqdm = None  # type: ignore[assignment, misc]

SECONDS_BETWEEN_LINES = 10.0
Item = TypeVar("Item")

logger = logging.getLogger(__name__)


class Progress:
    """A context manager that shows how much of `total` is done.

    Args:
        name: what is being done.
        total: amount of work, in `unit`.
        unit: what is counted.
        done: amount that was done before.
        show: False shows nothing.
    """

    def __init__(
        self, name: str, *, total: int, unit: str, done: int = 0, show: bool = True
    ) -> None:
        self._name, self._total, self._unit, self._done = name, total, unit, done
        self._note = ""
        self._started = self._last_line = time.monotonic()
        self._done_before = done
        self._show = show
        self._bar: Any = None
        if show and tqdm is not None and sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=done, desc=name, unit=unit)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, amount: int = 1, *, note: str | None = None) -> None:
        """Count `amount` more as done; `note` is shown behind the count until the next one."""
        self._done += amount
        if note is not None:
            self._note = note
        if self._bar is not None:
            if note is not None:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(amount)
        elif self._show:
            self._log_line()

    def _log_line(self) -> None:
        now = time.monotonic()
        if now - self._last_line < SECONDS_BETWEEN_LINES and self._done < self._total:
            return
        self._last_line = now
        pace = (now - self._started) / max(1, self._done - self._done_before)
        logger.info(
            "%s: %d of %d %ss, %s left%s",
            self._name,
            self._done,
            self._total,
            self._unit,
            duration(pace * (self._total - self._done)),
            f"; {self._note}" if self._note else "",
        )


def counted(items: Collection[Item], name: str, *, unit: str) -> Iterator[Item]:
    """Yield `items` and show how many of them are done, see `Progress`."""
    with Progress(name, total=len(items), unit=unit) as bar:
        for item in items:
            yield item
            bar.advance()


def duration(seconds: float) -> str:
    """Return a duration as people write it: `42 s`, `7 min`, `3 h 20 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def write_line(text: str) -> None:
    """Write a line to stderr, above the bars instead of through them."""
    if tqdm is None:
        sys.stderr.write(f"{text}\n")
    else:
        tqdm.write(text, file=sys.stderr)
