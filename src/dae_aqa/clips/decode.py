"""Turn the encoded images of a packed sample into a `uint8` tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torchvision.io import ImageReadMode, decode_image

from dae_aqa.errors import FrameStoreError


def decode_frames(images: Sequence[bytes], *, square_px: int | None = None) -> torch.Tensor:
    """Decode T ≥ 1 images (JPEG or PNG) of one size, H × W pixels.

    Args:
        images: the encoded images.
        square_px: keep this much of the centre, see `centre_square`; None keeps all. What is cut
            off at once need not be collected first: a third of the time of a sample.

    Returns:
        (T, 3, H, W) or (T, 3, side, side) uint8, RGB, 0 to 255, contiguous.

    Raises:
        FrameStoreError: there is no image, one cannot be decoded, or sizes differ.
    """
    if not images:
        raise FrameStoreError("no images to decode; expected at least one.")
    first = _decode(images[0])
    kept = first if square_px is None else centre_square(first, square_px)
    frames = torch.empty((len(images), *kept.shape), dtype=torch.uint8)
    for index, data in enumerate(images):
        image = _decode(data) if index else first
        if image.shape != first.shape:
            raise FrameStoreError(
                f"image {index} is {tuple(image.shape)}, the first {tuple(first.shape)}; all "
                "images of a sample have one size. Run the extraction again."
            )
        frames[index] = image if square_px is None else centre_square(image, square_px)
    return frames


def centre_square(frames: torch.Tensor, side_px: int) -> torch.Tensor:
    """Return the centre of frames (..., H, W), at most `side_px` wide and high, as a view."""
    height, width = frames.shape[-2:]
    side = min(side_px, height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return frames[..., top : top + side, left : left + side]


def _decode(data: bytes) -> torch.Tensor:
    """Return one image as (3, H, W) uint8."""
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    try:
        image: torch.Tensor = decode_image(encoded, mode=ImageReadMode.RGB)
    except RuntimeError as error:
        raise FrameStoreError(
            f"an image cannot be decoded ({str(error).splitlines()[0]}). Run the extraction again."
        ) from error
    return image
