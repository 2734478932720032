"""Frame identity: is every frame the one that its number means, by full decode and by seek?

    python benchmarks/frame_identity.py [--frames 20000] [--per-video 600]

Generates videos that show their own frame number, in all the formats of the tests, and reads the
number back from every extracted frame: once by decoding everything, once by seeking to runs of
frames in random order, and once through the reference numbering against ffmpeg's own images.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2

from _common import REPO_ROOT, markdown_table, write_result

sys.path.insert(0, str(REPO_ROOT / "tests" / "frames"))

from numbered_videos import MAKERS, read_number

from dae_aqa.frames.decode import read_all_frames, read_frames
from dae_aqa.frames.ffmpeg import run_released_command
from dae_aqa.frames.index import VideoIndex, build_index
from dae_aqa.frames.numbering import reference_numbers
from dae_aqa.frames.upright import to_upright_rgb

RUN_FRAMES = 20


def check_by_seek(path: Path, index: VideoIndex, shown: list[int], count: int) -> tuple[int, int]:
    """Return how many frames were read in random runs, and how many were wrong."""
    rng = random.Random(path.name)
    read = wrong = 0
    while read < count:
        first = rng.randrange(index.num_frames)
        wanted = range(first, min(first + rng.randint(1, 2 * RUN_FRAMES), index.num_frames))
        for number, frame in read_frames(path, index=index, numbers=wanted):
            read += 1
            wrong += read_number(to_upright_rgb(frame)) != shown[number]
    return read, wrong


def check_video(path: Path, count: int) -> dict[str, Any]:
    """Return what one video's check found."""
    shown = [read_number(to_upright_rgb(frame)) for _, frame in read_all_frames(path)]
    index = build_index(path)
    expected = list(range(shown[0], shown[0] + len(shown)))
    wrong_full = sum(a != b for a, b in zip(shown, expected, strict=True))
    wrong_full += abs(index.num_frames - len(shown))
    read, wrong = check_by_seek(path, index, shown, count)
    with tempfile.TemporaryDirectory() as folder:
        run_released_command(video=path, frames_dir=Path(folder), options={"loglevel": "error"})
        images = sorted(Path(folder).glob("*.jpg"))
        written = [read_number(cv2.imread(str(image))) for image in images]
    mapped = [shown[number] for number in reference_numbers(index)]
    wrong_reference = sum(a != b for a, b in zip(mapped, written, strict=False))
    return {
        "num_frames": len(shown),
        "wrong_by_full_decode": wrong_full,
        "read_by_seek": read,
        "wrong_by_seek": wrong,
        "num_reference": len(written),
        "wrong_in_reference": wrong_reference + abs(len(mapped) - len(written)),
        "seekable": index.is_seekable,
        "counted_by": index.counted_by,
    }


def main() -> None:
    """Make the videos, check them, write and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=20_000, help="frames to read by seek, in all")
    parser.add_argument("--per-video", type=int, default=600, help="length of each video in frames")
    parser.add_argument("--work", type=Path, default=None, help="folder for the generated videos")
    args = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    for name, make in MAKERS.items():
        with tempfile.TemporaryDirectory(dir=args.work) as folder:
            path = make(Path(folder), args.per_video)
            found[name] = check_video(path, -(-args.frames // len(MAKERS)))
    columns = ("num_frames", "wrong_by_full_decode", "read_by_seek", "wrong_by_seek")
    columns += ("num_reference", "wrong_in_reference")
    total = {column: sum(row[column] for row in found.values()) for column in columns}
    path = write_result("frame_identity", {"total": total, "videos": found})
    rows = [[name, *(row[column] for column in columns)] for name, row in found.items()]
    print(markdown_table(("video", *columns), [*rows, ["total", *total.values()]]))
    print(path)
    wrong = [value for column, value in total.items() if column.startswith("wrong")]
    sys.exit(1 if any(wrong) else 0)


if __name__ == "__main__":
    main()
