"""Several parts trained at once, each by a process of its own on this machine.

A part that is finished stays in its work folder with its model. So the processes only finish parts,
and whoever started them then goes through all parts as if it had trained them itself.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.sharedctypes import Synchronized
from typing import Any

import torch

from dae_aqa.errors import TrainingError
from dae_aqa.running.lifetime import follow_parent
from dae_aqa.running.runtime import start_log

logger = logging.getLogger(__name__)


def run_at_once(work: Callable[[Any], str], items: Sequence[Any], *, count: int) -> None:
    """Call `work` for each item in one of `count` processes; log the name that it returns.

    Each process gets a GPU of its own, as far as there are some. The first error ends the others.

    Args:
        work: a function that can be pickled, like the items.
        items: what is to be done.
        count: processes at once.

    Raises:
        TrainingError: a process was killed.
        DaeAqaError: what `work` raised.
    """
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    with ProcessPoolExecutor(
        max_workers=min(count, len(items)),
        mp_context=context,
        initializer=_begin,
        initargs=(context.Value("i", 0),),
    ) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                logger.info("%d of %d parts: %s is finished", number, len(items), future.result())
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - before:
                process.kill()  # a training can be killed at any moment, and goes on from there
                process.join()
            if isinstance(error, BrokenProcessPool):
                raise TrainingError(
                    "a process that trained a part was killed, perhaps for want of memory. What is "
                    "finished is kept: lower train.parts_at_once and run the stage again."
                ) from error
            raise


def threads_of_each(num_threads: int, *, count: int) -> int:
    """Return the CPU threads of each of `count` trainings; `num_threads` 0 shares out them all."""
    return num_threads or max(1, (os.cpu_count() or 1) // count)


def _begin(counter: Synchronized[int]) -> None:
    """Set up a process: it ends with its parent, is quiet, and takes the next GPU."""
    follow_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ["TQDM_DISABLE"] = "1"  # bars of several would overwrite each other
    start_log("train")
    logging.getLogger("dae_aqa").setLevel(logging.WARNING)
    with counter.get_lock():
        number = counter.value
        counter.value += 1
    if torch.cuda.is_available():
        os.environ["LOCAL_RANK"] = str(number % torch.cuda.device_count())
