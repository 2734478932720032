"""Untrimmed videos: which shots follow each other, and the file that they end in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from dae_aqa.datasets.simdive.distractors import lay_over, paint_bug, random_bystanders
from dae_aqa.datasets.simdive.dives import Dive, simulate_dive
from dae_aqa.datasets.simdive.motion import DiveMotion, plan_motion
from dae_aqa.datasets.simdive.options import (
    STREAM_LOOKS,
    STREAM_VENUE,
    STREAM_VIDEO,
    SimDiveOptions,
    random_stream,
)
from dae_aqa.datasets.simdive.render import dive_frames, empty_frames, random_looks
from dae_aqa.datasets.simdive.scene import ByteImage, Venue, paint_venue
from dae_aqa.datasets.simdive.splash import plan_splash
from dae_aqa.files.hashing import value_sha256
from dae_aqa.video.write import read_comment, write_h264

# Raise it whenever the same options give other pixels: kept videos are then rendered anew.
RENDERER_VERSION = 3

_LEAD_SECONDS = (1.3, 1.7)  # the diver on the platform
_START_BEFORE_TAKE_OFF_SECONDS = (0.5, 1.0)
_END_AFTER_ENTRY_SECONDS = (0.75, 1.0)
_TAIL_SECONDS = (0.35, 0.6)  # still on the pool after the annotated end
_OPENING_SECONDS = 0.6  # a video opens with a longer stretch of nothing
_REPLAY_SPEED = 0.5
_REPLAY_BEFORE_ENTRY_SECONDS, _REPLAY_AFTER_ENTRY_SECONDS = 1.2, 0.3
_NOISE_MARGIN_PX = 64


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A stretch of frames without a cut.

    Attributes:
        dive_index: the dive that is shown, or None where nothing happens.
        times: moments shown, seconds from take-off, shape (frames,).
        zoom: magnification against the venue's own scale.
        is_replay: whether it repeats a dive in slow motion.
    """

    dive_index: int | None
    times: npt.NDArray[np.float64]
    zoom: float
    is_replay: bool


@dataclass(frozen=True, kw_only=True)
class VideoPlan:
    """What one video shows, decided before anything is drawn.

    Attributes:
        index: number of the video, from 0.
        video_id: stem of its file name.
        shots: its shots in order.
        ranges: half-open frame range (start, end) of each dive, by dive index.
    """

    index: int
    video_id: str
    shots: tuple[Shot, ...]
    ranges: dict[int, tuple[int, int]]

    @property
    def num_frames(self) -> int:
        """Number of frames of the video."""
        return sum(len(shot.times) for shot in self.shots)


def plan_video(index: int, options: SimDiveOptions) -> VideoPlan:
    """Return the plan of video number `index`; it depends on no other video."""
    rng = random_stream(seed=options.seed, purpose=STREAM_VIDEO, index=index)
    first = index * options.dives_per_video
    shots: list[Shot] = []
    ranges: dict[int, tuple[int, int]] = {}
    num_frames = 0
    for dive_index in range(first, min(first + options.dives_per_video, options.num_dives)):
        gap_seconds = rng.uniform(options.min_gap_seconds, options.max_gap_seconds)
        gap_seconds += _OPENING_SECONDS if not shots else 0.0
        shots.append(_nothing(gap_seconds, options.fps))
        num_frames += len(shots[-1].times)
        shot, (start, end) = _dive_shot(dive_index, options, rng)
        ranges[dive_index] = (num_frames + start, num_frames + end)
        shots.append(shot)
        if rng.random() < options.replay_probability:
            shots.append(_replay_shot(dive_index, options, rng))
            num_frames += len(shots[-1].times)
        num_frames += len(shot.times)
    shots.append(_nothing(options.min_gap_seconds, options.fps))
    return VideoPlan(index=index, video_id=f"sim{index:03d}", shots=tuple(shots), ranges=ranges)


def write_video(plan: VideoPlan, *, options: SimDiveOptions, path: Path) -> None:
    """Render `plan` and write it to `path` as H.264 in MP4.

    The file appears complete or not at all; one made from the same plan and options is kept.
    """
    digest = video_digest(plan, options=options)
    if read_comment(path) == digest:
        return
    write_h264(
        _video_frames(plan, options),
        path,
        width=options.width,
        height=options.height,
        fps=options.fps,
        crf=options.crf,
        comment=digest,
    )


def video_digest(plan: VideoPlan, *, options: SimDiveOptions) -> str:
    """Return a fingerprint of all that decides the pixels of a video."""
    dives = [dive_in_motion(dive_index, options)[0] for dive_index in plan.ranges]
    facts = {
        "renderer": RENDERER_VERSION,
        "seed": options.seed,
        "video": plan.index,
        "dives": [(dive.index, dive.kind.number, dive.faults) for dive in dives],
        "size": [options.width, options.height],
        "fps": options.fps,
        "crf": options.crf,
        "replay_probability": options.replay_probability,
        "gap_seconds": [options.min_gap_seconds, options.max_gap_seconds],
    }
    return value_sha256(facts)


def _nothing(seconds: float, fps: int) -> Shot:
    num_frames = max(1, round(seconds * fps))
    return Shot(dive_index=None, times=np.zeros(num_frames), zoom=1.0, is_replay=False)


def _dive_shot(
    dive_index: int, options: SimDiveOptions, rng: np.random.Generator
) -> tuple[Shot, tuple[int, int]]:
    """Return a dive's shot and its annotated frame range, counted within the shot."""
    _, motion, _ = dive_in_motion(dive_index, options)
    lead, tail = rng.uniform(*_LEAD_SECONDS), rng.uniform(*_TAIL_SECONDS)
    start_time = -rng.uniform(*_START_BEFORE_TAKE_OFF_SECONDS)
    end_time = motion.flight_seconds + rng.uniform(*_END_AFTER_ENTRY_SECONDS)
    start = round((lead + start_time) * options.fps)
    end = round((lead + end_time) * options.fps)
    num_frames = end + round(tail * options.fps)
    times = np.arange(num_frames) / options.fps - lead
    return Shot(dive_index=dive_index, times=times, zoom=1.0, is_replay=False), (start, end)


def _replay_shot(dive_index: int, options: SimDiveOptions, rng: np.random.Generator) -> Shot:
    _, motion, _ = dive_in_motion(dive_index, options)
    begin = motion.flight_seconds - _REPLAY_BEFORE_ENTRY_SECONDS
    end = motion.flight_seconds + _REPLAY_AFTER_ENTRY_SECONDS
    times = np.arange(begin, end, _REPLAY_SPEED / options.fps)
    zoom = float(rng.uniform(1.1, 1.25))
    return Shot(dive_index=dive_index, times=times, zoom=zoom, is_replay=True)


def dive_in_motion(
    dive_index: int, options: SimDiveOptions
) -> tuple[Dive, DiveMotion, np.random.Generator]:
    """Return a dive, its motion, and the random stream from which its looks are drawn next."""
    dive = simulate_dive(index=dive_index, seed=options.seed, noise_law=options.noise_law)
    rng = random_stream(seed=options.seed, purpose=STREAM_LOOKS, index=dive_index)
    return dive, plan_motion(dive, rng), rng


def _video_frames(plan: VideoPlan, options: SimDiveOptions) -> Iterator[ByteImage]:
    """Yield all frames of a video as planar YUV 4:2:0, (3/2 height, width) uint8."""
    rng = random_stream(seed=options.seed, purpose=STREAM_VENUE, index=plan.index)
    venue = paint_venue(height=options.height, rng=rng)
    margin = np.array([options.height, options.width]) + _NOISE_MARGIN_PX
    noise = rng.normal(0, venue.noise_sd, margin).round().astype(np.int16)
    bug = paint_bug(height=options.height, rng=rng)
    for shot in plan.shots:
        for frame in _shot_frames(shot, venue, options, rng):
            if venue.mirrored:
                frame = cast(ByteImage, cv2.flip(frame, 1))
            lay_over(frame, bug)
            yield _sensor(frame, venue=venue, noise=noise, rng=rng)


def _shot_frames(
    shot: Shot, venue: Venue, options: SimDiveOptions, rng: np.random.Generator
) -> Iterator[ByteImage]:
    width, height = options.width, options.height
    if shot.dive_index is None:
        return empty_frames(
            venue=venue, num_frames=len(shot.times), width=width, height=height, rng=rng
        )
    dive, motion, looks_rng = dive_in_motion(shot.dive_index, options)
    looks = random_looks(looks_rng)
    splash = plan_splash(dive.faults["splash"], looks_rng)
    return dive_frames(
        venue=replace(venue, yaw=-venue.yaw) if shot.is_replay else venue,
        motion=motion,
        splash=splash,
        looks=looks,
        bystanders=random_bystanders(looks_rng),
        times=shot.times,
        width=width,
        height=height,
        zoom=shot.zoom,
        rng=rng,
    )


def _sensor(
    frame: ByteImage, *, venue: Venue, noise: npt.NDArray[np.int16], rng: np.random.Generator
) -> ByteImage:
    """Return the frame as YUV 4:2:0 with the venue's brightness and fresh-looking sensor noise."""
    yuv = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420)
    height, width = frame.shape[:2]
    luma = yuv[:height]
    row, column = rng.integers(0, _NOISE_MARGIN_PX, 2)
    grain = noise[row : row + height, column : column + width]
    luma[:] = cv2.add(cv2.convertScaleAbs(luma, alpha=venue.gain), grain, dtype=cv2.CV_8U)
    return cast(ByteImage, yuv)
