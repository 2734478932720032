"""Where tensors live, how many threads work on them, and whether equal seeds give equal bits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dae_aqa.errors import TrainingError


def resolve_device(name: str) -> torch.device:
    """Return the device that `device` in params.yaml names; `auto` takes the best that is there.

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
    return torch.device(name)


@contextmanager
def memory_advice() -> Iterator[None]:
    """Turn running out of memory into an error that says which parameter to lower.

    Raises:
        TrainingError: memory was exhausted within the context.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TrainingError(
            f"memory is exhausted ({str(error).splitlines()[0] if str(error) else 'no details'}). "
            "Raise train.accumulate_steps (same result, smaller pieces), or lower "
            "train_batch_size, test_batch_size or train.clips.size_px."
        ) from error


def set_threads(num_threads: int) -> None:
    """Let torch use `num_threads` CPU threads; 0 leaves its own choice."""
    if num_threads > 0:
        torch.set_num_threads(num_threads)


def set_determinism(deterministic: bool) -> None:
    """Make torch refuse operations whose result may differ between runs, or allow them.

    On CUDA the backward of I3D's max pooling has no deterministic version; torch then raises rather
    than promise silently.
    """
    if deterministic:
        # cuBLAS needs a fixed workspace for repeatable results; read when its first handle is made
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic
