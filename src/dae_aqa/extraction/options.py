"""The section `extract_frames`: which frames a sample holds and how they are stored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dae_aqa.options import Options, Pixels, PositiveInt, Workers, one_of
from dae_aqa.video.options import HWACCELS, Numbering, ResizeFilter

Window = Literal["end", "uniform"]
ImageFormat = Literal["jpeg", "png"]
EarlyEnd = Literal["error", "repeat_last"]
Damaged = Literal["error", "exclude"]


class ExtractSection(Options):
    """`extract_frames`: what to extract and how.

    Attributes:
        num_frames: frames in a sample's window.
        margin_frames: frames kept on both sides of an `end` window for temporal shifts.
        window: `end` or `uniform`, see `dae_aqa.extraction.window.sample_window`.
        width: width of the stored images in pixels.
        height: height of the stored images in pixels.
        resize_filter: swscale kernel.
        image_format: `jpeg`, or `png` for lossless images.
        jpeg_quality: on libjpeg's scale.
        early_end: `error` or `repeat_last` where a window reaches outside the video.
        damaged: `error` or `exclude` for samples whose video is missing or damaged.
        hwaccel: hardware decoder, or None.
        num_workers: videos and parts of videos worked on at once.
    """

    num_frames: PositiveInt
    margin_frames: Annotated[int, Field(ge=0, le=10_000)]
    window: Window
    width: Pixels
    height: Pixels
    resize_filter: ResizeFilter
    image_format: ImageFormat
    jpeg_quality: Annotated[int, Field(ge=1, le=100)]
    early_end: EarlyEnd
    damaged: Damaged
    hwaccel: Annotated[str, one_of(HWACCELS)] | None
    num_workers: Workers


class ExtractOptions(ExtractSection):
    """The section with the numbering of the dataset.

    Attributes:
        numbering: `decoded` or `reference`, see `dae_aqa.video.numbering`.
    """

    numbering: Numbering
