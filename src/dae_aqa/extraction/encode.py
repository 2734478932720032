"""Turn decoded frames into packed samples: scale, turn upright, compress, collect, write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dae_aqa.errors import VideoError
from dae_aqa.extraction.cache import WorkCache
from dae_aqa.extraction.options import ExtractOptions
from dae_aqa.extraction.plan import SamplePlan, Task
from dae_aqa.packs.options import FrameOptions, ImageFormat
from dae_aqa.packs.store import write_packed_sample
from dae_aqa.video.decode import read_frames
from dae_aqa.video.index import VideoIndex
from dae_aqa.video.upright import UprightScaler


def write_samples(
    task: Task, *, cache: WorkCache, options: ExtractOptions, num_threads: int
) -> Iterator[tuple[SamplePlan, Path | VideoError]]:
    """Decode the frames of a task in one pass; yield each sample with its file or its error.

    Where the pass meets damage, each sample that is not finished is tried by itself, so that only
    those are lost that touch the damage.

    Args:
        task: the samples and their video.
        cache: where the files are written.
        options: how to scale and compress.
        num_threads: decoder threads.
    """
    unfinished = {sample.sample_id: sample for sample in task.samples}
    try:
        for sample, path in _write_pass(task, cache, options, num_threads):
            del unfinished[sample.sample_id]
            yield sample, path
        return
    except VideoError as error:
        if len(task.samples) == 1:
            yield task.samples[0], error
            return
    for sample in unfinished.values():
        alone = replace(task, samples=[sample])
        yield from write_samples(alone, cache=cache, options=options, num_threads=num_threads)


def _write_pass(
    task: Task, cache: WorkCache, options: ExtractOptions, num_threads: int
) -> Iterator[tuple[SamplePlan, Path]]:
    """Yield each sample with its file, as soon as its last frame has been decoded."""
    uses: dict[int, list[tuple[SamplePlan, int]]] = {}
    for sample in task.samples:
        for place, number in enumerate(sample.decoded):
            uses.setdefault(number, []).append((sample, place))
    images: dict[str, dict[int, bytes]] = {sample.sample_id: {} for sample in task.samples}
    frames = encoded_frames(
        task.path,
        index=task.index,
        numbers=uses,
        options=options,
        num_threads=num_threads,
        hwaccel=options.hwaccel,
    )
    for number, image in frames:
        for sample, place in uses[number]:
            collected = images[sample.sample_id]
            collected[place] = image
            if len(collected) == len(sample.decoded):
                path = cache.sample_path(sample.key)
                ordered = [collected[i] for i in range(len(collected))]
                write_packed_sample(path, meta=sample.meta, images=ordered)
                collected.clear()
                yield sample, path


def encoded_frames(
    path: Path,
    *,
    index: VideoIndex,
    numbers: Iterable[int],
    options: FrameOptions,
    num_threads: int,
    hwaccel: str | None = None,
) -> Iterator[tuple[int, bytes]]:
    """Yield `(number, compressed image)` for decoded frames of a video, ascending.

    Args:
        path: the video.
        index: of the video.
        numbers: of the decoded frames that are wanted.
        options: how to scale and compress.
        num_threads: decoder threads.
        hwaccel: hardware decoder, or None.

    Raises:
        VideoError: the video is damaged before the last of them.
    """
    scaler = UprightScaler(
        width=options.width, height=options.height, resize_filter=options.resize_filter
    )
    frames = read_frames(
        path, index=index, numbers=sorted(numbers), num_threads=num_threads, hwaccel=hwaccel
    )
    for number, frame in frames:
        image = encode_image(
            scaler(frame), image_format=options.image_format, jpeg_quality=options.jpeg_quality
        )
        yield number, image


def encode_image(
    image: NDArray[np.uint8], *, image_format: ImageFormat, jpeg_quality: int
) -> bytes:
    """Compress an image.

    Args:
        image: (height, width, 3) uint8, RGB.
        image_format: `jpeg` (4:2:0) or `png`.
        jpeg_quality: 1 to 100; not used for `png`.

    Raises:
        VideoError: the encoder failed.
    """
    if image_format == "jpeg":
        suffix = ".jpg"
        params = [
            *(cv2.IMWRITE_JPEG_QUALITY, jpeg_quality),
            *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420),
        ]
    else:
        suffix, params = ".png", [cv2.IMWRITE_PNG_COMPRESSION, 3]
    worked, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), params)
    if not worked:
        raise VideoError(f"an image of shape {image.shape} cannot be written as {image_format}.")
    return bytes(data)
