"""Decoding stored images to clip tensors, against Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from dae_aqa.clips.decode import decode_frames
from dae_aqa.errors import FrameStoreError


def encode(picture: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, kind, quality=90)
    return stream.getvalue()


def pictures(count: int, height: int = 32, width: int = 48) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (count, height // 8, width // 8, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(s).resize((width, height))) for s in small]


def test_jpegs_decode_as_pillow_does() -> None:
    images = [encode(picture, "JPEG") for picture in pictures(3)]
    clip = decode_frames(images)
    expected = np.stack([np.asarray(Image.open(io.BytesIO(image))) for image in images])
    assert clip.dtype == torch.uint8
    assert clip.is_contiguous()
    assert tuple(clip.shape) == (3, 3, 32, 48)
    difference = clip.permute(0, 2, 3, 1).numpy().astype(int) - expected.astype(int)
    assert np.abs(difference).max() <= 1


def test_pngs_are_lossless_and_crops_are_exact() -> None:
    originals = pictures(2)
    images = [encode(picture, "PNG") for picture in originals]
    clip = decode_frames(images, crop=(3, 5, 20, 30))
    expected = np.stack(originals)[:, 3:23, 5:35]
    assert np.array_equal(clip.permute(0, 2, 3, 1).numpy(), expected)


def test_out_is_filled_and_returned() -> None:
    images = [encode(picture, "JPEG") for picture in pictures(2)]
    out = torch.zeros((2, 3, 32, 48), dtype=torch.uint8)
    assert decode_frames(images, out=out) is out
    assert torch.equal(out, decode_frames(images))
    with pytest.raises(FrameStoreError, match="must be a CPU tensor"):
        decode_frames(images, out=out[:1])


def test_bad_images_and_crops_are_errors() -> None:
    images = [encode(picture, "JPEG") for picture in pictures(2)]
    with pytest.raises(FrameStoreError, match="expected at least one"):
        decode_frames([])
    with pytest.raises(FrameStoreError, match="cannot be decoded"):
        decode_frames([b"\xff\xd8 nothing more"])
    with pytest.raises(FrameStoreError, match="does not fit images of 32×48"):
        decode_frames(images, crop=(0, 20, 32, 30))
    with pytest.raises(FrameStoreError, match="all images of a sample have one size"):
        decode_frames([images[0], encode(pictures(1, 16, 16)[0], "JPEG")])
