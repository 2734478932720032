"""Look at a video: find it, describe it, count its frames, turn seconds into frame numbers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

from dae_aqa.errors import VideoError
from dae_aqa.video.container import decode_error, open_video
from dae_aqa.video.index import VideoIndex, build_index
from dae_aqa.video.numbering import decoded_numbers, has_reference, reference_numbers
from dae_aqa.video.options import Numbering
from dae_aqa.video.upright import display_matrix

VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".gif", ".mpg", ".mpeg", ".ts", ".mts",
    ".m2ts", ".flv", ".wmv", ".asf", ".ogv", ".3gp", ".mxf", ".nut", ".ivf", ".y4m", ".vob",
)  # fmt: skip

# Timestamps are rounded to the container's time base; so much may a frame's time be off.
_TIME_TOLERANCE_SECONDS = 1e-3


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a video is.

    Attributes:
        path: the file.
        container: PyAV's name of the container format.
        codec: PyAV's name of the decoder.
        width: width in pixels as the video should be seen, after rotation.
        height: height in pixels as the video should be seen, after rotation.
        rotation_degrees: clockwise turn that the metadata asks for: 0, 90, 180 or 270.
        frame_rate: frames per second that ffmpeg guesses for the stream.
        time_base: seconds per timestamp unit.
        num_frames: frames that the decoder gives.
        num_reference_frames: images that `ffmpeg -i in.mp4 %06d.jpg` writes; None where that is
            not known, see `dae_aqa.video.numbering.has_reference`.
        is_variable_rate: whether the frames are not evenly spaced.
        duration_seconds: from the first frame's begin to the last frame's end.
    """

    path: Path
    container: str
    codec: str
    width: int
    height: int
    rotation_degrees: int
    frame_rate: Fraction
    time_base: Fraction
    num_frames: int
    num_reference_frames: int | None
    is_variable_rate: bool
    duration_seconds: float


def probe_video(path: Path) -> VideoInfo:
    """Describe the video at `path`; its packets are read, only the first frames decoded.

    Raises:
        VideoError: the file is missing, is no video, or its first frame cannot be decoded.
    """
    index = video_index(path)
    with open_video(path) as (container, stream):
        try:
            frame = next(container.decode(stream))
        except (av.FFmpegError, StopIteration) as error:
            raise decode_error(path, error, where="its first frame") from error
        (a, b), (c, _) = display_matrix(frame)
        swaps = a == 0
        return VideoInfo(
            path=path,
            container=container.format.name,
            codec=stream.codec_context.name,
            width=frame.height if swaps else frame.width,
            height=frame.width if swaps else frame.height,
            rotation_degrees={(1, 0): 0, (0, 1): 90, (-1, 0): 180, (0, -1): 270}[
                (a, b) if c != b or a else (a, -c)
            ],
            frame_rate=index.frame_rate,
            time_base=index.time_base,
            num_frames=index.num_frames,
            num_reference_frames=len(reference_numbers(index)) if has_reference(index) else None,
            is_variable_rate=index.is_variable_rate,
            duration_seconds=float((_end(index) - index.frame_pts[0]) * index.time_base),
        )


def count_frames(path: Path, *, numbering: Numbering) -> int:
    """Return how many frames the video has in `numbering`.

    Raises:
        VideoError: the video is missing or unreadable.
    """
    return len(decoded_numbers(video_index(path), numbering))


def seconds_to_frame(path: Path, seconds: float, *, numbering: Numbering) -> int:
    """Return the number of the frame that is on screen `seconds` after the video's time 0.

    Time 0 is the one of players and ffmpeg: the start of the earliest stream. A time at or past the
    end gives a number at or past the last frame plus one, so that it fits a half-open range and a
    caller can tell how far off it is.

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
    # The reference's frames are evenly spaced from its first frame on.
    start = max(0, round((index.frame_pts[0] - index.container_start) * unit * index.frame_rate))
    first = start if index.num_streams == 1 else 0
    number = int((moment - index.container_start) * unit * float(index.frame_rate)) - first
    return min(max(number, 0), len(numbers) - 1)


def find_video(videos_dir: Path, video_id: str) -> Path:
    """Return the video in `videos_dir` whose file name is `video_id` and a known suffix.

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
    """Return the index of the video, remembered within the process as long as the file is the same.

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
