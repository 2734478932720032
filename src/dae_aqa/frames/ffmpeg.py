"""The ffmpeg binary: an oracle for numbering and benchmarks; extraction does not need it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import ffmpeg
import imageio_ffmpeg

from dae_aqa.errors import VideoError


def find_ffmpeg() -> str:
    """Return the path of the ffmpeg binary: the one on the PATH, else the one of imageio-ffmpeg.

    Raises:
        VideoError: there is none.
    """
    on_path = shutil.which("ffmpeg")
    if on_path:
        return on_path
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise VideoError(
            "no ffmpeg binary: install one, or reinstall the package imageio-ffmpeg."
        ) from error


def file_url(path: Path) -> str:
    """Return `path` as a URL of the `file` protocol, so that no name can mean anything else."""
    return f"file:{path.resolve()}"


def run_released_command(*, video: Path, frames_dir: Path, options: dict[str, str | int]) -> int:
    """Run `ffmpeg -i VIDEO FRAMES_DIR/%06d.jpg`, the command whose counting annotations follow.

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


def count_reference_frames(video: Path) -> int:
    """Count the images that the released command writes, by running it. Slow; exact by definition.

    Raises:
        VideoError: ffmpeg failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        return run_released_command(
            video=video, frames_dir=Path(folder), options={"s": "16x16", "loglevel": "error"}
        )
