"""Turn the encoded images of a packed sample into a `uint8` tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torchvision.io import ImageReadMode, decode_image

from dae_aqa.errors import FrameStoreError


def decode_frames(images: Sequence[bytes]) -> torch.Tensor:
    """Decode T ≥ 1 images (JPEG or PNG) of one size, H × W pixels.

    Returns:
        (T, 3, H, W) uint8, RGB, 0 to 255, contiguous.

    Raises:
        FrameStoreError: there is no image, one cannot be decoded, or sizes differ.
    """
    if not images:
        raise FrameStoreError("no images to decode; expected at least one.")
    first = _decode(images[0])
    frames = torch.empty((len(images), *first.shape), dtype=torch.uint8)
    for index, data in enumerate(images):
        image = _decode(data) if index else first
        if image.shape != first.shape:
            raise FrameStoreError(
                f"image {index} is {tuple(image.shape)}, the first {tuple(first.shape)}; all "
                "images of a sample have one size. Run the extraction again."
            )
        frames[index] = image
    return frames


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
