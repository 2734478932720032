"""Pictures are scaled as asked, and turned the right way up."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest
from tests.numbered_videos import all_frames
from tests.turned_videos import TURNS, quarters, write_turned_video

from dae_aqa.video.ffmpeg import find_ffmpeg
from dae_aqa.video.options import ResizeFilter
from dae_aqa.video.upright import UprightScaler


@pytest.mark.parametrize("turn", TURNS)
def test_frames_are_turned_as_ffmpeg_turns_them(turn: str, tmp_path: Path) -> None:
    path = write_turned_video(tmp_path / "v.mov", turn)
    expected = TURNS[turn][1](quarters())
    height, width, _ = expected.shape
    scaler = UprightScaler(width=width, height=height, resize_filter="area")
    upright = scaler(next(all_frames(path))[1])
    assert np.array_equal(upright, expected)
    command = [find_ffmpeg(), "-v", "error", "-i", path, "-frames:v", "1", "-pix_fmt", "rgb24"]
    run = subprocess.run([*command, "-f", "rawvideo", "-"], check=True, capture_output=True)
    assert np.frombuffer(run.stdout, dtype=np.uint8).tobytes() == upright.tobytes()


def test_a_phone_video_comes_out_upright(shared_dir: Path) -> None:
    scaler = UprightScaler(width=320, height=568, resize_filter="area")
    _, frame = next(all_frames(shared_dir / "videos" / "rotation_90.mov"))
    assert (frame.width, frame.height) == (568, 320)
    upright = scaler(frame)
    assert upright.shape == (568, 320, 3)
    unscaled = np.rot90(frame.to_ndarray(format="rgb24"), -1)
    assert np.abs(upright.astype(int) - unscaled).mean() < 3


@pytest.mark.parametrize("resize_filter", get_args(ResizeFilter))
def test_shrinking_averages(resize_filter: ResizeFilter) -> None:
    # A chequerboard of single pixels becomes grey; taking every fourth pixel would keep it black.
    board = (np.indices((96, 160)).sum(axis=0) % 2 * 255).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(np.repeat(board[..., None], 3, axis=2), format="rgb24")
    small = UprightScaler(width=40, height=24, resize_filter=resize_filter)(frame)
    assert small.shape == (24, 40, 3)
    assert np.abs(small[4:-4, 4:-4].astype(int) - 127).max() <= 4


def test_filters_differ_in_sharpness() -> None:
    # Halved beside an edge, the first two stay between both sides and the others overshoot;
    # Lanczos swings back, too.
    edge = np.full((96, 160, 3), 60, dtype=np.uint8)
    edge[:, 81:] = 200
    frame = av.VideoFrame.from_ndarray(edge, format="rgb24")
    rows = {
        name: np.unique(UprightScaler(width=80, height=48, resize_filter=name)(frame)[24, :, 0])
        for name in get_args(ResizeFilter)
    }
    assert rows["area"].tolist() == rows["bilinear"].tolist() == [60, 130, 200]
    assert {name: (row.min() < 55, row.max() > 205, len(row)) for name, row in rows.items()} == {
        "area": (False, False, 3),
        "bilinear": (False, False, 3),
        "bicubic": (True, True, 5),
        "lanczos": (True, True, 7),
    }
