"""One thread owns the network: clips that wait are scored together, and none waits for more."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import perf_counter

from dae_aqa.scorer import Score, Scorer, Window

_MOST_AT_ONCE = 16


@dataclass(frozen=True)
class Question:
    """A clip whose frames are read.

    Attributes:
        window: its frames.
        difficulty: degree of difficulty; None where not known.
        action_class: what is performed; None where not known.
        name: for the answer.
        answer: is given when it is known.
    """

    window: Window
    difficulty: float | None
    action_class: str | None
    name: str
    answer: Future[Score] = field(default_factory=Future)


class Batcher:
    """Scores clips that wait, together.

    Args:
        scorer: used by this object's thread alone.
        on_batch: called with the number of clips and the seconds of each pass.
    """

    def __init__(self, scorer: Scorer, *, on_batch: Callable[[int, float], None]) -> None:
        self._scorer, self._on_batch = scorer, on_batch
        self._waiting: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)
        self._thread.start()

    async def score(self, question: Question) -> Score:
        """Return the score of a clip.

        Raises:
            DaeAqaError: it cannot be scored.
        """
        self._waiting.put(question)
        return await asyncio.wrap_future(question.answer)

    def close(self) -> None:
        """Score what waits, and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        is_open = True
        while is_open:
            batch = [self._waiting.get()]
            while len(batch) < _MOST_AT_ONCE and not self._waiting.empty():
                batch.append(self._waiting.get())
            is_open = None not in batch
            questions = [each for each in batch if each is not None]
            if questions:
                self._answer(questions)

    def _answer(self, questions: Sequence[Question]) -> None:
        """Answer all; where that fails, one by one, so that one clip's fault is its own."""
        started = perf_counter()
        try:
            for question, score in zip(questions, self._scores(questions), strict=True):
                _settle(question, score)
        except Exception as error:  # whatever it is, whoever asked must hear of it
            if len(questions) == 1:
                _settle(questions[0], error)
                return
            for question in questions:
                self._answer([question])
            return
        self._on_batch(len(questions), perf_counter() - started)

    def _scores(self, questions: Sequence[Question]) -> list[Score]:
        return self._scorer.score_windows(
            [each.window for each in questions],
            difficulties=[each.difficulty for each in questions],
            action_classes=[each.action_class for each in questions],
            names=[each.name for each in questions],
        )


def _settle(question: Question, result: Score | Exception) -> None:
    """Give the answer, unless whoever asked is gone."""
    if not question.answer.set_running_or_notify_cancel():
        return
    if isinstance(result, Exception):
        question.answer.set_exception(result)
    else:
        question.answer.set_result(result)
