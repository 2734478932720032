"""The ffmpeg binary: an oracle for the numbering and for benchmarks; extraction does not need it.

It is the binary of imageio-ffmpeg, whatever is on the PATH: how ffmpeg treats videos of variable
rate depends on its version, and an oracle must be the same on every machine.
"""

from __future__ import annotations

from pathlib import Path

import ffmpeg
import imageio_ffmpeg

from dae_aqa.errors import VideoError


def find_ffmpeg() -> str:
    """Return the ffmpeg binary of imageio-ffmpeg, or the one that `IMAGEIO_FFMPEG_EXE` names.

    Where imageio-ffmpeg has none for the platform, it gives the one on the PATH.

    Raises:
        VideoError: there is none.
    """
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise VideoError(
            "no ffmpeg binary: reinstall the package imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE to "
            "one of version 7 or newer."
        ) from error


def file_url(path: Path) -> str:
    """Return `path` as a URL of the `file` protocol, so that no name can mean anything else."""
    return f"file:{path.resolve()}"


def run_released_command(*, video: Path, frames_dir: Path, options: dict[str, str | int]) -> int:
    """Run `ffmpeg -i VIDEO FRAMES_DIR/%06d.jpg`, the command whose images annotations count.

    Args:
        video: the video.
        frames_dir: existing folder; a `%` in its name is not supported.
        options: output options, for example `{"s": "64x64"}`.

    Returns:
        The number of images written. Image `n` (1-based) is frame `n - 1` in `reference` numbering.

    Raises:
        VideoError: ffmpeg failed.
    """
    stream = ffmpeg.input(file_url(video), protocol_whitelist="file").output(
        str(frames_dir / "%06d.jpg"), **options
    )
    try:
        stream.run(cmd=find_ffmpeg(), quiet=True)
    except ffmpeg.Error as error:
        tail = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise VideoError(f"{video}: ffmpeg failed: {' '.join(tail)}.") from error
    return sum(1 for _ in frames_dir.glob("*.jpg"))
