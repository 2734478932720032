"""Another try for what fails at times: a busy server, a store that several processes write."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

Result = TypeVar("Result")
_FIRST_PAUSE_SECONDS = 1.0


def with_retries(
    call: Callable[[], Result],
    *,
    pauses_seconds: Iterable[float],
    is_passing: Callable[[Exception], bool],
    report: Callable[[Exception], None],
) -> Result:
    """Return what `call` returns; where it fails, make it again after each pause.

    Args:
        call: what to do.
        pauses_seconds: how long to wait before each further try.
        is_passing: whether another try may help after this error; else it is raised at once.
        report: called with each error that another try follows, for the log.

    Raises:
        Exception: that of the last try.
    """
    for seconds in pauses_seconds:
        try:
            return call()
        except Exception as error:
            if not is_passing(error):
                raise
            report(error)
            time.sleep(seconds)
    return call()


def doubling_pauses(num_retries: int) -> list[float]:
    """Return the pauses in seconds before `num_retries` retries: one, then twice the one before."""
    return [_FIRST_PAUSE_SECONDS * 2**n for n in range(num_retries)]
