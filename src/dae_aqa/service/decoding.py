"""Decoding in processes of its own: a hostile video can end or hang one of them, not the service.

A worker decodes one clip at a time. It is replaced when it dies, takes too long, or runs out of the
memory that it may take. A clip whose worker died is tried once more, since somebody else may have
killed it; a clip that kills two workers is refused.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TypeAlias

from dae_aqa.errors import DaeAqaError, VideoError
from dae_aqa.running.lifetime import follow_parent
from dae_aqa.scorer import Limits, Stretch, View, Window, read_window

_START_SECONDS = 120.0  # torch is imported meanwhile, on a busy machine
_TRIES = 2
_Answer: TypeAlias = Window | DaeAqaError


@dataclass(frozen=True)
class _Work:
    """What a worker is told when it starts."""

    view: View
    limits: Limits
    memory_mb: int


class _Worker:
    """One process and the pipe to it; its methods block and are called in threads."""

    def __init__(self, work: _Work) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(
            target=_decode_until_closed, args=(theirs, work), daemon=True
        )
        self._process.start()
        theirs.close()
        self._is_ready = False

    def answer(self, path: Path, stretch: Stretch, *, seconds: float) -> _Answer:
        """Return the clip's frames or its error.

        Raises:
            EOFError: the worker is gone.
            TimeoutError: it took too long.
        """
        if not self._is_ready:
            self._receive(_START_SECONDS)
            self._is_ready = True
        try:
            self._pipe.send((path, stretch))
        except OSError as error:
            raise EOFError from error
        return self._receive(seconds)

    def end(self) -> None:
        """Kill the process and close the pipe."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    @property
    def pid(self) -> int | None:
        """The process."""
        return self._process.pid

    def _receive(self, seconds: float) -> _Answer:
        try:
            if not self._pipe.poll(seconds):
                raise TimeoutError
            answer: _Answer = self._pipe.recv()
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            raise EOFError from error
        return answer


class Decoder:
    """A fixed number of decoding workers.

    Args:
        view: how the model looks at videos.
        limits: what a video may hold.
        num_workers: processes.
        seconds: for one clip.
        memory_mb: beyond what a worker starts with.
    """

    def __init__(
        self, view: View, *, limits: Limits, num_workers: int, seconds: float, memory_mb: int
    ) -> None:
        self._work = _Work(view, limits, memory_mb)
        self._seconds = seconds
        self._all = [_Worker(self._work) for _ in range(num_workers)]
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        for worker in self._all:
            self._idle.put_nowait(worker)

    @property
    def pids(self) -> list[int]:
        """The processes that work now."""
        return [worker.pid for worker in self._all if worker.pid is not None]

    async def read(self, path: Path, stretch: Stretch) -> Window:
        """Return the frames of a clip; waits for a worker that is free.

        Raises:
            DaeAqaError: the clip cannot be read, takes too long, or ends its worker.
        """
        for _ in range(_TRIES):
            worker = await self._idle.get()
            try:
                # not cancelled with the request: the worker must be known to be free again
                answer = await asyncio.shield(
                    asyncio.create_task(self._answer(worker, path, stretch))
                )
            except EOFError:
                continue
            if isinstance(answer, DaeAqaError):
                raise answer
            return answer
        raise VideoError(
            f"{path}: decoding ended the process that did it, {_TRIES} times. The video is damaged "
            "or needs too much memory; convert it with ffmpeg."
        )

    def close(self) -> None:
        """End all workers."""
        for worker in self._all:
            worker.end()

    async def _answer(self, worker: _Worker, path: Path, stretch: Stretch) -> _Answer:
        """Let `worker` decode, and put it, or one in its place, back among the idle."""
        try:
            return await asyncio.to_thread(worker.answer, path, stretch, seconds=self._seconds)
        except TimeoutError:
            worker = await self._replaced(worker)
            return VideoError(
                f"{path}: decoding took more than {self._seconds:g} s. Cut the clip out first, or "
                "scale it down."
            )
        except EOFError:
            worker = await self._replaced(worker)
            raise
        finally:
            self._idle.put_nowait(worker)

    async def _replaced(self, worker: _Worker) -> _Worker:
        await asyncio.to_thread(worker.end)
        fresh = _Worker(self._work)
        self._all[self._all.index(worker)] = fresh
        return fresh


def _decode_until_closed(pipe: Connection, work: _Work) -> None:
    """Be a worker: read clips from the pipe and answer, until the service closes it."""
    follow_parent()
    _limit_processor_and_memory(work.memory_mb)
    pipe.send(None)
    while True:
        try:
            path, stretch = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer: _Answer = read_window(path, stretch, view=work.view, limits=work.limits)
        except DaeAqaError as error:
            answer = error
        except MemoryError:
            answer = VideoError(
                f"{path}: decoding needs more than {work.memory_mb} MB. Scale the video down."
            )
        pipe.send(answer)


def _limit_processor_and_memory(memory_mb: int) -> None:
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
        sizes = dict(line.split(":", 1) for line in status)
    held = int(sizes["VmData"].split()[0]) * 1024
    most = held + memory_mb * 1_000_000
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
