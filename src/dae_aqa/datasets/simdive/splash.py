"""The splash: drops on ballistic paths and a disc of foam, larger the worse the entry was."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dae_aqa.datasets.simdive.motion import GRAVITY
from dae_aqa.datasets.simdive.scene import SUBPIXEL, SUBPIXEL_BITS, ByteImage

FloatArray = npt.NDArray[np.float64]

_DROP_GREY, _FOAM_GREY = 230, 245
_LASTS_SECONDS = 2.5


@dataclass(frozen=True, kw_only=True)
class Splash:
    """All drops of one splash; each array has shape (drops,).

    Attributes:
        severity: 0 (a rip entry) to 1.
        born: seconds after the touch of the water.
        offset: start, metres from the point of entry.
        speed_x: m/s, along the pool.
        speed_y: m/s, upwards.
        radius: metres.
    """

    severity: float
    born: FloatArray
    offset: FloatArray
    speed_x: FloatArray
    speed_y: FloatArray
    radius: FloatArray


def plan_splash(severity: float, rng: np.random.Generator) -> Splash:
    """Return the drops of a splash: more, faster, larger ones for a higher `severity` (0 to 1)."""
    num = int(35 + 330 * severity)
    offset = rng.normal(0, 0.08 + 0.50 * severity, num)
    return Splash(
        severity=severity,
        born=rng.uniform(0.02, 0.30, num),
        offset=0.3 * offset,
        speed_x=2.0 * offset + rng.normal(0, 0.35, num),
        speed_y=np.abs(rng.normal(0, 1, num)) * (0.9 + 3.9 * severity) + 0.3,
        radius=rng.uniform(0.012, 0.038 + 0.035 * severity, num),
    )


def draw_splash(
    frame: ByteImage,
    splash: Splash,
    *,
    seconds: float,
    centre_px: tuple[float, float],
    px_per_metre: float,
    foreshortening: float,
) -> None:
    """Draw the splash into `frame` (H, W, 3) `seconds` after the touch of the water.

    Args:
        frame: picture, changed in place.
        splash: the drops.
        seconds: time since the touch; nothing is drawn before it or long after it.
        centre_px: where the diver entered, (x, y) on the frame.
        px_per_metre: scale of the frame.
        foreshortening: how much of the x direction the camera sees, 0 to 1.
    """
    height, width = frame.shape[:2]
    x, y = centre_px
    top, bottom = int(y - 3.2 * px_per_metre), int(y + 0.8 * px_per_metre)
    top, bottom = max(top, 0), min(bottom, height)
    if not 0 < seconds < _LASTS_SECONDS or bottom <= top:
        return
    mask = np.zeros((bottom - top, width), np.uint8)
    _draw_foam(mask, splash, seconds=seconds, centre=(x, y - top), px_per_metre=px_per_metre)
    _draw_drops(
        mask,
        splash,
        seconds=seconds,
        centre=(x, y - top),
        scale=(px_per_metre * foreshortening, px_per_metre),
    )
    alpha = cv2.GaussianBlur(mask, (3, 3), 0)
    view = frame[top:bottom]
    weight = cv2.cvtColor(alpha, cv2.COLOR_GRAY2BGR)
    white = cv2.convertScaleAbs(weight, alpha=_FOAM_GREY / 255)
    rest = cv2.multiply(view, cv2.bitwise_not(weight), scale=1 / 255)
    cv2.add(white, rest, dst=view)


def _draw_foam(
    mask: ByteImage,
    splash: Splash,
    *,
    seconds: float,
    centre: tuple[float, float],
    px_per_metre: float,
) -> None:
    growth, fading = min(1.0, seconds / 0.35), max(0.2, 1 - 0.5 * seconds)
    radius = (0.22 + 1.0 * splash.severity) * growth * px_per_metre
    axes = (int(radius * SUBPIXEL), int(0.22 * radius * SUBPIXEL))
    middle = (int(centre[0] * SUBPIXEL), int((centre[1] + 0.12 * px_per_metre) * SUBPIXEL))
    grey = int(200 * fading)
    cv2.ellipse(mask, middle, axes, 0, 0, 360, grey, -1, cv2.LINE_AA, SUBPIXEL_BITS)


def _draw_drops(
    mask: ByteImage,
    splash: Splash,
    *,
    seconds: float,
    centre: tuple[float, float],
    scale: tuple[float, float],
) -> None:
    age = seconds - splash.born
    rise = splash.speed_y * age - 0.5 * GRAVITY * age**2
    seen = (age > 0) & (rise > -0.03)
    x = centre[0] + (splash.offset + splash.speed_x * age)[seen] * scale[0]
    y = centre[1] - rise[seen] * scale[1]
    radius = np.maximum(splash.radius[seen] * scale[1], 0.7)
    drops = np.round(np.stack([x, y, radius], axis=1) * SUBPIXEL).astype(int).tolist()
    for drop_x, drop_y, drop_radius in drops:
        cv2.circle(mask, (drop_x, drop_y), drop_radius, _DROP_GREY, -1, cv2.LINE_AA, SUBPIXEL_BITS)
