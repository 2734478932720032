"""From a decoded frame to the picture that one should see: scaled once, then turned upright."""

from __future__ import annotations

from typing import Any

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

RESIZE_FILTERS = ("area", "bilinear", "bicubic", "lanczos")
# The same pixels on every machine, whatever its vector instructions.
_EXACT = Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_Matrix = tuple[tuple[int, int], tuple[int, int]]


class UprightScaler:
    """Turns the decoded frames of one video into RGB arrays as they should be seen.

    Frames are scaled, then turned as the video's metadata says. The scaler is set up once, and the
    metadata is read from the first frame alone: it belongs to the stream, and PyAV keeps each frame
    whose side data is looked at until the next garbage collection, which made memory grow.
    """

    def __init__(
        self, *, width: int | None = None, height: int | None = None, resize_filter: str = "area"
    ) -> None:
        """Set the size.

        Args:
            width: width of the results in pixels; None for the frames' own.
            height: height of the results in pixels; None for the frames' own.
            resize_filter: one of `RESIZE_FILTERS` (swscale's kernels; all of them low-pass when
                they shrink).
        """
        self._size = (width, height)
        self._interpolation = Interpolation[resize_filter.upper()] | _EXACT
        self._reformatter = VideoReformatter()
        self._matrix: _Matrix | None = None

    def __call__(self, frame: Any) -> NDArray[np.uint8]:
        """Return PyAV's `VideoFrame` as (height, width, 3) uint8, RGB, 0 to 255."""
        if self._matrix is None:
            self._matrix = display_matrix(frame)
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


def to_upright_rgb(frame: Any) -> NDArray[np.uint8]:
    """Return one decoded frame in its own size as it should be seen, see `UprightScaler`."""
    return UprightScaler()(frame)


def display_matrix(frame: Any) -> _Matrix:
    """Return how coded axes map to shown ones, `((a, b), (c, d))` with entries -1, 0 and 1.

    A coded pixel (x, y) is shown at (a·x + c·y, b·x + d·y), up to a shift. Rotations by other
    angles than multiples of 90 degrees are rounded to the nearest.

    Source: ISO/IEC 14496-12, 8.3.2.3 (matrix of the track header); libavutil/display.h.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return ((1, 0), (0, 1))
    values = np.frombuffer(bytes(data), dtype=np.int32, count=9)
    a, b, c, d = (int(values[i]) for i in (0, 1, 3, 4))
    if abs(a) >= abs(b):
        return ((-1 if a < 0 else 1, 0), (0, -1 if d < 0 else 1))
    return ((0, -1 if b < 0 else 1), (-1 if c < 0 else 1, 0))


def _turn(image: NDArray[np.uint8], matrix: _Matrix) -> NDArray[np.uint8]:
    (a, b), (c, d) = matrix
    if a == 0:
        image = image.transpose(1, 0, 2)
        a, d = c, b
    if a < 0:
        image = image[:, ::-1]
    if d < 0:
        image = image[::-1]
    return np.ascontiguousarray(image)
