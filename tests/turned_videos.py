"""Lossless videos of four colours whose metadata ask for a turn."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from dae_aqa.video.ffmpeg import find_ffmpeg

RED, GREEN, BLUE, YELLOW = (230, 20, 30), (30, 200, 40), (20, 40, 220), (240, 220, 20)
HEIGHT, WIDTH = 96, 160
# What the options of ffmpeg ask for, and how NumPy does the same.
TURNS: dict[str, tuple[list[str], Callable[[np.ndarray], np.ndarray]]] = {
    "0": ([], lambda picture: picture),
    "90 clockwise": (["-display_rotation", "-90"], lambda picture: np.rot90(picture, -1)),
    "180": (["-display_rotation", "180"], lambda picture: picture[::-1, ::-1]),
    "270 clockwise": (["-display_rotation", "90"], lambda picture: np.rot90(picture)),
    "left and right swapped": (["-display_hflip"], lambda picture: picture[:, ::-1]),
    "top and bottom swapped": (["-display_vflip"], lambda picture: picture[::-1]),
    "90 clockwise, then left and right swapped": (
        ["-display_rotation", "-90", "-display_hflip"],
        lambda picture: np.rot90(picture, -1)[:, ::-1],
    ),
}


def quarters() -> np.ndarray:
    """Return a picture of four colours: red and green above, blue and yellow below."""
    picture = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    top, left = slice(0, HEIGHT // 2), slice(0, WIDTH // 2)
    bottom, right = slice(HEIGHT // 2, None), slice(WIDTH // 2, None)
    picture[top, left], picture[top, right] = RED, GREEN
    picture[bottom, left], picture[bottom, right] = BLUE, YELLOW
    return picture


def write_turned_video(path: Path, turn: str) -> Path:
    """Write twenty-four frames of `quarters` that players are to show with a turn of `TURNS`."""
    plain = path.with_name("plain.mov")
    with av.open(str(plain), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "rgb24"
        for _ in range(24):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(quarters(), format="rgb24")))
        container.mux(stream.encode(None))
    command = [find_ffmpeg(), "-v", "error", *TURNS[turn][0], "-i", plain, "-c", "copy", path]
    subprocess.run(command, check=True)
    plain.unlink()
    return path
