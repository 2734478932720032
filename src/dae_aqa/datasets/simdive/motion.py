"""How a dive moves: joint angles, rotation and the path of the centre of mass at any time.

Time 0 is the take-off. Flight is ballistic; the turning rate follows the moment of inertia, so a
tuck spins and an opened body slows down. Each fault shows as it would in life.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dae_aqa.datasets.simdive import skeleton
from dae_aqa.datasets.simdive.dives import Dive
from dae_aqa.datasets.simdive.skeleton import Pose

FloatArray = npt.NDArray[np.float64]

GRAVITY = 9.81  # m/s²
PLATFORM_HEIGHT = 10.0  # m
_ENTRY_COM_HEIGHT = 1.05  # m: centre of mass of a stretched diver whose hands touch the water
_WATER_DRAG = 2.2  # 1/s
_PREPARATION_SECONDS = 1.0  # the visible swing before the take-off
_FLIGHT_STEPS = 400
_DEG = np.pi / 180

# What severity 1 of each fault does.
_ENTRY_OFF_VERTICAL = 55 * _DEG
_SPLIT = 34 * _DEG  # each leg
_KNEE_PIKE, _KNEE_ENTRY = 50 * _DEG, 75 * _DEG
_HIP_ENTRY = 60 * _DEG
_LOOSE_TUCK_HIP, _LOOSE_TUCK_KNEE, _LOOSE_PIKE_HIP = 62 * _DEG, 50 * _DEG, 58 * _DEG
_FLEXED_FEET = 65 * _DEG
_ARMS_APART = 22 * _DEG
_TOO_FAR, _TOO_CLOSE = 2.2, 0.95  # m
_LOST_TAKE_OFF_SPEED = 1.3  # m/s


@dataclass(frozen=True, kw_only=True)
class DiveMotion:
    """The fixed numbers of one dive's motion.

    Attributes:
        dive: the dive that is shown.
        flight_seconds: from take-off to the hands' touch of the water.
        speed: velocity at take-off (x, y), m/s.
        start: centre of mass at take-off (x, y), m.
        turn: somersault angle over the flight, radians, shape (steps,), evenly spaced in time.
        twist_sign: direction of the twist, +1 or -1.
        open_at: share of the flight at which the diver opens.
    """

    dive: Dive
    flight_seconds: float
    speed: tuple[float, float]
    start: tuple[float, float]
    turn: FloatArray
    twist_sign: int
    open_at: float

    @property
    def entry_x(self) -> float:
        """Where the diver meets the water, metres from the platform's edge."""
        return self.start[0] + self.speed[0] * self.flight_seconds


def plan_motion(dive: Dive, rng: np.random.Generator) -> DiveMotion:
    """Return the motion of `dive`; `rng` decides what no judge minds (which side, small timing)."""
    faults, kind = dive.faults, dive.kind
    open_at = float(np.clip(0.73 + 0.10 * faults["loose"] + rng.normal(0, 0.012), 0.6, 0.88))
    over_rotated = 1 if rng.random() < 0.5 else -1
    far = rng.random() < 0.6
    twist_sign = 1 if rng.random() < 0.5 else -1
    usual_speed = 1.2 if kind.armstand else 3.4
    lost = _LOST_TAKE_OFF_SPEED * (0.6 if kind.armstand else 1.0)
    speed_y = usual_speed - lost * faults["height"] + rng.normal(0, 0.06)

    start_x, start_y = _take_off_centre(dive)
    drop = start_y - _ENTRY_COM_HEIGHT
    flight = (speed_y + np.sqrt(speed_y**2 + 2 * GRAVITY * drop)) / GRAVITY
    off = faults["distance"]
    entry_x = 1.3 + (_TOO_FAR * off if far else -_TOO_CLOSE * off)
    return DiveMotion(
        dive=dive,
        flight_seconds=float(flight),
        speed=(float((entry_x - start_x) / flight), float(speed_y)),
        start=(start_x, start_y),
        turn=_somersault_angles(dive, over_rotated=over_rotated, open_at=open_at),
        twist_sign=twist_sign,
        open_at=open_at,
    )


def world_points(motion: DiveMotion, times: FloatArray) -> FloatArray:
    """Return the diver's points in the world, shape (N, 17, 3), metres, at `times` in seconds.

    Before take-off the feet (or hands) stay on the platform, then the centre of mass flies, and
    from the entry on it sinks and slows down.
    """
    somersault, twist, pose = _turns_and_pose(motion, times)
    points = skeleton.to_world(skeleton.body_points(pose), somersault=somersault, twist=twist)
    standing = times < 0
    points[standing] += _standing_shift(points[standing], armstand=motion.dive.kind.armstand)
    centre = _centre_in_flight(motion, times[~standing])
    shift = centre - skeleton.centre_of_mass(points[~standing])
    shift[:, 2] = 0.0
    points[~standing] += shift[:, None, :]
    return points


def _direction_of_turn(dive: Dive) -> int:
    """Return +1 where the body turns with its head towards the water at first, else -1."""
    return 1 if dive.kind.take_off in ("forward", "back") else -1


def _facing(dive: Dive) -> float:
    """Return the twist angle at the start: 0 faces the pool, pi faces the platform."""
    return 0.0 if dive.kind.take_off in ("forward", "reverse") else float(np.pi)


def _lean(dive: Dive) -> float:
    """Return the trunk's somersault angle at take-off, radians."""
    upright = np.pi if dive.kind.armstand else 0.0
    return float(upright + 8 * _DEG * _direction_of_turn(dive))


def _smooth(x: FloatArray) -> FloatArray:
    """Return the smooth step from 0 (x <= 0) to 1 (x >= 1)."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def _turns_and_pose(motion: DiveMotion, times: FloatArray) -> tuple[FloatArray, FloatArray, Pose]:
    """Return (somersault, twist, pose) at `times`, radians."""
    dive = motion.dive
    u = np.clip(times / motion.flight_seconds, 0.0, 1.0)
    flying = times >= 0
    ready = np.clip(1 + times / _PREPARATION_SECONDS, 0.0, 1.0)
    before, in_flight = (
        _preparation_pose(dive, ready),
        _flight_pose(dive, u, open_at=motion.open_at),
    )
    pose = Pose(
        **{
            name: np.where(flying, getattr(in_flight, name), getattr(before, name))
            for name in Pose.__dataclass_fields__
        }
    )
    steps = np.linspace(0.0, 1.0, len(motion.turn))
    somersault = np.where(flying, np.interp(u, steps, motion.turn), _preparation_lean(dive, ready))
    half_twists = motion.twist_sign * dive.kind.half_twists
    twist = _facing(dive) + half_twists * np.pi * _smooth((u - 0.13) / 0.40)
    return somersault, twist, pose


def _crouch(ready: FloatArray) -> FloatArray:
    """Return how deep the diver crouches (0 to 1) over the preparation (0 to 1)."""
    return _smooth((ready - 0.50) / 0.22) * (1 - _smooth((ready - 0.84) / 0.16))


def _preparation_lean(dive: Dive, ready: FloatArray) -> FloatArray:
    if dive.kind.armstand:
        return np.pi + (_lean(dive) - np.pi) * _smooth((ready - 0.6) / 0.4)
    towards_front = 1.0 if _facing(dive) == 0.0 else -1.0
    return _lean(dive) * _smooth((ready - 0.6) / 0.4) + 0.35 * _crouch(ready) * towards_front


def _preparation_pose(dive: Dive, ready: FloatArray) -> Pose:
    """Return the pose on the platform: a swing of the arms and a crouch, or a handstand."""
    still = np.zeros_like(ready)
    if dive.kind.armstand:
        dip = _crouch(ready)
        return Pose(
            hip=(4 + 14 * dip) * _DEG,
            knee=(2 + 6 * dip) * _DEG,
            shoulder=still + 176 * _DEG,
            elbow=still,
            split=still + 1 * _DEG,
            spread=still + 6 * _DEG,
            point=still + 80 * _DEG,
        )
    crouch = _crouch(ready)
    return Pose(
        hip=(4 + 55 * crouch) * _DEG,
        knee=(5 + 75 * crouch) * _DEG,
        shoulder=170 * _smooth((ready - 0.15) / 0.25) * (1 - 0.75 * crouch) * _DEG,
        elbow=still + 5 * _DEG,
        split=still + 1 * _DEG,
        spread=still + 10 * _DEG,
        point=60 * _smooth((ready - 0.88) / 0.12) * _DEG,
    )


def _held_angles(dive: Dive) -> dict[str, float]:
    """Return the angles held in the middle of the flight, radians, with their faults."""
    loose, knee = dive.faults["loose"], dive.faults["knee"]
    position = dive.kind.position
    if position == "tuck":
        hip, legs = 148 * _DEG - _LOOSE_TUCK_HIP * loose, 145 * _DEG - _LOOSE_TUCK_KNEE * loose
        return {"hip": hip, "knee": legs, "shoulder": 75 * _DEG, "elbow": 35 * _DEG}
    if position == "pike" or (position == "free" and dive.kind.half_somersaults >= 4):
        hip, legs = 142 * _DEG - _LOOSE_PIKE_HIP * loose, 4 * _DEG + _KNEE_PIKE * knee
        return {"hip": hip, "knee": legs, "shoulder": 70 * _DEG, "elbow": 5 * _DEG}
    hip, legs = 5 * _DEG + 40 * _DEG * loose, 3 * _DEG + _KNEE_PIKE * knee
    return {"hip": hip, "knee": legs, "shoulder": 35 * _DEG, "elbow": 60 * _DEG}


def _flight_pose(dive: Dive, u: FloatArray, *, open_at: float) -> Pose:
    """Return the pose over the flight: take the position, hold it (or twist first), open."""
    faults, held = dive.faults, _held_angles(dive)
    taken = _smooth((u - 0.06) / 0.12)
    opened = _smooth((u - open_at) / 0.10)
    hold = taken * (1 - opened)
    stretched = 1 - taken
    twisting = np.zeros_like(u)
    if dive.kind.half_twists:
        twisting = _smooth((u - 0.10) / 0.06) * (1 - _smooth((u - 0.50) / 0.07))

    def bent(name: str, while_twisting: float, at_entry: float, at_take_off: float) -> FloatArray:
        middle = held[name] * (1 - twisting) + while_twisting * twisting
        return middle * hold + at_entry * opened + at_take_off * stretched

    arms = faults["arms"]
    hold_split = _smooth((u - 0.10) / 0.10)
    return Pose(
        hip=bent("hip", 5 * _DEG, 2 * _DEG + _HIP_ENTRY * faults["hip"], 4 * _DEG),
        knee=bent(
            "knee",
            3 * _DEG + 0.6 * _KNEE_PIKE * faults["knee"],
            2 * _DEG + _KNEE_ENTRY * faults["knee"],
            5 * _DEG,
        ),
        shoulder=bent("shoulder", 20 * _DEG, 178 * _DEG - 14 * _DEG * arms, 170 * _DEG),
        elbow=bent("elbow", 110 * _DEG, 2 * _DEG + 18 * _DEG * arms, 5 * _DEG),
        split=1 * _DEG + _SPLIT * faults["split"] * hold_split,
        spread=8 * _DEG * (1 - opened) + (1 * _DEG + _ARMS_APART * arms) * opened,
        point=60 * _DEG + (24 * _DEG - _FLEXED_FEET * faults["toe"]) * _smooth(u / 0.08),
    )


def _somersault_angles(dive: Dive, *, over_rotated: int, open_at: float) -> FloatArray:
    """Return the somersault angle over the flight, shape (steps,), radians.

    The angular momentum is constant, so the rate is the inverse of the moment of inertia (relative
    to a stretched body, about 3.4 to 1).
    """
    u = np.linspace(0.0, 1.0, _FLIGHT_STEPS)
    pose = _flight_pose(dive, u, open_at=open_at)
    bend = _smooth(pose.hip / (130 * _DEG))
    inertia = 3.4 - 2.35 * bend * (0.6 + 0.4 * _smooth(pose.knee / (120 * _DEG)))
    turned = np.concatenate([[0.0], np.cumsum((1 / inertia[1:] + 1 / inertia[:-1]) / 2)])
    direction = _direction_of_turn(dive)
    upright = np.pi if dive.kind.armstand else 0.0
    goal = upright + direction * dive.kind.half_somersaults * np.pi
    goal += over_rotated * _ENTRY_OFF_VERTICAL * dive.faults["entry"]
    lean = _lean(dive)
    angles: FloatArray = lean + (goal - lean) * turned / turned[-1]
    return angles


def _standing_shift(points: FloatArray, *, armstand: bool) -> FloatArray:
    """Return the shift (N, 1, 3) that puts the toes (or the hands) on the platform's edge."""
    name = skeleton.WRIST if armstand else skeleton.TOE
    support = [skeleton.limb_point(name, side=side) for side in (0, 1)]
    shift = np.zeros((len(points), 1, 3))
    shift[:, 0, 0] = -0.06 - points[:, support, 0].mean(axis=1)
    # The lowest point carries: heels or toes, or the hands of a handstand.
    shift[:, 0, 1] = PLATFORM_HEIGHT + 0.04 - points[..., 1].min(axis=1)
    return shift


def _take_off_centre(dive: Dive) -> tuple[float, float]:
    """Return the centre of mass (x, y) at take-off, so that standing and flight join."""
    u = np.zeros(1)
    pose = _flight_pose(dive, u, open_at=0.75)
    points = skeleton.to_world(
        skeleton.body_points(pose),
        somersault=np.array([_lean(dive)]),
        twist=np.array([_facing(dive)]),
    )
    points = points + _standing_shift(points, armstand=dive.kind.armstand)
    centre = skeleton.centre_of_mass(points)[0]
    return float(centre[0]), float(centre[1])


def _centre_in_flight(motion: DiveMotion, times: FloatArray) -> FloatArray:
    """Return the centre of mass (N, 3) from take-off on: ballistic, then braked by the water."""
    flight = motion.flight_seconds
    t = np.minimum(times, flight)
    x = motion.start[0] + motion.speed[0] * t
    y = motion.start[1] + motion.speed[1] * t - 0.5 * GRAVITY * t**2
    sinking = np.maximum(times - flight, 0.0)
    speed_in = GRAVITY * flight - motion.speed[1]
    y = y - speed_in / _WATER_DRAG * (1 - np.exp(-_WATER_DRAG * sinking))
    x = x + 0.5 * motion.speed[0] * sinking
    return np.stack([x, y, np.zeros_like(x)], axis=1)
