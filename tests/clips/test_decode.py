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
    clip = torch.stack([*decode_frames(images)])
    expected = np.stack([np.asarray(Image.open(io.BytesIO(image))) for image in images])
    assert clip.dtype == torch.uint8
    assert tuple(clip.shape) == (3, 3, 32, 48)
    difference = clip.permute(0, 2, 3, 1).numpy().astype(int) - expected.astype(int)
    assert np.abs(difference).max() <= 1


def test_pngs_are_lossless() -> None:
    originals = pictures(2)
    frames = torch.stack([*decode_frames([encode(picture, "PNG") for picture in originals])])
    assert np.array_equal(frames.permute(0, 2, 3, 1).numpy(), np.stack(originals))


def test_bad_images_are_errors() -> None:
    images = [encode(picture, "JPEG") for picture in pictures(2)]
    with pytest.raises(FrameStoreError, match="expected at least one"):
        list(decode_frames([]))
    with pytest.raises(FrameStoreError, match="an image cannot be decoded"):
        list(decode_frames([b"\xff\xd8 nothing more"]))
    with pytest.raises(FrameStoreError, match="an image cannot be decoded"):
        list(decode_frames([images[0], images[1][:40]]))
    with pytest.raises(FrameStoreError, match="an image cannot be decoded"):
        list(decode_frames([images[0], b"no image"]))
    with pytest.raises(FrameStoreError, match="all images of a sample have one size"):
        list(decode_frames([images[0], encode(pictures(1, 16, 16)[0], "JPEG")]))
