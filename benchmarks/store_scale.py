"""The store at full size under DVC: 1,412 packed samples in one folder.

    python benchmarks/store_scale.py [--samples 1412] [--work DIR]

Writes packed samples of 115 images each, adds the folder to a fresh DVC repository and asks for its
status. The images are random bytes of the usual size: DVC sees files, not pictures.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from _common import markdown_table, write_result
from dae_aqa.packs.store import SampleMeta, write_packed_sample

IMAGES, IMAGE_BYTES = 115, 25_000


def write_store(folder: Path, count: int) -> float:
    """Write `count` packed samples and return the seconds that it took."""
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    for index in range(count):
        meta = SampleMeta(
            sample_id=f"s{index:04d}",
            video_id="v",
            video_sha256="0" * 64,
            numbering="reference",
            window="end",
            frame_numbers=tuple(range(IMAGES)),
            window_offset=6,
            window_length=103,
            num_repeated_before=0,
            num_repeated_after=0,
            width=455,
            height=256,
            image_format="jpeg",
        )
        images = [rng.bytes(IMAGE_BYTES) for _ in range(IMAGES)]
        write_packed_sample(folder / f"s{index:04d}.zip", meta=meta, images=images)
    return time.perf_counter() - start


def timed(command: list[str], folder: Path) -> float:
    """Return the seconds of a command."""
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Write the store, time DVC, write and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1412)
    parser.add_argument("--work", type=Path, default=None, help="folder with room for three stores")
    args = parser.parse_args()
    dvc = [sys.executable, "-m", "dvc"]
    with tempfile.TemporaryDirectory(dir=args.work) as name:
        folder = Path(name)
        timed([*dvc, "init", "--no-scm"], folder)
        seconds = {"write": write_store(folder / "frames", args.samples)}
        seconds["dvc add"] = timed([*dvc, "add", "frames"], folder)
        seconds["dvc status"] = timed([*dvc, "status"], folder)
    result = {"num_samples": args.samples, "sample_bytes": IMAGES * IMAGE_BYTES, "seconds": seconds}
    path = write_result("store_scale", result)
    print(markdown_table(("what", "seconds"), seconds.items()))
    print(path)


if __name__ == "__main__":
    main()
