"""How `dae-aqa table` reads DVC's queue, which is not always up to date with its workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dae_aqa.cli import table
from dae_aqa.cli.experiments import Queue

NAME = "table-a-s0-12345678"


def looks(monkeypatch: pytest.MonkeyPatch, told: list[tuple[str | None, bool]]) -> Iterator[Any]:
    """Let DVC tell, at each look, the cell's state in the queue and whether it has a result."""
    at = iter(told)
    has_result = [False]

    def queue_status(**_: object) -> Queue:
        state, has_result[0] = next(at)
        states = {} if state is None else {NAME: state}
        return Queue(states=states, tasks=dict.fromkeys(states, "abc"))

    enqueued: list[str] = []
    monkeypatch.setattr(table, "queue_status", queue_status)
    monkeypatch.setattr(
        table, "finished_experiments", lambda **_: {NAME: "c"} if has_result[0] else {}
    )
    monkeypatch.setattr(table, "enqueue", lambda name, *_, **__: enqueued.append(name))
    monkeypatch.setattr(table, "guarded_workspace", lambda *_, **__: nullcontext())
    monkeypatch.setattr(table, "call_dvc", lambda *_, **__: "")
    monkeypatch.setattr(table, "try_dvc", lambda *_, **__: (0, "train failed: no memory"))
    monkeypatch.setattr(table, "count_workers", lambda **_: 1)
    monkeypatch.setattr(table, "running_tasks", lambda: ["abc"])
    monkeypatch.setattr(table.time, "sleep", lambda _: None)
    run = table._Run(
        cells={NAME: SimpleNamespace(changes={})},  # type: ignore[dict-item]
        jobs=1,
        root=Path(),
        note=Path("note"),
    )
    run.to_the_end()
    yield from (run.finished, run.failed, enqueued)


def test_a_cell_that_a_worker_takes_over_is_not_called_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[str | None, bool]] = [
        *((None, False), ("Queued", False), (None, False), ("Running", False)),
        *(("Failed", False), ("Running", False), ("Success", True)),
    ]
    finished, failed, enqueued = looks(monkeypatch, told)
    assert (finished, failed, enqueued) == ({NAME: "c"}, {}, [NAME])


def test_a_cell_that_stays_over_without_a_result_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[str | None, bool]] = [
        *((None, False), ("Running", False), ("Failed", False), ("Failed", False)),
        (None, False),
    ]
    finished, failed, enqueued = looks(monkeypatch, told)
    assert (finished, enqueued) == ({}, [NAME])
    assert failed == {NAME: "train failed: no memory"}
