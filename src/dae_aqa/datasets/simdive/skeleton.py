"""The diver's body: from joint angles to 17 points in space (forward kinematics).

Body frame, in metres, pelvis at the origin: `f` forward (where the belly points), `u` up along the
trunk, `l` to the left. World frame: `x` along the pool away from the platform, `y` up, `z` across.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# Lengths in metres of an adult diver.
TRUNK, HEAD, THIGH, SHANK, FOOT = 0.52, 0.27, 0.43, 0.43, 0.20
UPPER_ARM, FOREARM = 0.30, 0.40  # the forearm with the hand
_HALF_SHOULDERS, _HALF_HIPS = 0.19, 0.10

# Points of the skeleton; limbs first of the right (-1), then of the left (+1) side.
PELVIS, NECK, HEAD_CENTRE = 0, 1, 2
HIP, KNEE, ANKLE, TOE, SHOULDER, ELBOW, WRIST = range(7)
_LIMB_POINTS = 7
NUM_POINTS = 3 + 2 * _LIMB_POINTS

# Share of the body's mass that moves with each point (trunk, neck, head, then one limb side).
_LIMB_MASS = (0.02, 0.10, 0.06, 0.015, 0.02, 0.03, 0.02)
_MASS = np.array((0.24, 0.20, 0.08, *_LIMB_MASS, *_LIMB_MASS))
MASS_SHARE: FloatArray = _MASS / _MASS.sum()


def limb_point(name: int, *, side: int) -> int:
    """Return the index of a limb's point (`HIP` … `WRIST`) on the right (0) or left (1) side."""
    return 3 + side * _LIMB_POINTS + name


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Joint angles at N moments, in radians, each of shape (N,).

    Attributes:
        hip: bend at the hips, 0 straight, towards the front.
        knee: bend of the knees, 0 straight.
        shoulder: arms against the trunk, 0 along it, pi stretched over the head.
        elbow: bend of the elbows, 0 straight.
        split: each leg's angle out of the common direction, one to the front, one to the back.
        spread: arms apart sideways.
        point: how far the feet are pointed, 0 flat, pi/2 in line with the shank.
    """

    hip: FloatArray
    knee: FloatArray
    shoulder: FloatArray
    elbow: FloatArray
    split: FloatArray
    spread: FloatArray
    point: FloatArray


def body_points(pose: Pose) -> FloatArray:
    """Return the skeleton's points in the body frame, shape (N, 17, 3), metres."""
    num = len(pose.hip)
    points = np.zeros((num, NUM_POINTS, 3))
    curl = 0.18 * pose.hip  # the trunk rounds a little when the hips bend
    points[:, NECK] = TRUNK * _direction(np.pi - curl, np.zeros(num))
    nod = 0.35 * pose.hip
    points[:, HEAD_CENTRE] = points[:, NECK] + 0.72 * HEAD * np.stack(
        [0.6 * np.sin(nod), np.cos(nod), np.zeros(num)], axis=1
    )
    for side, sign in ((0, -1.0), (1, 1.0)):
        _place_leg(points, pose, side=side, sign=sign)
        _place_arm(points, pose, side=side, sign=sign)
    return points


def to_world(points: FloatArray, *, somersault: FloatArray, twist: FloatArray) -> FloatArray:
    """Return body points turned into the world frame, shape (N, 17, 3), pelvis at the origin.

    Args:
        points: body points, shape (N, 17, 3).
        somersault: turn of the trunk in the plane of the dive, radians, shape (N,); positive leans
            the head towards +x.
        twist: turn about the trunk, radians, shape (N,); 0 faces +x.
    """
    f, u, left = points[..., 0], points[..., 1], points[..., 2]
    cos_t, sin_t = np.cos(twist)[:, None], np.sin(twist)[:, None]
    f, z = f * cos_t - left * sin_t, f * sin_t + left * cos_t
    cos_s, sin_s = np.cos(somersault)[:, None], np.sin(somersault)[:, None]
    return np.stack([f * cos_s + u * sin_s, -f * sin_s + u * cos_s, z], axis=-1)


def centre_of_mass(points: FloatArray) -> FloatArray:
    """Return the centre of mass, shape (N, 3), of points of shape (N, 17, 3)."""
    centre: FloatArray = np.einsum("p,npk->nk", MASS_SHARE, points)
    return centre


def _direction(angle: FloatArray, sideways: FloatArray) -> FloatArray:
    """Return unit vectors (N, 3): angle 0 is down, pi/2 forward; `sideways` tilts to the left."""
    return np.stack(
        [np.sin(angle) * np.cos(sideways), -np.cos(angle) * np.cos(sideways), np.sin(sideways)],
        axis=1,
    )


def _place_leg(points: FloatArray, pose: Pose, *, side: int, sign: float) -> None:
    sideways = 0.5 * sign * pose.split
    thigh_angle = pose.hip + 0.9 * sign * pose.split
    shank_angle = thigh_angle - pose.knee
    hip, knee, ankle, toe = (limb_point(name, side=side) for name in (HIP, KNEE, ANKLE, TOE))
    points[:, hip] = (0.0, 0.0, sign * _HALF_HIPS)
    points[:, knee] = points[:, hip] + THIGH * _direction(thigh_angle, sideways)
    points[:, ankle] = points[:, knee] + SHANK * _direction(shank_angle, 0.8 * sideways)
    foot_angle = shank_angle + np.pi / 2 - pose.point
    points[:, toe] = points[:, ankle] + FOOT * _direction(foot_angle, 0.3 * sideways)


def _place_arm(points: FloatArray, pose: Pose, *, side: int, sign: float) -> None:
    shoulder, elbow, wrist = (limb_point(name, side=side) for name in (SHOULDER, ELBOW, WRIST))
    points[:, shoulder] = points[:, NECK] + np.array([0.0, -0.04, sign * _HALF_SHOULDERS])
    points[:, elbow] = points[:, shoulder] + UPPER_ARM * _direction(
        pose.shoulder, sign * pose.spread
    )
    # Stretched over the head, the hands come together; but not where the arms stay apart.
    together = np.where(pose.shoulder > 2.6, -0.12, 0.0)
    points[:, wrist] = points[:, elbow] + FOREARM * _direction(
        pose.shoulder + pose.elbow, sign * (0.4 * pose.spread + together)
    )
