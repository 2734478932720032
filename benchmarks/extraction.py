"""Speed of extraction from a long broadcast with samples in a tenth of it.

    python benchmarks/extraction.py [--minutes 20] [--work DIR]

Side by side in one run, each with all cores: extraction from an empty cache; the released command,
which decodes the whole video to JPEGs; ffmpeg decoding the needed groups of pictures to nothing.
The broadcast is generated: camera-like pans over noise and shapes, 1280×720, 25 frames per second,
H.264 with B-frames and a keyframe every 5 seconds at most.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from _common import markdown_table, write_result
from dae_aqa.extraction.extract import extract_samples
from dae_aqa.extraction.options import ExtractOptions
from dae_aqa.video.ffmpeg import find_ffmpeg, run_released_command
from dae_aqa.video.probe import video_index

RATE = 25
SAMPLE_FRAMES = 103
OPTIONS = ExtractOptions(
    num_frames=SAMPLE_FRAMES,
    margin_frames=6,
    window="end",
    numbering="reference",
    width=455,
    height=256,
    resize_filter="area",
    image_format="jpeg",
    jpeg_quality=90,
    early_end="error",
    damaged="error",
    hwaccel=None,
    num_workers=2,
)


def make_broadcast(path: Path, minutes: float) -> None:
    """Encode a moving, noisy, cut test picture; 20 seconds are encoded and repeated by copying."""
    unit = path.with_name("unit.mp4")
    source = f"mandelbrot=size=640x360:rate={RATE}:start_scale=2:end_scale=0.02:end_pts=500"
    picture = "scale=1280:720,noise=alls=4:allf=t"
    run = [find_ffmpeg(), "-v", "error", "-y"]
    encode = f"-c:v libx264 -preset veryfast -crf 26 -g {5 * RATE} -bf 3 -pix_fmt yuv420p".split()
    seconds = min(20.0, minutes * 60)
    shown = ["-f", "lavfi", "-i", source, "-vf", picture, "-t", str(seconds)]
    subprocess.run([*run, *shown, *encode, str(unit)], check=True)
    listing = path.with_suffix(".txt")
    listing.write_text(f"file '{unit}'\n" * round(minutes * 60 / seconds), encoding="utf-8")
    join = ["-f", "concat", "-safe", "0", "-i", str(listing), "-c", "copy", str(path)]
    subprocess.run([*run, *join], check=True)


def sample_table(video: Path, share: float) -> pd.DataFrame:
    """Return annotations of dives spread evenly, their windows covering `share` of the video."""
    num_frames = video_index(video).num_frames
    count = max(1, int(num_frames * share / SAMPLE_FRAMES))
    step = num_frames // count
    rows = []
    for index in range(count):
        end = index * step + step // 2 + SAMPLE_FRAMES // 2
        rows.append(
            {
                "sample_id": f"s{index:04d}",
                "video_id": video.stem,
                "start_frame": end - SAMPLE_FRAMES,
                "end_frame": end,
            }
        )
    return pd.DataFrame(rows)


def time_extraction(video: Path, table: pd.DataFrame, work: Path) -> float:
    """Return the seconds of a whole extraction, hashing and indexing included."""
    start = time.perf_counter()
    extract_samples(
        annotations=table,
        videos_dir=video.parent,
        frames_dir=work / "frames",
        cache_dir=work / "cache",
        options=OPTIONS,
    )
    return time.perf_counter() - start


def time_released_command(video: Path) -> float:
    """Return the seconds of the released command, which keeps the video's own size."""
    with tempfile.TemporaryDirectory(dir=video.parent) as folder:
        start = time.perf_counter()
        run_released_command(video=video, frames_dir=Path(folder), options={"loglevel": "error"})
        return time.perf_counter() - start


def time_needed_groups(video: Path, table: pd.DataFrame) -> tuple[float, int]:
    """Return the seconds and frames of ffmpeg decoding just the needed groups of pictures."""
    index = video_index(video)
    seconds, frames = 0.0, 0
    for _, row in table.iterrows():
        first = index.seek_frame(int(row["start_frame"]) - OPTIONS.margin_frames)
        last = min(int(row["end_frame"]) + OPTIONS.margin_frames, index.num_frames)
        following = index.seek_frames[index.seek_frames >= last]
        last = int(following[0]) if len(following) else index.num_frames
        begin = f"{(first + 0.2) / RATE:.4f}"
        command = [find_ffmpeg(), "-v", "error", "-ss", begin, "-i", str(video)]
        command += ["-frames:v", str(last - first), "-an", "-f", "null", "-"]
        start = time.perf_counter()
        subprocess.run(command, check=True)
        seconds += time.perf_counter() - start
        frames += last - first
    return seconds, frames


def main() -> None:
    """Make the broadcast, time the three ways, write and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--share", type=float, default=0.1, help="part of the video with samples")
    parser.add_argument("--work", type=Path, default=None, help="folder for the generated video")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.work) as name:
        folder = Path(name)
        video = folder / "videos" / "broadcast.mp4"
        video.parent.mkdir()
        make_broadcast(video, args.minutes)
        table = sample_table(video, args.share)
        ours = time_extraction(video, table, folder)
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        groups, group_frames = time_needed_groups(video, table)
        released = time_released_command(video)
        size_mb = sum(path.stat().st_size for path in (folder / "frames").iterdir()) / 1e6
        num_frames = video_index(video).num_frames
    result: dict[str, Any] = {
        "minutes": args.minutes,
        "num_frames": num_frames,
        "num_samples": len(table),
        "num_needed_group_frames": group_frames,
        "extraction_seconds": ours,
        "released_command_seconds": released,
        "needed_groups_seconds": groups,
        "times_faster_than_released": released / ours,
        "times_needed_groups": ours / groups,
        "store_mb": size_mb,
        "peak_memory_mb": peak_mb,
    }
    path = write_result("extraction", result)
    rows = [
        ("extraction", ours, 1.0),
        ("ffmpeg, needed groups of pictures to nothing", groups, groups / ours),
        ("released command, whole video to JPEGs", released, released / ours),
    ]
    print(markdown_table(("what", "seconds", "times extraction"), rows))
    print(f"{len(table)} samples, {num_frames} frames, peak {peak_mb:.0f} MB; {path}")


if __name__ == "__main__":
    main()
