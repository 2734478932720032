"""Another try: how often, after which pauses, for which errors."""

from __future__ import annotations

import time

import pytest

from dae_aqa.running.retries import doubling_pauses, with_retries


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    made: list[float] = []
    monkeypatch.setattr(time, "sleep", made.append)
    return made


def failing(*errors: Exception):
    """A call that raises these errors one after the other, then returns 'done'."""
    left = list(errors)

    def call() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return call


def is_passing(error: Exception) -> bool:
    return isinstance(error, TimeoutError)


def test_errors_that_pass_are_reported_and_waited_for(pauses):
    told: list[str] = []
    call = failing(TimeoutError("one"), TimeoutError("two"))
    result = with_retries(
        call,
        pauses_seconds=[0.2, 1.0, 5.0],
        is_passing=is_passing,
        report=lambda error: told.append(str(error)),
    )
    assert result == "done"
    assert told == ["one", "two"]
    assert pauses == [0.2, 1.0]


def test_the_last_error_is_raised(pauses):
    call = failing(TimeoutError("one"), TimeoutError("two"), TimeoutError("three"))
    with pytest.raises(TimeoutError, match="two"):
        with_retries(call, pauses_seconds=[1.0], is_passing=is_passing, report=lambda _: None)
    assert pauses == [1.0]


def test_an_error_that_does_not_pass_is_raised_at_once(pauses):
    call = failing(ValueError("wrong"))
    with pytest.raises(ValueError, match="wrong"):
        with_retries(call, pauses_seconds=[1.0], is_passing=is_passing, report=lambda _: None)
    assert pauses == []


def test_ctrl_c_is_no_reason_for_another_try(pauses):
    def interrupted() -> None:
        raise KeyboardInterrupt("stop")

    with pytest.raises(KeyboardInterrupt, match="stop"):
        with_retries(
            interrupted, pauses_seconds=[1.0], is_passing=lambda _: True, report=lambda _: None
        )
    assert pauses == []


def test_pauses_double():
    assert doubling_pauses(4) == [1.0, 2.0, 4.0, 8.0]
    assert doubling_pauses(0) == []
