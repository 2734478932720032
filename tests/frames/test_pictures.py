"""Pictures: colours in their places, the right way up, in what is read and in what is stored."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from sample_table import table

from dae_aqa.extraction.encode import encode_image
from dae_aqa.extraction.extract import extract_samples
from dae_aqa.extraction.options import ExtractOptions
from dae_aqa.packs.store import PackedSample
from dae_aqa.video.decode import read_all_frames
from dae_aqa.video.ffmpeg import find_ffmpeg
from dae_aqa.video.probe import probe_video
from dae_aqa.video.upright import UprightScaler, to_upright_rgb

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


@pytest.fixture(scope="session")
def plain_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four lossless frames of `quarters`."""
    path = tmp_path_factory.mktemp("quarters") / "plain.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "rgb24"
        for _ in range(24):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(quarters(), format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def turned_video(plain_video: Path, tmp_path: Path) -> Callable[[str], Path]:
    def make(turn: str) -> Path:
        path = tmp_path / "v.mov"
        command = [find_ffmpeg(), "-v", "error", *TURNS[turn][0], "-i", plain_video, "-c", "copy"]
        subprocess.run([*command, path], check=True)
        return path

    return make


@pytest.mark.parametrize("turn", TURNS)
def test_frames_are_turned_as_ffmpeg_turns_them(
    turn: str, turned_video: Callable[[str], Path]
) -> None:
    path = turned_video(turn)
    upright = to_upright_rgb(next(read_all_frames(path))[1])
    assert np.array_equal(upright, TURNS[turn][1](quarters()))
    command = [find_ffmpeg(), "-v", "error", "-i", path, "-frames:v", "1", "-pix_fmt", "rgb24"]
    run = subprocess.run([*command, "-f", "rawvideo", "-"], check=True, capture_output=True)
    assert np.frombuffer(run.stdout, dtype=np.uint8).tobytes() == upright.tobytes()


@pytest.mark.parametrize(
    ("turn", "degrees", "size"),
    [
        ("0", 0, (160, 96)),
        ("90 clockwise", 90, (96, 160)),
        ("180", 180, (160, 96)),
        ("270 clockwise", 270, (96, 160)),
    ],
)
def test_probe_tells_the_turn(
    turn: str, degrees: int, size: tuple[int, int], turned_video: Callable[[str], Path]
) -> None:
    info = probe_video(turned_video(turn))
    assert (info.rotation_degrees, (info.width, info.height)) == (degrees, size)


@pytest.mark.parametrize("turn", ["0", "90 clockwise", "180", "270 clockwise"])
@pytest.mark.parametrize("image_format", ["jpeg", "png"])
def test_stored_pictures_have_their_colours_in_place(
    turn: str,
    image_format: str,
    turned_video: Callable[[str], Path],
    tmp_path: Path,
    with_options: Callable[..., ExtractOptions],
) -> None:
    turned_video(turn)
    extract_samples(
        annotations=table(("a", "v", 0, 24)),
        videos_dir=tmp_path,
        frames_dir=tmp_path / "frames",
        cache_dir=tmp_path / "cache",
        options=with_options(image_format=image_format, width=64, height=48),
    )
    with PackedSample.open(tmp_path / "frames" / "a.zip") as sample:
        stored = [Image.open(io.BytesIO(data)) for data in sample.read([0, 22])]
    expected = TURNS[turn][1](quarters())
    for image in stored:
        assert (image.format, image.size, image.mode) == (image_format.upper(), (64, 48), "RGB")
        pixels = np.asarray(image).astype(int)
        for y, x in ((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)):
            got = pixels[int(48 * y), int(64 * x)]
            wanted = expected[int(len(expected) * y), int(expected.shape[1] * x)]
            assert np.abs(got - wanted).max() <= (6 if image_format == "jpeg" else 0), (y, x)


def test_stored_png_is_exact_and_jpeg_has_the_quality_asked_for() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    png = Image.open(io.BytesIO(encode_image(picture, image_format="png", jpeg_quality=1)))
    assert np.array_equal(np.asarray(png), picture)
    # Source: libjpeg, jcparam.c: at quality 50 the tables are those of ISO/IEC 10918-1, annex K.
    jpeg = Image.open(io.BytesIO(encode_image(picture, image_format="jpeg", jpeg_quality=50)))
    assert sorted(jpeg.quantization[0])[:4] == [10, 11, 12, 12]
    assert jpeg.layer[0][1:3] == (2, 2)  # 4:2:0: twice as many samples of luma each way
    best = Image.open(io.BytesIO(encode_image(picture, image_format="jpeg", jpeg_quality=100)))
    assert set(best.quantization[0]) == {1}


@pytest.mark.parametrize("resize_filter", ["area", "bilinear", "bicubic", "lanczos"])
def test_shrinking_averages(resize_filter: str) -> None:
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
        for name in ("area", "bilinear", "bicubic", "lanczos")
    }
    assert rows["area"].tolist() == rows["bilinear"].tolist() == [60, 130, 200]
    assert {name: (row.min() < 55, row.max() > 205, len(row)) for name, row in rows.items()} == {
        "area": (False, False, 3),
        "bilinear": (False, False, 3),
        "bicubic": (True, True, 5),
        "lanczos": (True, True, 7),
    }
