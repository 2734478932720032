"""Turn the encoded images of a packed sample into a `uint8` tensor with no needless work."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torchvision.io import ImageReadMode, decode_image, decode_jpeg

from dae_aqa.errors import FrameStoreError

_JPEG_SIGNATURE = b"\xff\xd8"


def decode_frames(
    images: Sequence[bytes],
    *,
    crop: tuple[int, int, int, int] | None = None,
    device: torch.device | str = "cpu",
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Decode images of one size to a tensor.

    Args:
        images: T encoded images (JPEG or PNG), T ≥ 1, all of the same size.
        crop: (top, left, height, width) in pixels of the part to keep, or None for all of it.
        device: where to decode JPEGs: the CPU, or a CUDA device (nvJPEG).
        out: CPU tensor to fill and return, (T, 3, H, W) uint8. Fresh memory costs as much as a
            fifth of the decoding (page faults), so a loop does well to reuse it.

    Returns:
        (T, 3, H, W) uint8, RGB, 0 to 255, contiguous, on `device`.

    Raises:
        FrameStoreError: there is no image, one cannot be decoded, sizes differ, or the crop lies
            outside the images, or `out` does not fit.
    """
    if not images:
        raise FrameStoreError("no images to decode; expected at least one.")
    target = torch.device(device)
    encoded = [torch.frombuffer(bytearray(image), dtype=torch.uint8) for image in images]
    try:
        if target.type == "cuda" and all(image[:2] == _JPEG_SIGNATURE for image in images):
            return _stack_on_device(encoded, crop, target)
        return _decode_on_cpu(encoded, crop, out).to(target)
    except RuntimeError as error:
        raise FrameStoreError(
            f"an image cannot be decoded ({str(error).splitlines()[0]}). Run the extraction again."
        ) from error


def _decode_on_cpu(
    encoded: list[torch.Tensor], crop: tuple[int, int, int, int] | None, out: torch.Tensor | None
) -> torch.Tensor:
    first = _decode_one(encoded[0])
    top, left, height, width = _check_crop(crop, first)
    shape = (len(encoded), 3, height, width)
    clip = torch.empty(shape, dtype=torch.uint8) if out is None else out
    if clip.shape != shape or clip.dtype != torch.uint8 or clip.device.type != "cpu":
        raise FrameStoreError(
            f"`out` must be a CPU tensor {shape} of uint8, got {tuple(clip.shape)} of {clip.dtype} "
            f"on {clip.device}."
        )
    for index, data in enumerate(encoded):
        image = first if index == 0 else _decode_one(data)
        if image.shape != first.shape:
            raise FrameStoreError(
                f"image {index} is {tuple(image.shape)}, the first {tuple(first.shape)}; all "
                "images of a sample have one size. Run the extraction again."
            )
        clip[index] = image[:, top : top + height, left : left + width]
    return clip


def _decode_one(data: torch.Tensor) -> torch.Tensor:
    """Return one image as (3, H, W) uint8."""
    if data[0] == _JPEG_SIGNATURE[0] and data[1] == _JPEG_SIGNATURE[1]:
        image: torch.Tensor = decode_jpeg(data, mode=ImageReadMode.RGB)
    else:
        image = decode_image(data, mode=ImageReadMode.RGB)
    return image


def _stack_on_device(
    encoded: list[torch.Tensor], crop: tuple[int, int, int, int] | None, device: torch.device
) -> torch.Tensor:
    images = decode_jpeg(encoded, mode=ImageReadMode.RGB, device=device)
    top, left, height, width = _check_crop(crop, images[0])
    return torch.stack([image[:, top : top + height, left : left + width] for image in images])


def _check_crop(
    crop: tuple[int, int, int, int] | None, image: torch.Tensor
) -> tuple[int, int, int, int]:
    height, width = image.shape[1:]
    if crop is None:
        return 0, 0, height, width
    top, left, crop_height, crop_width = crop
    inside = min(top, left) >= 0 and top + crop_height <= height and left + crop_width <= width
    if not inside or min(crop_height, crop_width) < 1:
        raise FrameStoreError(
            f"the crop (top {top}, left {left}, height {crop_height}, width {crop_width}) does "
            f"not fit images of {height}×{width}. Lower the crop size or extract larger frames."
        )
    return crop
