"""Frame identity: is every frame the one that its number means, by full decode and by seek?

    python benchmarks/frame_identity.py [--per-video 600] [--clips FOLDER]

Generates videos that show their own frame number, with many encoders and profiles and in all the
containers of the tests, and reads the number back from every frame of a full decode. Then every
frame is read by seeking to runs of frames in random order, and must equal the full decode pixel for
pixel. Last, the reference numbering is compared with ffmpeg's own images. `--clips` checks the
videos of a folder too, as far as they show no number: every frame by seek against the full decode.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import av
import cv2
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from _common import REPO_ROOT, markdown_table, write_result

sys.path.insert(0, str(REPO_ROOT))

from tests.numbered_videos import MAKERS, all_frames, forge_x264_build, pixels, read_number

from dae_aqa.errors import VideoError
from dae_aqa.video.decode import read_frames
from dae_aqa.video.ffmpeg import run_released_command
from dae_aqa.video.index import VideoIndex
from dae_aqa.video.indexing import build_index
from dae_aqa.video.numbering import reference_numbers

MAX_RUN_FRAMES = 40


def picture_hash(picture: NDArray[np.uint8]) -> str:
    """Return a hash of a picture's pixels, so that a whole video's fit into memory."""
    return hashlib.sha256(picture.tobytes()).hexdigest()


def check_by_seek(path: Path, index: VideoIndex, oracle: list[str]) -> dict[str, Any]:
    """Read every frame by seek, in random runs, and compare it with the full decode."""
    rng = random.Random(path.name)
    runs, first = [], 0
    while first < index.num_frames:
        end = min(first + rng.randint(1, MAX_RUN_FRAMES), index.num_frames)
        runs.append(range(first, end))
        first = end
    rng.shuffle(runs)
    read = wrong = 0
    called_damaged = False
    for wanted in runs:
        try:
            for number, frame in read_frames(path, index=index, numbers=wanted):
                read += 1
                wrong += picture_hash(pixels(frame)) != oracle[number]
        except VideoError as error:
            print(error, file=sys.stderr)
            called_damaged = True
    return {
        "num_frames": len(oracle),
        "read_by_seek": read,
        "wrong_by_seek": wrong + abs(index.num_frames - read),
        "wrongly_called_damaged": int(called_damaged),
        "seekable": index.is_seekable,
        "num_places_to_begin": len(index.seek_frames),
        "counted_by": index.counted_by,
    }


def check_numbered_video(path: Path) -> dict[str, Any]:
    """Return what the check of a video that shows its frame numbers found."""
    pictures = (pixels(frame) for _, frame in all_frames(path))
    shown, oracle = [], []
    for picture in pictures:
        shown.append(read_number(picture))
        oracle.append(picture_hash(picture))
    index = build_index(path)
    expected = list(range(shown[0], shown[0] + len(shown)))
    wrong_full = sum(a != b for a, b in zip(shown, expected, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        run_released_command(video=path, frames_dir=Path(folder), options={"loglevel": "error"})
        images = sorted(Path(folder).glob("*.jpg"))
        written = [read_number(cv2.imread(str(image))) for image in images]
    mapped = [shown[number] for number in reference_numbers(index)]
    wrong_reference = sum(a != b for a, b in zip(mapped, written, strict=False))
    return check_by_seek(path, index, oracle) | {
        "wrong_by_full_decode": wrong_full + abs(index.num_frames - len(shown)),
        "num_reference": len(written),
        "wrong_in_reference": wrong_reference + abs(len(mapped) - len(written)),
    }


def check_clip(path: Path) -> dict[str, Any]:
    """Return what the check of any other video found."""
    oracle = [picture_hash(pixels(frame)) for _, frame in all_frames(path)]
    return check_by_seek(path, build_index(path), oracle)


def check_clips(folder: Path) -> dict[str, dict[str, Any]]:
    """Check every video in a folder that decodes from its start."""
    found = {}
    for path in sorted(folder.iterdir()):
        try:
            found[path.name] = check_clip(path)
        except (VideoError, av.FFmpegError) as error:
            print(f"left out: {path.name}: {error}", file=sys.stderr)
    return found


def main() -> None:
    """Make the videos, check them, write and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--per-video", type=int, default=600, help="frames per video, 60 at least")
    parser.add_argument("--work", type=Path, default=None, help="folder for the generated videos")
    parser.add_argument("--clips", type=Path, default=None, help="a folder of videos to check too")
    parser.add_argument("--results", type=Path, default=None, help="folder for the result file")
    args = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    for name, make in MAKERS.items():
        with tempfile.TemporaryDirectory(dir=args.work) as folder:
            path = make(Path(folder), args.per_video)
            found[name] = check_numbered_video(path)
            if name == "h264_b":
                old = forge_x264_build(path, Path(folder) / "old.mp4", 30)
                found["h264_old_x264"] = check_clip(old)  # its pictures come out otherwise
    clips = check_clips(args.clips) if args.clips else {}
    columns = ("num_frames", "wrong_by_full_decode", "read_by_seek", "wrong_by_seek")
    columns += ("wrongly_called_damaged", "num_reference", "wrong_in_reference")
    rows = found | clips
    total = {column: sum(row.get(column, 0) for row in rows.values()) for column in columns}
    result = {"total": total, "videos": found, "clips": clips}
    result["ffmpeg"] = imageio_ffmpeg.get_ffmpeg_version()
    path = write_result("frame_identity", result, folder=args.results)
    lines = [[name, *(row.get(column, "") for column in columns)] for name, row in rows.items()]
    print(markdown_table(("video", *columns), [*lines, ["total", *total.values()]]))
    print(path)
    wrong = [value for column, value in total.items() if column.startswith("wrong")]
    sys.exit(1 if any(wrong) else 0)


if __name__ == "__main__":
    main()
