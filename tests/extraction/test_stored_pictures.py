"""Stored pictures: colours in their places, the right way up, in the format asked for."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.extraction.sample_table import table
from tests.turned_videos import TURNS, quarters, write_turned_video

from dae_aqa.extraction.encode import encode_image
from dae_aqa.extraction.extract import extract_samples
from dae_aqa.extraction.options import ExtractOptions
from dae_aqa.packs.store import PackedSample


@pytest.mark.parametrize("turn", ["0", "90 clockwise", "180", "270 clockwise"])
@pytest.mark.parametrize("image_format", ["jpeg", "png"])
def test_stored_pictures_have_their_colours_in_place(
    turn: str, image_format: str, tmp_path: Path, options: ExtractOptions
) -> None:
    write_turned_video(tmp_path / "v.mov", turn)
    extract_samples(
        annotations=table(("a", "v", 0, 24)),
        videos_dir=tmp_path,
        frames_dir=tmp_path / "frames",
        cache_dir=tmp_path / "cache",
        options=options.replaced(image_format=image_format, width=64, height=48),
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
