"""Another try for what fails at times: a busy server, a store that several processes write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tenacity import RetryCallState

Result = TypeVar("Result")
_FIRST_PAUSE_SECONDS = 1.0


def with_retries(
    call: Callable[[], Result],
    *,
    pauses_seconds: Sequence[float],
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
    import tenacity  # a node that only trains may lack it

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Exception):
            report(error)

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(len(pauses_seconds) + 1),
        wait=tenacity.wait_chain(*map(tenacity.wait_fixed, pauses_seconds or [0.0])),
        retry=tenacity.retry_if_exception(lambda e: isinstance(e, Exception) and is_passing(e)),
        before_sleep=tell,
        reraise=True,
    )
    return retrying(call)


def doubling_pauses(num_retries: int) -> list[float]:
    """Return the pauses in seconds before `num_retries` retries: one, then twice the one before."""
    return [_FIRST_PAUSE_SECONDS * 2**n for n in range(num_retries)]
