"""Look at a video: find it, count its frames, turn seconds into frame numbers."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from dae_aqa.errors import VideoError
from dae_aqa.video.index import VideoIndex
from dae_aqa.video.indexing import build_index
from dae_aqa.video.numbering import decoded_numbers
from dae_aqa.video.options import Numbering

VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".gif", ".mpg", ".mpeg", ".ts", ".mts",
    ".m2ts", ".flv", ".wmv", ".asf", ".ogv", ".3gp", ".mxf", ".nut", ".ivf", ".y4m", ".vob",
)  # fmt: skip

# A frame's time may be this far off, since containers round timestamps to their time base.
_TIME_TOLERANCE_SECONDS = 1e-3


def count_frames(path: Path, *, numbering: Numbering) -> int:
    """Return how many frames the video has in `numbering`.

    Raises:
        VideoError: the video is missing or unreadable.
    """
    return len(decoded_numbers(video_index(path), numbering))


def seconds_to_frame(path: Path, seconds: float, *, numbering: Numbering) -> int:
    """Return the number of the frame that is on screen `seconds` after the video's time 0.

    Time 0 is the start of the earliest stream, as in players and ffmpeg. A time past the end of the
    video gives a number past its last frame, as if it went on: it can end a half-open range, and
    the caller sees how far off it is.

    Raises:
        VideoError: the video is missing or unreadable, or `seconds` is negative.
    """
    if not seconds >= 0:
        raise VideoError(f"{path}: a time in the video must be >= 0 seconds, got {seconds}.")
    index = video_index(path)
    unit = float(index.time_base)
    moment = (seconds + _TIME_TOLERANCE_SECONDS) / unit + index.container_start
    beyond = (moment - _end(index)) * unit * float(index.frame_rate)
    numbers = decoded_numbers(index, numbering)
    if beyond >= 0:
        return len(numbers) + int(beyond)
    decoded = max(int(np.searchsorted(index.frame_pts, moment, side="right")) - 1, 0)
    if numbering == "decoded":
        return decoded
    # The frames of the reference are evenly spaced from its first one on.
    start = max(0, round((index.frame_pts[0] - index.container_start) * unit * index.frame_rate))
    first = start if index.num_streams == 1 else 0
    number = int((moment - index.container_start) * unit * float(index.frame_rate)) - first
    return min(max(number, 0), len(numbers) - 1)


def find_video(videos_dir: Path, video_id: str) -> Path:
    """Return the video `<video_id><suffix>` in `videos_dir`, for any of the known suffixes.

    Raises:
        VideoError: there is none, or there are several.
    """
    if not video_id or video_id in (".", "..") or set(video_id) & {"/", "\\", "\0"}:
        raise VideoError(f"video_id {video_id!r} is no file name.")
    found = [
        path
        for suffix in VIDEO_SUFFIXES
        for path in {videos_dir / f"{video_id}{suffix}", videos_dir / f"{video_id}{suffix.upper()}"}
        if path.is_file()
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(sorted(path.name for path in found))
        raise VideoError(
            f"{videos_dir}: several videos for video_id {video_id!r}: {names}. Keep one of them."
        )
    raise VideoError(
        f"{videos_dir}: no video for video_id {video_id!r}. Put a file {video_id}.mp4 there (or "
        f"another of {' '.join(VIDEO_SUFFIXES[:6])} …), or run the download stage again."
    )


def video_index(path: Path) -> VideoIndex:
    """Return the index of the video; the process remembers it until the file changes.

    Raises:
        VideoError: the video is missing or unreadable.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise VideoError(f"{path}: no such video file.") from error
    index: VideoIndex = _remembered_index(path, stat.st_size, stat.st_mtime_ns)
    return index


@lru_cache(maxsize=16)
def _remembered_index(path: Path, size: int, mtime_ns: int) -> VideoIndex:
    del size, mtime_ns  # they only make the key
    return build_index(path)


def _end(index: VideoIndex) -> int:
    """Return when the last frame ends, in units of the time base."""
    duration = int(index.frame_durations[-1])
    return int(index.frame_pts[-1]) + (duration or round(1 / (index.frame_rate * index.time_base)))
