"""Drawing: venue, diver, water and splash become frames that a broadcast camera might deliver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dae_aqa.datasets.simdive import skeleton
from dae_aqa.datasets.simdive.distractors import Bystander, draw_bystanders, random_skin
from dae_aqa.datasets.simdive.motion import DiveMotion, world_points
from dae_aqa.datasets.simdive.scene import (
    SUBPIXEL,
    SUBPIXEL_BITS,
    ByteImage,
    Camera,
    Colour,
    Venue,
    shaded,
)
from dae_aqa.datasets.simdive.skeleton import (
    ANKLE,
    ELBOW,
    HEAD_CENTRE,
    HIP,
    KNEE,
    NECK,
    PELVIS,
    SHOULDER,
    TOE,
    WRIST,
    limb_point,
)
from dae_aqa.datasets.simdive.splash import Splash, draw_splash

FloatArray = npt.NDArray[np.float64]

_SEEN_THROUGH_WATER = 0.22  # how much of the diver one sees under the surface
_CAMERA_PULL = (0.35, 0.55)  # share of the way to the diver per 1/25 s (x, y): the camera lags
_CAMERA_LOWEST_M = 0.9  # the camera does not follow the diver under water

# Limb segments as (from, to, thickness in metres).
_LIMBS = (
    (HIP, KNEE, 0.15),
    (KNEE, ANKLE, 0.11),
    (ANKLE, TOE, 0.075),
    (SHOULDER, ELBOW, 0.09),
    (ELBOW, WRIST, 0.075),
)
_TORSO_THICKNESS, _SUIT_THICKNESS, _HEAD_RADIUS = 0.24, 0.25, 0.115
_FAR_SHADE = 0.80


@dataclass(frozen=True, kw_only=True)
class Looks:
    """Colours of a diver, BGR 0 to 255."""

    skin: Colour
    suit: Colour
    hair: Colour


def random_looks(rng: np.random.Generator) -> Looks:
    """Return the looks of a random diver."""
    skin = random_skin(rng)
    hair = skin * rng.uniform(0.45, 0.65)
    suit = rng.uniform(0, 140, 3)
    return Looks(skin=shaded(skin), suit=shaded(suit), hair=shaded(hair))


def dive_frames(
    *,
    venue: Venue,
    motion: DiveMotion,
    splash: Splash,
    looks: Looks,
    bystanders: tuple[Bystander, ...],
    times: FloatArray,
    width: int,
    height: int,
    zoom: float,
    rng: np.random.Generator,
) -> Iterator[ByteImage]:
    """Yield the frames (height, width, 3) uint8 BGR of a dive at `times`, seconds from take-off.

    Evenly spaced times closer than 1/fps give slow motion.
    """
    points = world_points(motion, times)
    on_canvas, depth = venue.to_canvas(points), venue.depth(points)
    centres = venue.to_canvas(skeleton.centre_of_mass(points))
    cameras = _follow(centres, venue, times=times, size=(width, height), zoom=zoom, rng=rng)
    entry = venue.to_canvas(np.array([motion.entry_x, 0.0, 0.0]))
    scale = venue.px_per_metre * zoom
    for index, camera in enumerate(cameras):
        frame = camera.shoot(venue.canvas, width=width, height=height)
        seconds = float(times[index])
        draw_bystanders(frame, bystanders, venue=venue, camera=camera, seconds=seconds)
        waterline = round((venue.waterline_px - camera.origin[1]) * zoom)
        if waterline > 0:
            empty = frame[waterline:].copy()
            _draw_diver(frame, camera.to_frame(on_canvas[index]), depth[index], looks, scale)
            _sink(frame, empty, waterline)
        x, y = camera.to_frame(entry)
        draw_splash(
            frame,
            splash,
            seconds=seconds - motion.flight_seconds,
            centre_px=(float(x), float(y)),
            px_per_metre=scale,
            foreshortening=float(np.cos(venue.yaw)),
        )
        yield frame


def empty_frames(
    *, venue: Venue, num_frames: int, width: int, height: int, rng: np.random.Generator
) -> Iterator[ByteImage]:
    """Yield frames (height, width, 3) of a slow pan over the hall in which nobody dives."""
    canvas_height, canvas_width = venue.canvas.shape[:2]
    zoom = float(rng.uniform(0.75, 1.2))
    span = np.array([canvas_width - width / zoom, canvas_height - height / zoom])
    begin, end = rng.uniform(0.1, 0.9, 2), rng.uniform(-0.08, 0.08, 2)
    for share in np.linspace(0.0, 1.0, num_frames):
        x, y = ((begin + share * end) * span).astype(int).tolist()
        camera = Camera(origin=(x, y), zoom=zoom)
        yield camera.shoot(venue.canvas, width=width, height=height)


def _follow(
    centres: FloatArray,
    venue: Venue,
    *,
    times: FloatArray,
    size: tuple[int, int],
    zoom: float,
    rng: np.random.Generator,
) -> list[Camera]:
    """Return one camera per frame: it lags behind the diver and shakes a little."""
    lowest = venue.waterline_px - _CAMERA_LOWEST_M * venue.px_per_metre
    targets = np.stack([centres[:, 0], np.minimum(centres[:, 1], lowest)], axis=1)
    ticks = float(times[1] - times[0]) * 25 if len(times) > 1 else 1.0
    pull = 1 - (1 - np.array(_CAMERA_PULL)) ** ticks
    unit = venue.px_per_metre / 80
    look = targets[0] + rng.normal(0, 8, 2) * unit
    half = np.array(size) / (2 * zoom)
    limit = np.array(venue.canvas.shape[1::-1]) - np.ceil(2 * half)
    cameras = []
    for target in targets:
        look = look + (target - look) * pull + rng.normal(0, 0.35, 2) * unit
        x, y = np.clip(look - half, 0, limit).round().astype(int).tolist()
        cameras.append(Camera(origin=(x, y), zoom=zoom))
    return cameras


def _draw_diver(
    frame: ByteImage, points: FloatArray, depth: FloatArray, looks: Looks, scale: float
) -> None:
    """Draw the capsules from far to near, the torso between the two sides."""
    at = [(int(x), int(y)) for x, y in np.round(points * SUBPIXEL)]

    def capsule(start: int, end: int, thickness_m: float, colour: Colour) -> None:
        thickness = max(1, round(thickness_m * scale))
        cv2.line(frame, at[start], at[end], colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS)

    segments = []
    for side in (0, 1):
        for first, last, thickness in _LIMBS:
            a, b = limb_point(first, side=side), limb_point(last, side=side)
            other = limb_point(first, side=1 - side)
            colour = shaded(looks.skin, _FAR_SHADE) if depth[a] > depth[other] else looks.skin
            segments.append((float(depth[a] + depth[b]), a, b, thickness, colour))
    segments.sort(key=lambda segment: -segment[0])
    middle = len(segments) // 2
    for _, a, b, thickness, colour in segments[:middle]:
        capsule(a, b, thickness, colour)
    corners = [limb_point(name, side=side) for side in (0, 1) for name in (HIP, SHOULDER)]
    hull = cv2.convexHull(np.array([at[corner] for corner in corners], np.int32))
    cv2.fillConvexPoly(frame, hull, looks.skin, cv2.LINE_AA, SUBPIXEL_BITS)
    capsule(PELVIS, NECK, _TORSO_THICKNESS, looks.skin)
    waist = tuple((2 * a + b) // 3 for a, b in zip(at[PELVIS], at[NECK], strict=True))
    suit_px = max(1, round(_SUIT_THICKNESS * scale))
    cv2.line(frame, at[PELVIS], waist, looks.suit, suit_px, cv2.LINE_AA, SUBPIXEL_BITS)
    for _, a, b, thickness, colour in segments[middle:]:
        capsule(a, b, thickness, colour)
    radius = int(_HEAD_RADIUS * scale * SUBPIXEL)
    cv2.circle(frame, at[HEAD_CENTRE], radius, looks.hair, -1, cv2.LINE_AA, SUBPIXEL_BITS)


def _sink(frame: ByteImage, empty: ByteImage, waterline: int) -> None:
    """Let the water cover what was drawn below `waterline`; `empty` is that part without diver."""
    if waterline < frame.shape[0]:
        below = frame[waterline:]
        cv2.addWeighted(below, _SEEN_THROUGH_WATER, empty, 1 - _SEEN_THROUGH_WATER, 0, dst=below)
