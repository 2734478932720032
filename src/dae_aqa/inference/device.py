"""Where tensors live, how many threads work on them, and whether equal seeds give equal bits."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from dae_aqa.errors import TrainingError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # Source: malloc.h of glibc


def resolve_device(name: str) -> torch.device:
    """Return the device that `device` in params.yaml names; `auto` takes the best that is there.

    Of several processes on one machine each gets a GPU of its own.

    Raises:
        TrainingError: the device is asked for but not there.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available[name]:
        there = ", ".join(kind for kind, found in available.items() if found)
        raise TrainingError(
            f"device: {name!r} is not available on this machine (there is: {there}). "
            "Set device to auto, or install the driver and a build of torch for it."
        )
    if name == "cuda":
        rank = int(os.environ.get("LOCAL_RANK", "0"))  # set by torchrun
        if rank >= torch.cuda.device_count():
            raise TrainingError(
                f"process {rank + 1} on this machine has no GPU of its own: there are "
                f"{torch.cuda.device_count()}. Lower train.num_processes, or set device to cpu."
            )
        return torch.device("cuda", rank)
    return torch.device(name)


@contextmanager
def device_advice() -> Iterator[None]:
    """Turn what a device cannot do into an error that says which parameter to change.

    Raises:
        TrainingError: memory was exhausted within the context, or an operation has no deterministic
            version on this device.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TrainingError(
            f"memory is exhausted ({_first_line(error)}). "
            "Raise train.accumulate_steps (same result, smaller pieces), set "
            "train.activation_checkpointing to true, or lower train_batch_size, test_batch_size or "
            "train.clips.size_px."
        ) from error
    except RuntimeError as error:
        if "does not have a deterministic implementation" not in str(error):
            raise
        raise TrainingError(
            f"the backbone uses an operation that cannot repeat its bits on this device "
            f"({_first_line(error)}). Set train.deterministic to false, or choose another "
            "backbone: small3d and i3d have deterministic operations alone."
        ) from error


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else "no details"


def memory_figures(device: torch.device) -> dict[str, float]:
    """Return the memory in use, in 10^6 bytes.

    `memory_mb` is what this process holds now (where the system does not tell, the most it held);
    on CUDA `device_memory_mb` is the most that tensors took since the last call.
    """
    figures = {"memory_mb": _resident_bytes() / 1e6}
    if device.type == "cuda":
        figures["device_memory_mb"] = torch.cuda.max_memory_allocated(device) / 1e6
        torch.cuda.reset_peak_memory_stats(device)
    return figures


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # not Linux: macOS counts bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * os.sysconf("SC_PAGE_SIZE")


def set_threads(num_threads: int) -> None:
    """Let torch use `num_threads` CPU threads; 0 leaves its own choice."""
    if num_threads > 0:
        torch.set_num_threads(num_threads)


def keep_freed_memory() -> None:
    """Let the C library keep what tensors free for the next step, where that can be asked of it.

    By default large blocks go back to the system at once, which then maps and clears the same
    gigabytes anew in every step: on a CPU a tenth of the time of training I3D and more.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's; others have none
        if mallopt is not None:
            for option in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
                mallopt(option, 2**31 - 1)


def set_determinism(deterministic: bool) -> None:
    """Make torch refuse operations whose result may differ between runs, or allow them.

    Torch raises where an operation has no deterministic version, rather than promise silently;
    `device_advice` then says what to do. On CUDA that is so for the backward pass of 3-D pooling;
    I3D replaces it by one of its own (`repeatable_max_pool`) while this is on.
    """
    if deterministic:
        # cuBLAS needs a fixed workspace for repeatable results; read when its first handle is made
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    # else torch fills every new tensor before an operation writes it: a fifth of the time on a CPU
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not deterministic


def compile_in_place(module: nn.Module, *, device: torch.device) -> None:
    """Let `module` be compiled at its first call; its parameters keep their names.

    Raises:
        TrainingError: there is no working compiler for the device.
    """
    try:
        # something small first: without a compiler, training would fail in the middle of an epoch
        probe = torch.compile(torch.neg, options={"force_disable_caches": True})
        probe(torch.ones(8, device=device))
    except RuntimeError as error:
        raise TrainingError(
            f"train.compile: true needs a working compiler for {device.type} "
            f"({_first_line(error)}). Install g++ (for cuda also Triton, which comes with torch's "
            "builds for it), or set train.compile to false."
        ) from error
    module.compile()
