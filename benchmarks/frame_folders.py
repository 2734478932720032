"""145,000 loose images packed as they are: images a second, memory, and ten kills.

    python benchmarks/frame_folders.py [--samples 1412] [--kills 10] [--folder DIR]

Each performance is a folder of 103 JPEGs of 455×256 px, drawn from 512 different pictures. The
floor reads the same files and writes the same bytes into one stored zip a performance, with
two threads, synced as packs are, and checks nothing. Page cache: warm for both.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from _common import EXTRACT_OPTIONS, write_result
from dae_aqa.datasets.frames import list_frames, look_into
from dae_aqa.extraction.extract import ExtractionReport, extract_samples
from dae_aqa.files.whole import written_whole

NUM_FRAMES = 103
OPTIONS = EXTRACT_OPTIONS.replaced(num_frames=NUM_FRAMES, margin_frames=0, early_end="error")


def pictures(count: int) -> list[bytes]:
    """Return JPEGs of about 20 kB: blurred noise over gradients."""
    rng = np.random.default_rng(0)
    base = np.linspace(60, 180, 455 * 256 * 3).reshape(256, 455, 3)
    made = []
    for _ in range(count):
        noisy = cv2.GaussianBlur(base + rng.normal(0, 14, base.shape), (3, 3), 0)
        coded = cv2.imencode(".jpg", noisy.clip(0, 255).astype(np.uint8), [1, 90])[1]
        made.append(coded.tobytes())
    return made


def make_inputs(folder: Path, num_samples: int) -> None:
    """Write a folder of images for each performance, and their lists."""
    images, rng = pictures(512), np.random.default_rng(1)
    for number in range(num_samples):
        place = folder / "images" / f"{number:05d}"
        place.mkdir(parents=True)
        for frame in range(1, NUM_FRAMES + 1):
            (place / f"{frame:06d}.jpg").write_bytes(images[rng.integers(len(images))])
    (folder / "videos").mkdir()


def make_lists(folder: Path) -> float:
    """List the folders of images; return the seconds."""
    begin = time.perf_counter()
    folders = {f"s{place.name}": place for place in (folder / "images").iterdir()}
    found = look_into(folders, frames_dir=folder / "images")
    first = dict.fromkeys(found, 1)
    list_frames(found, first, videos_dir=folder / "videos", of_samples=True)
    return time.perf_counter() - begin


def floor(folder: Path) -> float:
    """Read all images and write their bytes, unchecked; return the seconds."""

    def copy(place: Path) -> None:
        with (
            written_whole(folder / "floor" / f"{place.name}.zip", synced=True) as part,
            zipfile.ZipFile(part, "w") as pack,
        ):
            for path in sorted(place.iterdir()):
                pack.writestr(path.name, path.read_bytes())

    begin = time.perf_counter()
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(copy, sorted((folder / "images").iterdir())))
    return time.perf_counter() - begin


def extract(folder: Path, name: str) -> ExtractionReport:
    """Pack all performances in this process."""
    names = sorted(place.name for place in (folder / "images").iterdir())
    table = pd.DataFrame({"sample_id": [f"s{name}" for name in names]})
    table["video_id"], table["start_frame"], table["end_frame"] = "v", 0, NUM_FRAMES
    return extract_samples(
        annotations=table,
        videos_dir=folder / "videos",
        frames_dir=folder / name,
        cache_dir=folder / f"{name}_cache",
        options=OPTIONS,
        frames_root=folder / "images",
    )


def start(folder: Path, name: str) -> subprocess.Popen[str]:
    """Pack in a process of its own, which prints its peak of memory in MB."""
    command = [sys.executable, __file__, "--child", str(folder), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def measured(folder: Path, name: str) -> dict[str, float]:
    """Pack all in a process of its own; return seconds and MB."""
    begin = time.perf_counter()
    output = start(folder, name).communicate()[0]
    return {"seconds": time.perf_counter() - begin, "peak_mb": float(output)}


def finished(cache: Path) -> int:
    """Return how many packs the work cache holds."""
    return sum(1 for path in cache.glob("samples/*.zip") if not path.name.startswith("."))


def hashes(folder: Path) -> dict[str, str]:
    """Return the hash of every file of a folder, hidden ones too."""
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def kills(folder: Path, *, count: int, num_samples: int) -> dict[str, Any]:
    """Kill one extraction `count` times on its way, each time further on; then let it end."""
    kept = []
    for number in range(1, count + 1):
        process = start(folder, "killed")
        while process.poll() is None and (
            finished(folder / "killed_cache") < number * num_samples // (count + 1)
        ):
            time.sleep(0.02)
        process.kill()
        process.wait()
        kept.append(finished(folder / "killed_cache"))
    report = extract(folder, "killed")
    return {
        "finished_at_kill": kept,
        "reused_at_the_end": report.num_reused,
        "nothing_done_twice": report.num_reused >= kept[-1],
        "identical": hashes(folder / "killed") == hashes(folder / "packs"),
    }


def main() -> None:
    """Measure and write `results/frame_folders.json`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=1412)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        extract(Path(options.child[0]), options.child[1])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        make_inputs(folder, options.samples)
        num_images = options.samples * NUM_FRAMES
        size = sum(path.stat().st_size for path in (folder / "images").rglob("*.jpg"))
        listed = make_lists(folder)
        runs = []
        for _ in range(3):  # floor and packing in turn, since the machine is shared
            for name in ("floor", "packs", "packs_cache"):
                shutil.rmtree(folder / name, ignore_errors=True)
            runs.append({"floor_seconds": floor(folder), **measured(folder, "packs")})
        few = {}
        if options.samples >= 400:  # memory: the same with a quarter of the performances
            small = Path(tempfile.mkdtemp(dir=options.folder))
            make_inputs(small, options.samples // 4)
            make_lists(small)
            few = measured(small, "packs")
            shutil.rmtree(small)
        result = {
            "num_samples": options.samples,
            "num_images": num_images,
            "bytes_per_image": size / num_images,
            "list_seconds": listed,
            "floor_images_per_second": [num_images / run["floor_seconds"] for run in runs],
            "images_per_second": [num_images / run["seconds"] for run in runs],
            "peak_mb": [run["peak_mb"] for run in runs],
            "peak_mb_with_a_quarter": few.get("peak_mb"),
            "kills": kills(folder, count=options.kills, num_samples=options.samples),
        }
        print(write_result("frame_folders", result).read_text(encoding="utf-8"))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
