"""The options of the simulator and the random streams that follow from its seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dae_aqa.errors import ParamsError

NoiseLaw = Literal["monotone", "mid_peak"]
NOISE_LAWS: tuple[NoiseLaw, ...] = ("monotone", "mid_peak")
_MIN_HEIGHT_PX = 32

# What a random stream is for: streams never share numbers, so that for example another noise law
# changes the marks and leaves every pixel as it was.
STREAM_DIVE, STREAM_JUDGES, STREAM_LOOKS, STREAM_VIDEO, STREAM_VENUE, STREAM_SPLIT = range(6)


@dataclass(frozen=True, kw_only=True)
class SimDiveOptions:
    """What to simulate. All values come from the caller.

    Attributes:
        num_dives: number of dives, >= 2.
        dives_per_video: dives in one video (the last one may hold fewer), 1 to num_dives - 1.
        test_fraction: share of the videos that form the official test split, in (0, 1).
        seed: seed of everything, >= 0.
        width: frame width in pixels, even.
        height: frame height in pixels, even; the diver's size scales with it.
        fps: frames per second.
        crf: constant rate factor of H.264, 0 (lossless) to 51 (worst).
        noise_law: how the noise of the marks depends on the quality; see `judging`.
        replay_probability: chance that a slow-motion replay follows a dive, in [0, 1].
        min_gap_seconds: shortest stretch of nothing before a dive, > 0.
        max_gap_seconds: longest stretch of nothing before a dive, >= min_gap_seconds.
    """

    num_dives: int
    dives_per_video: int
    test_fraction: float
    seed: int
    width: int
    height: int
    fps: int
    crf: int
    noise_law: NoiseLaw
    replay_probability: float
    min_gap_seconds: float
    max_gap_seconds: float

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ParamsError: a value is out of range.
        """
        checks = {
            "num_dives": (self.num_dives >= 2, "be at least 2"),
            "dives_per_video": (
                1 <= self.dives_per_video < self.num_dives,
                "leave at least two videos, one of them for the test split (1 to num_dives - 1)",
            ),
            "test_fraction": (0 < self.test_fraction < 1, "be between 0 and 1, both excluded"),
            "seed": (self.seed >= 0, "be at least 0"),
            "width": (self.width >= self.height and self.width % 2 == 0, "be even and >= height"),
            "height": (
                self.height >= _MIN_HEIGHT_PX and self.height % 2 == 0,
                f"be even and >= {_MIN_HEIGHT_PX}",
            ),
            "fps": (5 <= self.fps <= 120, "be 5 to 120"),
            "crf": (0 <= self.crf <= 51, "be 0 to 51"),
            "noise_law": (self.noise_law in NOISE_LAWS, "be " + " or ".join(NOISE_LAWS)),
            "replay_probability": (0 <= self.replay_probability <= 1, "be 0 to 1"),
            "min_gap_seconds": (self.min_gap_seconds > 0, "be above 0"),
            "max_gap_seconds": (
                self.max_gap_seconds >= self.min_gap_seconds,
                f"be at least min_gap_seconds ({self.min_gap_seconds})",
            ),
        }
        for name, (good, allowed) in checks.items():
            if not good:
                raise ParamsError(
                    f"simdive: {name} must {allowed}; got {getattr(self, name)!r}. "
                    "Correct it in params.yaml."
                )

    @property
    def num_videos(self) -> int:
        """Number of videos that hold `num_dives` dives."""
        return -(-self.num_dives // self.dives_per_video)


def random_stream(*, seed: int, purpose: int, index: int) -> np.random.Generator:
    """Return the random generator of one dive or video (`index`) for one `STREAM_...` purpose.

    The stream depends on these three numbers alone, so results are the same for any number of
    workers and any order of work.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, index)))
