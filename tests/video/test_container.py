"""Opening videos: pictures that are too large are refused before they take memory."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from tests.numbered_videos import encode

from dae_aqa.errors import VideoError
from dae_aqa.video import container
from dae_aqa.video.container import open_video
from dae_aqa.video.decode import read_frames
from dae_aqa.video.indexing import build_index


def write_gif(path: Path, *, width: int, height: int) -> Path:
    """Write a GIF of two frames that announces a size but changes one pixel alone."""
    screen = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    frame = b"\x21\xf9\x04\x04\x05\0\0\0\x2c" + struct.pack("<HHHH", 0, 0, 1, 1)
    path.write_bytes(screen + 2 * (frame + b"\0\x02\x02\x44\x01\0") + b"\x3b")
    return path


@pytest.mark.parametrize(("width", "height"), [(16000, 16000), (8192, 4609), (4608, 8193)])
def test_pictures_that_would_fill_the_memory_are_refused(
    width: int, height: int, tmp_path: Path
) -> None:
    path = write_gif(tmp_path / "bomb.gif", width=width, height=height)
    message = rf"bomb\.gif: its pictures have {width}×{height} = .* the limit is 37,748,736"
    with pytest.raises(VideoError, match=message):
        build_index(path)


def test_a_refusal_takes_no_memory(tmp_path: Path) -> None:
    path = write_gif(tmp_path / "bomb.gif", width=16000, height=16000)
    code = (
        "import resource, sys; from pathlib import Path; from dae_aqa.video.indexing import *\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak()\n"
        "try: build_index(Path(sys.argv[1]))\n"
        "except VideoError: print(peak() - before)"
    )
    run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert int(run.stdout) < 100, run.stderr  # MB; the picture would take 1,024


@pytest.mark.parametrize(("width", "height"), [(7680, 4320), (4320, 7680), (8192, 4608)])
def test_8k_is_opened(width: int, height: int, tmp_path: Path) -> None:
    path = write_gif(tmp_path / "large.gif", width=width, height=height)
    with open_video(path) as (_, stream):
        assert (stream.codec_context.width, stream.codec_context.height) == (width, height)


@pytest.mark.parametrize("num_pixels", [100 * 100, 160 * 96])
def test_pictures_that_become_too_large_are_refused(
    num_pixels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two transport streams after one another: 96×64 pixels, then 160×96.
    small = encode(tmp_path / "small.ts", 30, "-c:v mpeg2video -g 10 -vf scale=96:64")
    large = encode(tmp_path / "large.ts", 30, "-c:v mpeg2video -g 10 -output_ts_offset 2")
    path = tmp_path / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    index = build_index(path)
    monkeypatch.setattr(container, "MAX_PIXELS", num_pixels)
    assert [n for n, _ in read_frames(path, index=index, numbers=[0, 20])] == [0, 20]
    if num_pixels >= 160 * 96:
        assert [n for n, _ in read_frames(path, index=index, numbers=[20, 50])] == [20, 50]
        return
    with pytest.raises(VideoError, match=r"both\.ts: its pictures have 160×96 = 15,360 pixels"):
        list(read_frames(path, index=index, numbers=[20, 50]))


def test_the_decoder_has_a_limit_of_its_own(
    numbered_video: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # It holds where a stream turns out larger than its container says.
    monkeypatch.setattr(container, "_DECODER_OPTIONS", {"max_pixels": "1000"})
    monkeypatch.setattr(container, "_announced_size", lambda path: (16, 16))
    with (
        open_video(numbered_video("mjpeg_mov")) as (opened, stream),
        pytest.raises(av.FFmpegError, match="Invalid argument"),
    ):
        next(opened.decode(stream))
