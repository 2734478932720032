"""What stands still: the venue behind a dive, painted once per video, and how one looks at it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

ByteImage = npt.NDArray[np.uint8]
FloatImage = npt.NDArray[np.float32]
Colour = tuple[float, float, float]

# The canvas, in metres: x from -6 to 9, y from -3 (under water) to 14.
LEFT_M, RIGHT_M, BOTTOM_M, TOP_M = -6.0, 9.0, -3.0, 14.0
SUBPIXEL_BITS = 4  # points are drawn at sixteenths of a pixel
SUBPIXEL = 1 << SUBPIXEL_BITS
REFERENCE_HEIGHT_PX = 256  # frame height for which pixels per metre are stated


@dataclass(frozen=True, kw_only=True)
class Venue:
    """A pool hall, as one camera sees it.

    Attributes:
        canvas: the hall without people, (H, W, 3) uint8 BGR.
        px_per_metre: scale of the canvas and of the picture at zoom 1.
        yaw: angle of the camera off the side view, radians.
        mirrored: whether the platform stands on the right.
        gain: brightness of the picture.
        noise_sd: sensor noise, grey levels.
        water: colour of the water, BGR.
    """

    canvas: ByteImage
    px_per_metre: float
    yaw: float
    mirrored: bool
    gain: float
    noise_sd: float
    water: Colour

    @property
    def waterline_px(self) -> float:
        """Row of the water's surface on the canvas."""
        return TOP_M * self.px_per_metre

    def to_canvas(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return world points (..., 3) in metres as canvas points (..., 2) in pixels (x, y)."""
        across = points[..., 0] * np.cos(self.yaw) + points[..., 2] * np.sin(self.yaw)
        x = (across - LEFT_M) * self.px_per_metre
        y = (TOP_M - points[..., 1]) * self.px_per_metre
        on_canvas: npt.NDArray[np.float64] = np.stack([x, y], axis=-1)
        return on_canvas

    def depth(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the distance (...,) from the camera, metres up to a constant."""
        depth: npt.NDArray[np.float64] = -points[..., 0] * np.sin(self.yaw)
        depth += points[..., 2] * np.cos(self.yaw)
        return depth


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Which part of the canvas is seen: `frame = (canvas - origin) * zoom`, pixels.

    The origin is a whole pixel, so that a picture at zoom 1 is a mere cut-out, far cheaper than
    interpolating.
    """

    origin: tuple[int, int]
    zoom: float

    def to_frame(self, canvas_points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return canvas points (..., 2) as frame points (..., 2), pixels."""
        frame_points: npt.NDArray[np.float64] = (canvas_points - np.array(self.origin)) * self.zoom
        return frame_points

    def shoot(self, canvas: ByteImage, *, width: int, height: int) -> ByteImage:
        """Return the seen part of `canvas`, (height, width, 3) uint8."""
        x, y = self.origin
        if self.zoom == 1.0:
            return canvas[y : y + height, x : x + width].copy()
        matrix = np.array(
            [
                [self.zoom, 0.0, -x * self.zoom],
                [0.0, self.zoom, -y * self.zoom],
            ]
        )
        frame = cv2.warpAffine(canvas, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        return cast(ByteImage, frame)


def shaded(colour: Iterable[float], factor: float = 1.0) -> Colour:
    """Return a colour, BGR, `factor` times as bright."""
    blue, green, red = (float(value) * factor for value in colour)
    return blue, green, red


def paint_venue(*, height: int, rng: np.random.Generator) -> Venue:
    """Return a random venue for frames of `height` pixels: 75 to 85 px per metre at 256."""
    scale = float(rng.uniform(75, 85)) * height / REFERENCE_HEIGHT_PX
    water: Colour = (rng.uniform(150, 210), rng.uniform(110, 160), rng.uniform(30, 80))
    canvas = _paint_wall(scale, rng)
    _paint_water(canvas, scale, water, rng)
    blur = 1.2 * height / REFERENCE_HEIGHT_PX + 0.1
    canvas = cast(FloatImage, cv2.GaussianBlur(canvas, (0, 0), blur))
    _paint_tower(canvas, scale, rng)
    return Venue(
        canvas=np.clip(canvas, 0, 255).astype(np.uint8),
        px_per_metre=scale,
        yaw=float(rng.uniform(-0.40, 0.40)),
        mirrored=bool(rng.random() < 0.35),
        gain=float(rng.uniform(0.88, 1.10)),
        noise_sd=float(rng.uniform(0.8, 2.2)),
        water=water,
    )


def _paint_wall(scale: float, rng: np.random.Generator) -> FloatImage:
    """Return a dim wall with rows of spectators and a few banners, float32 (H, W, 3)."""
    rows, cols = int((TOP_M - BOTTOM_M) * scale), int((RIGHT_M - LEFT_M) * scale)
    fade = np.linspace(1.15, 0.65, rows, dtype=np.float32)[:, None, None]
    image = np.broadcast_to(rng.uniform(50, 105, 3).astype(np.float32) * fade, (rows, cols, 3))
    image = np.ascontiguousarray(image)
    seat = max(2, int(0.11 * scale))
    crowd = rng.normal(0, 1, (rows // seat + 1, cols // seat + 1, 3)).astype(np.float32)
    crowd = cast(FloatImage, cv2.resize(crowd, (cols, rows), interpolation=cv2.INTER_NEAREST))
    row_height = max(2, int(0.8 * scale))
    stands = (np.arange(rows) // row_height % 2).astype(np.float32)[:, None, None]
    image += crowd * stands * float(rng.uniform(2, 8))
    for _ in range(int(rng.integers(1, 5))):
        x, y = rng.uniform(0, cols), rng.uniform(0, (TOP_M - 1.0) * scale)
        width, height = rng.uniform(1, 4) * scale, rng.uniform(0.3, 0.9) * scale
        _box(image, (x, y), (x + width, y + height), tuple(rng.uniform(30, 130, 3).tolist()))
    return image


def _paint_water(canvas: FloatImage, scale: float, water: Colour, rng: np.random.Generator) -> None:
    line = int(TOP_M * scale)
    rows, cols = canvas.shape[0] - line, canvas.shape[1]
    cell_x, cell_y = max(2, int(0.18 * scale)), max(1, int(0.04 * scale))
    ripples = rng.normal(0, 1, (rows // cell_y + 1, cols // cell_x + 1)).astype(np.float32)
    ripples = cast(FloatImage, cv2.resize(ripples, (cols, rows)))
    canvas[line:] = np.array(water, np.float32) + 9 * ripples[..., None]


def _paint_tower(canvas: FloatImage, scale: float, rng: np.random.Generator) -> None:
    """Paint the 10 m platform, the lower ones and the tower that carries them."""
    concrete = float(rng.uniform(135, 165))
    tint = rng.uniform(-8, 8, 3)

    def slab(x0: float, x1: float, y0: float, y1: float, grey: float) -> None:
        top_left = ((x0 - LEFT_M) * scale, (TOP_M - y1) * scale)
        bottom_right = ((x1 - LEFT_M) * scale, (TOP_M - y0) * scale)
        _box(canvas, top_left, bottom_right, tuple((grey + tint).tolist()))

    slab(-3.0, -1.4, 0.0, 9.8, concrete)
    for level in (3.0, 5.0, 7.5):
        slab(-4.0, -0.9, level - 0.22, level, concrete + 18)
    slab(-5.0, 0.0, 9.75, 10.0, concrete + 50)


def _box(
    canvas: FloatImage,
    top_left: tuple[float, float],
    bottom_right: tuple[float, float],
    colour: tuple[float, ...],
) -> None:
    corner_0 = (int(top_left[0]), int(top_left[1]))
    corner_1 = (int(bottom_right[0]), int(bottom_right[1]))
    cv2.rectangle(canvas, corner_0, corner_1, colour, -1)
