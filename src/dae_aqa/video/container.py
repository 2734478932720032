"""Open a video safely: a file of a known video container, never a playlist, a pattern or a URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
from av import VideoFrame, VideoStream
from av.codec.context import ThreadType
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer

from dae_aqa.errors import ParamsError, VideoError
from dae_aqa.video.ffmpeg import file_url

# Demuxers that read one file and follow no reference to another. Playlists (hls, dash, concat) and
# patterns (image2) are left out on purpose: with them a video could name any file or address.
_CONTAINERS = (
    *("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "gif", "mpegts", "mpeg", "mpegvideo"),
    *("h264", "hevc", "m4v", "flv", "asf", "ogg", "ivf", "nut", "mxf", "yuv4mpegpipe"),
)
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": ",".join(_CONTAINERS)}
# All 8K video fits. Without a limit, some hundred bytes can announce a picture of gigabytes.
MAX_PIXELS = 8192 * 4608
# The decoder stops here without saying why. Its limit is higher, so that `_check_size`, which does
# say why, usually comes first.
_DECODER_OPTIONS = {"max_pixels": str(4 * MAX_PIXELS)}


@contextmanager
def open_video(
    path: Path, *, num_threads: int = 1, hwaccel: str | None = None
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open `path` and yield its container and its first video stream, ready to decode.

    Args:
        path: the video file.
        num_threads: decoder threads.
        hwaccel: name of a hardware decoder, one of `HWACCELS`, or None to decode in software.

    Raises:
        VideoError: there is no such file, it is of a kind that is not read, it holds no video, or
            its pictures have more than `MAX_PIXELS`.
        ParamsError: `hwaccel` cannot be used. That is no fault of the video.
    """
    if not path.is_file():
        raise VideoError(f"{path}: no such video file.")
    with _open(path, hwaccel) as container:
        if not container.streams.video:
            raise VideoError(f"{path}: holds no video stream.")
        stream = container.streams.video[0]
        context = stream.codec_context
        width, height = context.width, context.height
        if not width * height:  # unknown, or more than the decoder's limit
            width, height = _announced_size(path)
        _check_size(path, width, height)
        context.options = _DECODER_OPTIONS
        # Several threads decode frames of interlaced MPEG-4 otherwise than one does.
        stream.thread_type = ThreadType.SLICE if context.name == "mpeg4" else ThreadType.AUTO
        stream.thread_count = num_threads
        yield container, stream


def _open(path: Path, hwaccel: str | None) -> InputContainer:
    """Open the container with what keeps it from naming other files."""
    device = HWAccel(device_type=hwaccel, allow_software_fallback=False) if hwaccel else None
    try:
        return av.open(file_url(path), options=_OPTIONS | _DECODER_OPTIONS, hwaccel=device)
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


def check_frame_size(path: Path, frame: VideoFrame) -> None:
    """Check a decoded frame, since the size may change within a video.

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
    """Return the error to raise where PyAV failed in the middle of `path`."""
    return VideoError(
        f"{path}: damaged at {where} ({_reason(error)}). Fetch the file again, or set "
        "damaged: exclude to go on without the samples that lie there."
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
