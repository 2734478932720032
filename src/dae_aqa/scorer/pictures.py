"""Pictures of an answer: the strip of frames that were looked at, and the video with its score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dae_aqa.errors import OutputError, VideoError
from dae_aqa.files.whole import written_whole
from dae_aqa.scorer.score import Score
from dae_aqa.scorer.window import Window
from dae_aqa.video.write import write_h264

_MAX_FRAMES = 16  # of a strip
_FRAME_WIDTH_PX = 160
_BAND_PX = 36  # of text
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FRAMES_PER_SECOND = 12
_CRF = 20  # of H.264


def write_strip(window: Window, score: Score, path: Path) -> None:
    """Write a PNG of up to sixteen frames that were looked at, and the score below them.

    Raises:
        OutputError: the file cannot be written, or its name does not end in .png.
    """
    if path.suffix.lower() != ".png":
        raise OutputError(f"{path}: a strip is a PNG picture; give a name that ends in .png.")
    places = np.linspace(0, len(window.images) - 1, min(_MAX_FRAMES, len(window.images)))
    frames = [_scaled(_decoded(window.images[place])) for place in places.round().astype(int)]
    numbers = [window.frame_numbers[place] for place in places.round().astype(int)]
    for frame, number in zip(frames, numbers, strict=True):
        _write(frame, str(number), size=0.4)
    half = -(-len(frames) // 2)
    blank = np.zeros_like(frames[0])
    rows = [frames[:half], [*frames[half:], *[blank] * (2 * half - len(frames))]]
    picture = np.vstack([np.hstack(row) for row in rows if row])
    band = np.zeros((_BAND_PX, picture.shape[1], 3), np.uint8)
    _write(band, _line(score), size=0.6)
    worked, data = cv2.imencode(".png", cv2.cvtColor(np.vstack([picture, band]), cv2.COLOR_RGB2BGR))
    if not worked:
        raise OutputError(f"{path}: the picture cannot be encoded.")
    with written_whole(path) as part:
        part.write_bytes(bytes(data))


def write_annotated(window: Window, score: Score, path: Path) -> None:
    """Write an MP4 of the frames that were looked at, with the score on each.

    Raises:
        OutputError: the file cannot be written, or its name does not end in .mp4.
    """
    if path.suffix.lower() != ".mp4":
        raise OutputError(f"{path}: an annotated clip is an MP4 video; give a name in .mp4.")
    pictures = _annotated(window.images, score)
    first = next(pictures)
    write_h264(
        (_planar(each) for each in chain([first], pictures)),
        path,
        width=first.shape[1],
        height=first.shape[0],
        fps=_FRAMES_PER_SECOND,
        crf=_CRF,
        comment=_line(score),
    )


def _planar(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an RGB picture (H, W, 3) as planar YUV 4:2:0, (3/2 H, W)."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), dtype=np.uint8)


def _annotated(images: Sequence[bytes], score: Score) -> Iterator[NDArray[np.uint8]]:
    """Yield each image above a band with the score; both sides are even, as the codec needs."""
    for image in images:
        frame = _decoded(image)
        band = np.zeros((_BAND_PX, frame.shape[1], 3), np.uint8)
        _write(band, _line(score), size=0.5)
        whole = np.vstack([frame, band])
        yield np.ascontiguousarray(whole[: whole.shape[0] // 2 * 2, : whole.shape[1] // 2 * 2])


def _line(score: Score) -> str:
    low, high = score.interval(0.9)
    warning = "  UNLIKE TRAINING" if score.is_unlike else ""
    return f"{score.mu:.1f}  (90 %: {low:.1f} to {high:.1f}){warning}"


def _decoded(image: bytes) -> NDArray[np.uint8]:
    """Return a stored image as uint8 RGB (H, W, 3)."""
    decoded = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise VideoError("a frame that was encoded cannot be decoded.")
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _scaled(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height = round(frame.shape[0] * _FRAME_WIDTH_PX / frame.shape[1])
    size = (_FRAME_WIDTH_PX, height)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _write(picture: NDArray[np.uint8], text: str, *, size: float) -> None:
    """Write white text with a black edge into the lower left corner."""
    place = (6, picture.shape[0] - 10)
    for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(picture, text, place, _FONT, size, colour, width, cv2.LINE_AA)
