"""Turn the encoded images of a packed sample into `uint8` tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torchvision.io import ImageReadMode, decode_image

from dae_aqa.errors import FrameStoreError


def decode_frames(images: Sequence[bytes]) -> Iterator[torch.Tensor]:
    """Decode T images (JPEG or PNG) of one size, H × W pixels, one after the other.

    Yields:
        (3, H, W) uint8, RGB, 0 to 255, T times. Whoever cuts or scales each at once needs about
        half the memory, and less time, than for all together.

    Raises:
        FrameStoreError: there is no image, one cannot be decoded, or sizes differ.
    """
    if not images:
        raise FrameStoreError("no images to decode; expected at least one.")
    size = None
    for index, data in enumerate(images):
        image = _decode(data)
        size = size or image.shape
        if image.shape != size:
            raise FrameStoreError(
                f"image {index} is {tuple(image.shape)}, the first {tuple(size)}; all images of a "
                "sample have one size. Run the extraction again."
            )
        yield image


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
