"""Several processes that train one model together, as `torchrun` starts them.

Each process holds the whole model and works on its share of every batch; PyTorch's
DistributedDataParallel averages the gradients. `train_batch_size` is that of all together, so
the same parameters give the same steps with any number of processes.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from dae_aqa.errors import TrainingError

# One that waits longer than this for another gives up; the end of an epoch is the longest wait.
TIMEOUT = timedelta(minutes=30)

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Processes:
    """The processes of one training, seen from one of them.

    Attributes:
        rank: number of this process, from 0; process 0 writes files and reports.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def share(self, batch: list[int]) -> tuple[list[int], int]:
        """Return this process's part of `batch` and how many of its samples count.

        Where a batch has fewer samples than there are processes, some get a sample that another
        one counts, since all must take part in every step; theirs then has no weight.
        """
        own = batch[self.rank :: self.count]
        return (own, len(own)) if own else (batch[:1], 0)

    def agree(self, value: T) -> T:
        """Return the value of process 0, in every process."""
        if self.count == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes by rank, in every process."""
        if self.count == 1:
            return [value]
        values: list[T | None] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def share_buffers(self, module: nn.Module) -> None:
        """Give every process the buffers of process 0: the statistics of batch norms."""
        if self.count > 1:
            for buffer in module.buffers():
                distributed.broadcast(buffer, src=0)

    def parallel(self, module: nn.Module) -> nn.Module:
        """Return `module` with gradients that are averaged over the processes.

        Parameters without a part in the loss (the variances during the MSE warm-up) keep no
        gradient, as with one process.
        """
        if self.count == 1:
            return module
        device = next(module.parameters()).device
        devices = [device.index] if device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=devices, find_unused_parameters=True)


ALONE = Processes()


def without_sync(module: nn.Module, *, last: bool) -> AbstractContextManager[object]:
    """Return the context of a backward pass: gradients are exchanged after the `last` one alone."""
    if last or not isinstance(module, DistributedDataParallel):
        return nullcontext()
    return module.no_sync()


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Join the processes that `torchrun` started, or be alone where it started none.

    Raises:
        TrainingError: the others cannot be reached.
    """
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    try:
        distributed.init_process_group(backend, timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            f"the processes of this training could not meet ({error}). Start them with torchrun "
            "(see docs/training.md), and check that its --rdzv-endpoint can be reached."
        ) from error
    try:
        processes = Processes(distributed.get_rank(), distributed.get_world_size())
        logger.info("process %d of %d (%s)", processes.rank + 1, processes.count, backend)
        yield processes
    finally:
        distributed.destroy_process_group()


def start_processes(count: int) -> None:
    """Run this program again as `count` processes under `torchrun`, in place of this one.

    Returns where it already runs under `torchrun`, or where one process is asked for.
    """
    if count == 1 or "RANK" in os.environ:
        return
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(count), *sys.argv]
    sys.stdout.flush()
    os.execv(sys.executable, command)  # noqa: S606 - no shell
