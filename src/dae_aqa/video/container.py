"""Open a video safely: a file of a known video container, never a playlist, a pattern or a URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import av
from av.codec.hwaccel import HWAccel, hwdevices_available

from dae_aqa.errors import ParamsError, VideoError
from dae_aqa.video.ffmpeg import file_url

# Demuxers that read one file and follow no reference to another. Playlists (hls, dash, concat) and
# patterns (image2) are left out on purpose: they could be made to read any file or address.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2",
    "matroska,webm",
    "avi",
    "gif",
    "mpegts",
    "mpeg",
    "mpegvideo",
    "h264",
    "hevc",
    "m4v",
    "flv",
    "asf",
    "ogg",
    "ivf",
    "nut",
    "mxf",
    "yuv4mpegpipe",
)
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": ",".join(CONTAINERS)}
# Every kind of 8K video fits. A file of some hundred bytes may announce a picture of gigabytes.
MAX_PIXELS = 8192 * 4608
# The decoder itself stops here. It does not say why, so smaller pictures are left to
# `check_frame_size`, which does.
_MAX_DECODER_PIXELS = 4 * MAX_PIXELS
_DECODER_OPTIONS = {"max_pixels": str(_MAX_DECODER_PIXELS)}


@contextmanager
def open_video(
    path: Path, *, num_threads: int = 1, hwaccel: str | None = None
) -> Iterator[tuple[Any, Any]]:
    """Open `path` and yield PyAV's container and its first video stream, ready to decode.

    Args:
        path: the video file.
        num_threads: decoder threads.
        hwaccel: name of a hardware decoder (`cuda`, `vaapi`, …), or None to decode in software.

    Raises:
        VideoError: no such file, no video in it, pictures of more than `MAX_PIXELS`, or a kind of
            file that is not read.
        ParamsError: `hwaccel` cannot be used. Not a fault of the video, so no reason to exclude it.
    """
    if not path.is_file():
        raise VideoError(f"{path}: no such video file.")
    device = HWAccel(device_type=hwaccel, allow_software_fallback=False) if hwaccel else None
    try:
        container = av.open(file_url(path), options=_OPTIONS | _DECODER_OPTIONS, hwaccel=device)
    except (av.FFmpegError, ValueError, RuntimeError, NotImplementedError) as error:
        if hwaccel:
            raise ParamsError(
                f"extract_frames.hwaccel {hwaccel!r} cannot decode {path} on this machine "
                f"({_reason(error)}). This PyAV knows: {', '.join(hwdevices_available())}. "
                "Set hwaccel: null to decode in software."
            ) from error
        raise VideoError(
            f"{path}: cannot be opened as a video ({_reason(error)}). Expected a complete MP4, "
            "MOV, MKV, WebM, AVI, GIF, MPEG or similar file; playlists are not read. Fetch the "
            "file again, or convert it with ffmpeg."
        ) from error
    with container:
        if not container.streams.video:
            raise VideoError(f"{path}: holds no video stream.")
        stream = container.streams.video[0]
        context = stream.codec_context
        width, height = context.width, context.height
        if not width * height:  # unknown, or more than the decoder's limit
            width, height = _announced_size(path)
        _check_size(path, width, height)
        context.options = _DECODER_OPTIONS
        # Frames of interlaced MPEG-4 that several threads decode differ from those of one.
        stream.thread_type = "SLICE" if context.name == "mpeg4" else "AUTO"
        stream.thread_count = num_threads
        yield container, stream


def check_frame_size(path: Path, frame: Any) -> None:
    """Raise where a decoded frame is too large: its size may change within a video.

    Raises:
        VideoError: it has more than `MAX_PIXELS`.
    """
    _check_size(path, frame.width, frame.height)


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise VideoError(
            f"{path}: its pictures have {width}×{height} = {width * height:,} pixels, the limit is "
            f"{MAX_PIXELS:,} (8192×4608). Check that it is the right file, or scale it down: "
            f"ffmpeg -i {path.name} -vf scale=1920:-2 smaller.mp4."
        )


def _announced_size(path: Path) -> tuple[int, int]:
    """Return width and height as the container announces them, without opening any decoder."""
    options = _OPTIONS | {"codec_whitelist": "none"}
    with suppress(av.FFmpegError), av.open(file_url(path), options=options) as container:
        context = container.streams.video[0].codec_context
        return context.width, context.height
    return 0, 0


def decode_error(path: Path, error: Exception, *, where: str) -> VideoError:
    """Return the error to raise when PyAV failed in the middle of `path`."""
    return VideoError(
        f"{path}: damaged at {where} ({_reason(error)}). Fetch the file again, or set "
        "damaged: exclude to go on without the samples that lie there."
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
