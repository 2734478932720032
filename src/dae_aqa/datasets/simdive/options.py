"""The options of the simulator and the random streams that follow from its seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field

from dae_aqa.datasets.options import DatasetOptions
from dae_aqa.options import Fraction, PositiveInt, Seed
from dae_aqa.scoring import RuleName

NoiseLaw = Literal["monotone", "mid_peak"]
_Side = Annotated[int, Field(ge=32, le=8192)]
_Gap = Annotated[float, Field(gt=0, le=60)]

# What a random stream is for: streams never share numbers, so that for example another noise law
# changes the marks and leaves every pixel as it was.
STREAM_DIVE, STREAM_JUDGES, STREAM_LOOKS, STREAM_VIDEO, STREAM_VENUE, STREAM_SPLIT = range(6)


def _leaves_two_videos(options: SimDiveOptions) -> Iterator[str]:
    most = options.num_dives - 1
    if options.dives_per_video > most:
        yield (
            f"dives_per_video: {options.dives_per_video}; expected at most num_dives - 1 ({most}), "
            "so that there are two videos, one of them for the test split."
        )


def _has_even_height(options: SimDiveOptions) -> Iterator[str]:
    if options.height % 2:
        yield f"height: {options.height}; expected an even number."


def _is_wide(options: SimDiveOptions) -> Iterator[str]:
    if options.width % 2 or options.width < options.height:
        yield (
            f"width: {options.width}; expected an even number that is not below the height "
            f"({options.height})."
        )


def _gaps_have_a_range(options: SimDiveOptions) -> Iterator[str]:
    if options.max_gap_seconds < options.min_gap_seconds:
        yield (
            f"max_gap_seconds: {options.max_gap_seconds:g}; expected at least min_gap_seconds "
            f"({options.min_gap_seconds:g})."
        )


class SimDiveOptions(DatasetOptions):
    """`datasets.simdive`: what to simulate.

    Attributes:
        num_dives: number of dives.
        dives_per_video: dives in one video; the last one may hold fewer.
        test_fraction: share of the videos that form the official test split.
        seed: seed of everything.
        width: frame width in pixels, even.
        height: frame height in pixels, even; the diver's size scales with it.
        fps: frames per second.
        crf: constant rate factor of H.264, 0 (lossless) to 51 (worst).
        noise_law: how the noise of the marks depends on the quality; see `judging`.
        replay_probability: chance that a slow-motion replay follows a dive.
        min_gap_seconds: shortest stretch of nothing before a dive.
        max_gap_seconds: longest stretch of nothing before a dive.
    """

    RULES = (_leaves_two_videos, _is_wide, _has_even_height, _gaps_have_a_range)

    num_dives: Annotated[int, Field(ge=2, le=1_000_000)]
    dives_per_video: PositiveInt
    test_fraction: Annotated[float, Field(ge=0.001, le=0.999)]
    seed: Seed
    width: _Side
    height: _Side
    fps: Annotated[int, Field(ge=5, le=120)]
    crf: Annotated[int, Field(ge=0, le=51)]
    noise_law: NoiseLaw
    replay_probability: Fraction
    min_gap_seconds: _Gap
    max_gap_seconds: _Gap
    scoring_rule: RuleName

    @property
    def num_videos(self) -> int:
        """Number of videos that hold `num_dives` dives."""
        return -(-self.num_dives // self.dives_per_video)

    @property
    def pictured(self) -> Self:
        """The options with what is in no picture set to fixed values: judges, split, numbering."""
        return self.replaced(
            noise_law="monotone",
            test_fraction=0.5,
            frame_numbering="decoded",
            scoring_rule="diving",
        )


def random_stream(*, seed: int, purpose: int, index: int) -> np.random.Generator:
    """Return the random generator of one dive or video (`index`) for one `STREAM_...` purpose.

    The stream depends on these three numbers alone, so results are the same for any number of
    workers and any order of work.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, index)))
