"""Turn decoded frames into packed samples: scale, turn upright, compress, collect, write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2

from dae_aqa.errors import VideoError
from dae_aqa.extraction.cache import WorkCache
from dae_aqa.extraction.options import ExtractOptions
from dae_aqa.extraction.plan import SamplePlan
from dae_aqa.packs.store import write_packed_sample
from dae_aqa.video.decode import read_frames
from dae_aqa.video.index import VideoIndex
from dae_aqa.video.upright import UprightScaler


class SampleWriter:
    """Writes samples of one video into the work cache. One object per thread."""

    def __init__(
        self,
        *,
        path: Path,
        index: VideoIndex,
        cache: WorkCache,
        options: ExtractOptions,
        num_threads: int,
    ) -> None:
        self._path, self._index, self._cache, self._options = path, index, cache, options
        self._num_threads = num_threads
        self._scaler = UprightScaler(
            width=options.width, height=options.height, resize_filter=options.resize_filter
        )

    def write(
        self, samples: Sequence[SamplePlan]
    ) -> Iterator[tuple[SamplePlan, Path | VideoError]]:
        """Decode the frames of `samples` in one pass; yield each with its file or its error.

        Where the pass meets damage, the samples not finished are tried one by one, so that only
        those that touch the damage are lost.
        """
        unfinished = {sample.sample_id: sample for sample in samples}
        try:
            for sample, path in self._write_pass(samples):
                del unfinished[sample.sample_id]
                yield sample, path
            return
        except VideoError as error:
            if len(samples) == 1:
                yield samples[0], error
                return
        for sample in unfinished.values():
            yield from self.write([sample])

    def encode(self, frame: Any) -> bytes:
        """Return a decoded frame as a compressed image of the asked size and format."""
        options = self._options
        return encode_image(
            self._scaler(frame),
            image_format=options.image_format,
            jpeg_quality=options.jpeg_quality,
        )

    def _write_pass(self, samples: Sequence[SamplePlan]) -> Iterator[tuple[SamplePlan, Path]]:
        uses: dict[int, list[tuple[SamplePlan, int]]] = {}
        for sample in samples:
            for place, number in enumerate(sample.decoded):
                uses.setdefault(number, []).append((sample, place))
        images: dict[str, dict[int, bytes]] = {sample.sample_id: {} for sample in samples}
        frames = read_frames(
            self._path,
            index=self._index,
            numbers=sorted(uses),
            num_threads=self._num_threads,
            hwaccel=self._options.hwaccel,
        )
        for number, frame in frames:
            image = self.encode(frame)
            for sample, place in uses[number]:
                collected = images[sample.sample_id]
                collected[place] = image
                if len(collected) == len(sample.decoded):
                    path = self._cache.sample_path(sample.key)
                    ordered = [collected[i] for i in range(len(collected))]
                    write_packed_sample(path, meta=sample.meta, images=ordered)
                    collected.clear()
                    yield sample, path


def encode_image(image: Any, *, image_format: str, jpeg_quality: int) -> bytes:
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
            cv2.IMWRITE_JPEG_QUALITY,
            jpeg_quality,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
        ]
    else:
        suffix, params = ".png", [cv2.IMWRITE_PNG_COMPRESSION, 3]
    worked, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), params)
    if not worked:
        raise VideoError(f"an image of shape {image.shape} cannot be written as {image_format}.")
    return bytes(data)
