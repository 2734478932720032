"""Physics and anatomy of the simulated dives, and that every fault can be seen."""

from dataclasses import replace

import numpy as np
import pytest
from simdive_options import simdive_options

from dae_aqa.datasets.simdive.catalogue import DIVE_KINDS
from dae_aqa.datasets.simdive.dives import FAULT_WEIGHTS, simulate_dives
from dae_aqa.datasets.simdive.motion import plan_motion, world_points
from dae_aqa.datasets.simdive.render import dive_frames, random_looks
from dae_aqa.datasets.simdive.scene import paint_venue
from dae_aqa.datasets.simdive.skeleton import (
    ANKLE,
    ELBOW,
    FOREARM,
    HIP,
    KNEE,
    NECK,
    PELVIS,
    SHANK,
    SHOULDER,
    THIGH,
    TOE,
    TRUNK,
    UPPER_ARM,
    WRIST,
    centre_of_mass,
    limb_point,
)
from dae_aqa.datasets.simdive.splash import draw_splash, plan_splash

FAULTLESS = dict.fromkeys(FAULT_WEIGHTS, 0.0)
KINDS = {kind.number: kind for kind in DIVE_KINDS}


def make_dive(number="407C", **faults):
    dive = simulate_dives(simdive_options())[0]
    return replace(dive, kind=KINDS[number], faults=FAULTLESS | faults)


def make_motion(number="407C", **faults):
    return plan_motion(make_dive(number, **faults), np.random.default_rng(3))


@pytest.mark.parametrize("number", sorted(KINDS))
def test_flight_is_ballistic_and_bones_keep_their_length(number):
    motion = make_motion(number, split=0.5, knee=0.4, entry=0.3)
    step = 0.02
    times = np.arange(0, motion.flight_seconds, step)
    points = world_points(motion, times)
    centre = centre_of_mass(points)
    acceleration = np.diff(centre, n=2, axis=0) / step**2
    np.testing.assert_allclose(acceleration[:, 1], -9.81, atol=1e-6)
    np.testing.assert_allclose(acceleration[:, 0], 0.0, atol=1e-6)

    bones = [(PELVIS, NECK, TRUNK)]
    for side in (0, 1):
        for a, b, length in (
            (HIP, KNEE, THIGH),
            (KNEE, ANKLE, SHANK),
            (SHOULDER, ELBOW, UPPER_ARM),
            (ELBOW, WRIST, FOREARM),
        ):
            bones.append((limb_point(a, side=side), limb_point(b, side=side), length))
    for a, b, length in bones:
        measured = np.linalg.norm(points[:, a] - points[:, b], axis=1)
        np.testing.assert_allclose(measured, length, atol=1e-9)


@pytest.mark.parametrize("number", sorted(KINDS))
def test_a_faultless_dive_leaves_the_platform_smoothly_and_enters_upright_head_down(number):
    motion = make_motion(number)
    before, after = world_points(motion, np.array([-1e-4, 0.0]))
    # A hand moves 12 cm per frame here; the two poses may differ by less than that.
    assert np.abs(before - after).max() < 0.08
    support = WRIST if motion.dive.kind.armstand else TOE
    assert after[limb_point(support, side=0), 1] == pytest.approx(10.0, abs=0.15)

    entry = world_points(motion, np.array([motion.flight_seconds]))[0]
    trunk = entry[NECK] - entry[PELVIS]
    assert trunk[1] / np.linalg.norm(trunk) == pytest.approx(-1.0, abs=0.01)
    hands = entry[limb_point(WRIST, side=0)]
    assert hands[1] == pytest.approx(0.0, abs=0.2)
    assert entry[:, 1].min() == pytest.approx(hands[1], abs=0.1)


@pytest.mark.parametrize("number", sorted(KINDS))
def test_the_trunk_turns_as_often_as_the_dive_number_says(number):
    motion = make_motion(number)
    turned = abs(motion.turn[-1] - motion.turn[0]) / np.pi
    assert turned == pytest.approx(motion.dive.kind.half_somersaults, abs=0.06)
    towards_water = motion.turn[-1] > motion.turn[0]
    assert towards_water == (motion.dive.kind.take_off in ("forward", "back"))


def test_groups_face_and_turn_as_their_names_say():
    belly = {}
    for number in ("107B", "207B", "305B", "405B"):
        motion = make_motion(number)
        pose = world_points(motion, np.array([-0.05]))[0]
        toes = pose[limb_point(TOE, side=0)] - pose[limb_point(ANKLE, side=0)]
        belly[number[0]] = toes[0] > 0
    assert belly == {"1": True, "2": False, "3": True, "4": False}


def lowest_angle_to_vertical(motion):
    entry = world_points(motion, np.array([motion.flight_seconds]))[0]
    trunk = entry[NECK] - entry[PELVIS]
    return np.degrees(np.arccos(-trunk[1] / np.linalg.norm(trunk)))


def test_entry_fault_tilts_the_body_in_proportion():
    angles = [lowest_angle_to_vertical(make_motion(entry=s)) for s in (0.0, 0.4, 0.8)]
    np.testing.assert_allclose(angles, [0.0, 22.0, 44.0], atol=1.0)


def test_distance_and_height_faults_move_the_path():
    assert make_motion(height=1.0).flight_seconds < make_motion().flight_seconds - 0.15
    assert make_motion().entry_x == pytest.approx(1.3)
    assert abs(make_motion(distance=1.0).entry_x - 1.3) > 0.9


@pytest.mark.parametrize(
    ("fault", "least_metres"),
    [
        ("entry", 0.5),
        ("split", 0.25),
        ("knee", 0.25),
        ("hip", 0.25),
        ("loose", 0.2),
        ("distance", 0.5),
        ("height", 0.2),
        ("toe", 0.04),
        ("arms", 0.04),
    ],
)
def test_every_fault_moves_some_point_of_the_body_visibly(fault, least_metres):
    number = "107B"
    times = np.linspace(0, make_motion(number).flight_seconds, 50)
    good = world_points(make_motion(number), times)
    bad = world_points(make_motion(number, **{fault: 0.6}), times)
    assert np.linalg.norm(good - bad, axis=2).max() > least_metres


def test_a_worse_entry_throws_more_water():
    white = []
    for severity in (0.0, 0.3, 0.6, 0.9):
        frame = np.zeros((256, 456, 3), np.uint8)
        splash = plan_splash(severity, np.random.default_rng(2))
        draw_splash(
            frame,
            splash,
            seconds=0.35,
            centre_px=(228.0, 200.0),
            px_per_metre=80.0,
            foreshortening=1.0,
        )
        white.append(int((frame[..., 0] > 100).sum()))
    assert white == sorted(white)
    assert white[-1] > 4 * white[0] > 0


def test_no_water_flies_before_the_touch():
    frame = np.zeros((64, 112, 3), np.uint8)
    splash = plan_splash(0.5, np.random.default_rng(2))
    for seconds in (-0.1, 0.0, 5.0):
        draw_splash(
            frame,
            splash,
            seconds=seconds,
            centre_px=(56.0, 50.0),
            px_per_metre=20.0,
            foreshortening=1.0,
        )
    assert not frame.any()


@pytest.mark.parametrize("height", [64, 256])
def test_the_diver_fills_the_picture_and_stays_in_it(height):
    rng = np.random.default_rng(4)
    venue = paint_venue(height=height, rng=rng)
    assert 75 <= venue.px_per_metre * 256 / height <= 85
    motion = make_motion("107B")
    times = np.arange(0, motion.flight_seconds, 0.1)
    looks = random_looks(rng)
    plain = replace(venue, canvas=np.zeros_like(venue.canvas))
    frames = dive_frames(
        venue=plain,
        motion=motion,
        splash=plan_splash(0.0, rng),
        looks=looks,
        bystanders=(),
        times=times,
        width=height * 456 // 256,
        height=height,
        zoom=1.0,
        rng=rng,
    )
    for frame in frames:
        diver = frame.max(axis=2) > 30
        assert diver.mean() > 0.02
        middle = diver[:, diver.shape[1] // 4 : -diver.shape[1] // 4]
        assert middle.sum() > 0.95 * diver.sum()
