"""Kill -9 at random moments of an extraction, and a full disk: does a rerun mend everything?

    python benchmarks/extraction_kills.py [--kills 30] [--samples 60] [--small-disk DIR]

After each kill the run is repeated to its end: the output must be byte-identical to that of an
undisturbed run, and no sample that was finished may be extracted again. With `--small-disk` (an
empty folder on a small file system, for example a tmpfs of 256 MB) the disk is filled up as well.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from _common import EXTRACT_OPTIONS, REPO_ROOT, markdown_table, write_result

sys.path.insert(0, str(REPO_ROOT))

from tests.numbered_videos import MAKERS

from dae_aqa.errors import OutputError
from dae_aqa.extraction.extract import ExtractionReport, extract_samples

OPTIONS = EXTRACT_OPTIONS
VIDEO_FRAMES = 600


def make_inputs(folder: Path, num_samples: int) -> None:
    """Write two videos and the table of samples."""
    videos = folder / "videos"
    videos.mkdir()
    for name in ("h264_b", "mpeg4_b"):
        made = MAKERS[name](folder, VIDEO_FRAMES)
        made.rename(videos / f"{name}{made.suffix}")
    step = (VIDEO_FRAMES - 60) // num_samples
    rows = [
        (f"s{i:03d}", ("h264_b", "mpeg4_b")[i % 2], step * i, step * i + 50)
        for i in range(num_samples)
    ]
    columns = ["sample_id", "video_id", "start_frame", "end_frame"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "rows.csv", index=False)


def run(folder: Path, frames: Path, cache: Path) -> ExtractionReport:
    """Extract in this process."""
    return extract_samples(
        annotations=pd.read_csv(folder / "rows.csv"),
        videos_dir=folder / "videos",
        frames_dir=frames,
        cache_dir=cache,
        options=OPTIONS,
    )


def start(folder: Path, frames: Path, cache: Path) -> subprocess.Popen[bytes]:
    """Extract in a process of its own, to be killed."""
    command = [sys.executable, __file__, "--child", str(folder), str(frames), str(cache)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def finished(cache: Path) -> int:
    """Return how many finished samples the work cache holds."""
    return sum(1 for path in cache.glob("samples/*.zip") if not path.name.startswith("."))


def kill_once(folder: Path, good: dict[str, bytes], rng: random.Random) -> dict[str, Any]:
    """Kill a run after a random number of finished samples, repeat it, compare."""
    frames, cache = folder / "frames", folder / "cache"
    for path in (frames, cache):
        shutil.rmtree(path, ignore_errors=True)
    target, wait = rng.randrange(len(good)), rng.uniform(0, 0.05)
    process = start(folder, frames, cache)
    while process.poll() is None and finished(cache) < target:
        time.sleep(0.002)
    time.sleep(wait)
    process.kill()
    process.wait()
    kept = finished(cache)
    report = run(folder, frames, cache)
    return {
        "finished_at_kill": kept,
        "reused": report.num_reused,
        "identical": contents(frames) == good,
        "ok": contents(frames) == good and report.num_reused >= kept,
    }


def fill_disk(folder: Path, disk: Path, good: dict[str, bytes]) -> dict[str, Any]:
    """Extract to a disk that is too small, make room, repeat, compare."""
    filler, frames, cache = disk / "filler", disk / "frames", disk / "cache"
    room = shutil.disk_usage(disk).free
    needed = 2 * sum(map(len, good.values())) + (1 << 20)
    if room < needed:
        raise SystemExit(f"{disk}: needs {needed >> 20} MB to recover, it has {room >> 20} MB")
    filler.write_bytes(b"\0" * (room - needed // 2))
    message = ""
    try:
        run(folder, frames, cache)
    except OutputError as error:
        message = str(error)
    kept = finished(cache)
    filler.unlink()
    report = run(folder, frames, cache)
    identical = contents(frames) == good
    return {
        "message": message,
        "finished_when_full": kept,
        "reused": report.num_reused,
        "identical": identical,
        "ok": "no space left" in message.lower() and identical and report.num_reused >= kept,
    }


def main() -> None:
    """Kill, repeat, compare; write and print the figures."""
    if sys.argv[1:2] == ["--child"]:
        run(*map(Path, sys.argv[2:5]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=None, help="folder for the generated videos")
    parser.add_argument("--small-disk", type=Path, default=None)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory(dir=args.work) as name:
        folder = Path(name)
        make_inputs(folder, args.samples)
        run(folder, folder / "good", folder / "good_cache")
        good = contents(folder / "good")
        kills = [kill_once(folder, good, rng) for _ in range(args.kills)]
        disk = fill_disk(folder, args.small_disk, good) if args.small_disk else None
    result = {"num_samples": args.samples, "kills": kills, "full_disk": disk}
    path = write_result("extraction_kills", result)
    rows = [(i, row["finished_at_kill"], row["reused"], row["ok"]) for i, row in enumerate(kills)]
    print(markdown_table(("kill", "finished at the kill", "reused", "ok"), rows))
    print(f"full disk: {disk}\n{path}")
    sys.exit(0 if all(row["ok"] for row in [*kills, *([disk] if disk else [])]) else 1)


if __name__ == "__main__":
    main()
