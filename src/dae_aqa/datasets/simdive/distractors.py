"""What moves or stands in the picture without being judged: bystanders and a score board bug."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dae_aqa.datasets.simdive.scene import (
    REFERENCE_HEIGHT_PX,
    SUBPIXEL,
    SUBPIXEL_BITS,
    ByteImage,
    Camera,
    Colour,
    Venue,
    shaded,
)

_MAX_BYSTANDERS = 4
_DECK_M = 0.12
_LEVELS_M = (_DECK_M, _DECK_M, 3.0, 5.0)  # the far side of the pool, or a lower platform
_EVENTS = ("10 M PLATFORM", "FINAL", "SEMIFINAL", "ROUND 3", "WOMEN 10 M", "MEN 10 M")


@dataclass(frozen=True, kw_only=True)
class Bystander:
    """Somebody who walks to and fro behind the pool or waits on a lower platform.

    Attributes:
        x: middle of the walk, metres from the platform's edge.
        y: height of the feet, metres above the water.
        reach: how far the walk goes either way, metres.
        period_seconds: time for going to and fro.
        size: magnification against a diver; smaller on the far side.
        clothes: colour, BGR.
        skin: colour, BGR.
    """

    x: float
    y: float
    reach: float
    period_seconds: float
    size: float
    clothes: Colour
    skin: Colour


def random_skin(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return a skin colour, BGR 0 to 255, shape (3,): bright enough to stand out of every hall."""
    tone = rng.uniform(0.72, 1.0)
    colour: npt.NDArray[np.float64] = np.array([165.0, 195.0, 240.0]) * tone
    return colour + rng.uniform(-8, 8, 3)


def random_bystanders(rng: np.random.Generator) -> tuple[Bystander, ...]:
    """Return none to four bystanders."""
    people = []
    for _ in range(int(rng.integers(0, _MAX_BYSTANDERS + 1))):
        level = float(rng.choice(_LEVELS_M))
        far_side = level == _DECK_M
        shade = rng.uniform(0.5, 0.75)
        people.append(
            Bystander(
                x=float(rng.uniform(-4.5, 8.0) if far_side else rng.uniform(-3.6, -1.6)),
                y=level,
                reach=float(rng.uniform(0.2, 1.5) if far_side else rng.uniform(0.0, 0.15)),
                period_seconds=float(rng.uniform(4, 12)),
                size=float(rng.uniform(0.5, 0.6)) if far_side else 0.95,
                clothes=shaded(rng.uniform(30, 170, 3), shade),
                skin=shaded(random_skin(rng), shade),
            )
        )
    return tuple(people)


def draw_bystanders(
    frame: ByteImage,
    people: tuple[Bystander, ...],
    *,
    venue: Venue,
    camera: Camera,
    seconds: float,
) -> None:
    """Draw the bystanders as they stand at `seconds` into `frame`, which is changed in place."""
    for person in people:
        swing = np.sin(2 * np.pi * seconds / person.period_seconds)
        x = person.x + person.reach * swing
        heights = person.y + person.size * np.array([0.0, 0.85, 1.4, 1.62])
        points = np.stack([np.full(4, x), heights, np.zeros(4)], axis=1)
        at = np.round(camera.to_frame(venue.to_canvas(points)) * SUBPIXEL).astype(int).tolist()
        unit = person.size * venue.px_per_metre * camera.zoom
        feet, hips, neck, head = at
        _line(frame, feet, hips, person.skin, 0.17 * unit)
        _line(frame, hips, neck, person.clothes, 0.30 * unit)
        radius = int(0.12 * unit * SUBPIXEL)
        cv2.circle(frame, head, radius, person.skin, -1, cv2.LINE_AA, SUBPIXEL_BITS)


def paint_bug(*, height: int, rng: np.random.Generator) -> ByteImage:
    """Return the small sign that a broadcaster lays over a corner, (h, w, 3) uint8.

    It names the event, never a mark.
    """
    unit = height / REFERENCE_HEIGHT_PX
    rows, cols = max(4, round(16 * unit)), max(8, round(92 * unit))
    bug = np.empty((rows, cols, 3), np.uint8)
    bug[:] = rng.integers(20, 120, 3, dtype=np.uint8)
    text = _EVENTS[int(rng.integers(len(_EVENTS)))]
    origin = (round(4 * unit), round(11.5 * unit))
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(bug, text, origin, font, 0.34 * unit, (235, 235, 235), 1, cv2.LINE_AA)
    return bug


def lay_over(frame: ByteImage, bug: ByteImage) -> None:
    """Put the sign into the upper left corner of `frame`, which is changed in place."""
    rows, cols = bug.shape[:2]
    frame[rows // 2 : rows // 2 + rows, rows // 2 : rows // 2 + cols] = bug


def _line(
    frame: ByteImage, start: list[int], end: list[int], colour: Colour, thickness: float
) -> None:
    width = max(1, round(thickness))
    cv2.line(frame, start, end, colour, width, cv2.LINE_AA, SUBPIXEL_BITS)
