"""From a decoded frame to the picture that a viewer sees: scaled once, then turned upright."""

from __future__ import annotations

from typing import Any

import numpy as np
from av import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from dae_aqa.video.options import ResizeFilter

# The same pixels on every machine, whatever its vector instructions.
_EXACT = Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_Matrix = tuple[tuple[int, int], tuple[int, int]]


class UprightScaler:
    """Turns the decoded frames of one video into RGB arrays of one size, upright.

    The display matrix is read from the first frame alone: it belongs to the stream. PyAV also keeps
    every frame whose side data is read until the next garbage collection, so memory would grow.
    """

    def __init__(self, *, width: int, height: int, resize_filter: ResizeFilter) -> None:
        """Set the size of the results in pixels, and the swscale kernel that makes it."""
        self._size = (width, height)
        self._interpolation = Interpolation[resize_filter.upper()] | _EXACT
        self._reformatter = VideoReformatter()
        self._matrix: _Matrix | None = None

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Return the frame as (height, width, 3) uint8, RGB, 0 to 255."""
        if self._matrix is None:
            self._matrix = _display_matrix(frame)
        swaps = self._matrix[0][0] == 0
        width, height = reversed(self._size) if swaps else self._size
        scaled = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            interpolation=self._interpolation,
            threads=1,
        )
        return _turn(np.asarray(scaled.to_ndarray(), dtype=np.uint8), self._matrix)


def frame_of_picture(picture: NDArray[np.uint8]) -> VideoFrame:
    """Return a picture, (height, width, 3) uint8, RGB, as a frame that is shown as it is coded."""
    return VideoFrame.from_ndarray(picture, format="rgb24")


def _display_matrix(frame: VideoFrame) -> _Matrix:
    """Return how coded axes map to shown ones, `((a, b), (c, d))` with entries -1, 0 and 1.

    A coded pixel (x, y) is shown at (a·x + c·y, b·x + d·y), up to a shift. An angle that is no
    multiple of 90 degrees is rounded to the nearest one.

    Source: ISO/IEC 14496-12, 8.3.2.3 (matrix of the track header); libavutil/display.h.
    """
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return ((1, 0), (0, 1))
    values = np.frombuffer(bytes(data), dtype=np.int32, count=9)
    a, b, c, d = (int(values[i]) for i in (0, 1, 3, 4))
    if abs(a) >= abs(b):
        return ((-1 if a < 0 else 1, 0), (0, -1 if d < 0 else 1))
    return ((0, -1 if b < 0 else 1), (-1 if c < 0 else 1, 0))


def _turn(image: NDArray[np.uint8], matrix: _Matrix) -> NDArray[np.uint8]:
    """Return the image with its axes as `_display_matrix` says."""
    (a, b), (c, d) = matrix
    if a == 0:
        image = image.transpose(1, 0, 2)
        a, d = c, b
    if a < 0:
        image = image[:, ::-1]
    if d < 0:
        image = image[::-1]
    return np.ascontiguousarray(image)
