"""The section `extract_frames`: which frames a sample holds, how they are stored, and made."""

from __future__ import annotations

from typing import Annotated, Literal

from dae_aqa.options import Workers, one_of
from dae_aqa.packs.options import FrameOptions, NumberedFrameOptions
from dae_aqa.video.options import HWACCELS

Damaged = Literal["error", "exclude"]


class ExtractSection(FrameOptions):
    """`extract_frames`: the frames, and how the stage works.

    Attributes:
        damaged: `error` or `exclude` for samples whose video is missing or damaged.
        hwaccel: hardware decoder, or None.
        num_workers: videos and parts of videos worked on at once.
    """

    damaged: Damaged
    hwaccel: Annotated[str, one_of(HWACCELS)] | None
    num_workers: Workers


class ExtractOptions(ExtractSection, NumberedFrameOptions):
    """The section with the numbering of the dataset."""
