"""The ffmpeg binary of the tests is the same on every machine."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest

from dae_aqa.errors import VideoError
from dae_aqa.video.ffmpeg import find_ffmpeg, run_released_command

SMALL: dict[str, str | int] = {"s": "16x16", "loglevel": "error"}


def test_the_bundled_binary_is_taken_whatever_is_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, numbered_video: Callable[[str], Path]
) -> None:
    video = numbered_video("h264_variable_mkv")
    other = tmp_path / "ffmpeg"
    other.write_text("#!/bin/sh\necho ffmpeg version 0.1; exit 1\n")
    other.chmod(0o755)
    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE", raising=False)
    counts = []
    for name, path in (("behind_another", str(tmp_path)), ("alone", "/nowhere")):
        monkeypatch.setenv("PATH", path)
        shown = subprocess.run([find_ffmpeg(), "-version"], capture_output=True, text=True)
        assert shown.stdout.startswith(f"ffmpeg version {imageio_ffmpeg.get_ffmpeg_version()}")
        images = tmp_path / name
        images.mkdir()
        counts.append(run_released_command(video=video, frames_dir=images, options=SMALL))
        assert len(list(images.glob("*.jpg"))) == counts[-1]
    assert counts[0] == counts[1] > 100


def test_a_missing_binary_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise RuntimeError("No ffmpeg exe could be found")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    with pytest.raises(VideoError, match="no ffmpeg binary: reinstall the package imageio-ffmpeg"):
        find_ffmpeg()


def test_a_failure_is_named(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match=r"v\.mp4: ffmpeg failed: .*Invalid data found"):
        run_released_command(video=tmp_path / "v.mp4", frames_dir=tmp_path, options=SMALL)
