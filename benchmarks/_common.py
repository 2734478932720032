"""What every benchmark shares: where it ran, how to write its figures, how to show them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

REPO_ROOT = Path(__file__).resolve().parents[1]
RESULTS_DIR = REPO_ROOT / "benchmarks" / "results"
sys.path.insert(0, str(REPO_ROOT / "src"))

from dae_aqa.extraction.options import ExtractOptions  # noqa: E402  (found by the line above)
from dae_aqa.packs.store import SampleMeta  # noqa: E402

EXTRACT_OPTIONS = ExtractOptions(
    num_frames=40,
    margin_frames=6,
    window="end",
    numbering="decoded",
    width=455,
    height=256,
    resize_filter="area",
    image_format="jpeg",
    jpeg_quality=90,
    early_end="repeat_last",
    damaged="error",
    hwaccel=None,
    num_workers=2,
)

_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "scipy",
    "av",
    "opencv-python-headless",
    "dvc",
)


def environment() -> dict[str, Any]:
    """Return hardware, versions and commit, for the head of a result file."""
    found: dict[str, Any] = {
        "cpu": _cpu_name(),
        "num_cpus": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gb": _memory_gb(),
        "gpu": _gpu_name(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "commit": _commit(),
    }
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def write_result(name: str, result: dict[str, Any], *, folder: Path | None = None) -> Path:
    """Write `{environment, **result}` to `benchmarks/results/<name>.json` and return the path."""
    path = (folder or RESULTS_DIR) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"environment": environment(), **result}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def plain_meta(sample_id: str, *, num_frames: int, size: tuple[int, int]) -> SampleMeta:
    """Return the meta data of a made-up packed sample: JPEGs of `size` (width, height)."""
    return SampleMeta(
        sample_id=sample_id,
        video_id="v",
        video_sha256="0" * 64,
        numbering="decoded",
        window="end",
        frame_numbers=tuple(range(num_frames)),
        window_offset=0,
        window_length=num_frames,
        num_repeated_before=0,
        num_repeated_after=0,
        width=size[0],
        height=size[1],
        image_format="jpeg",
    )


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table; floats get three significant digits."""
    lines = [
        list(header),
        ["---"] * len(header),
        *([_cell(value) for value in row] for row in rows),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _gpu_name() -> str | None:
    try:
        import torch
    except ImportError:
        return None
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def _commit() -> str | None:
    """Return the commit, with `+changes` where tracked files differ from it."""
    try:
        run = {"cwd": REPO_ROOT, "capture_output": True, "text": True, "check": True}
        commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], **run).stdout.strip()
        dirty = subprocess.run(["git", "status", "--porcelain", "-uno"], **run).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+changes" if dirty else "")
