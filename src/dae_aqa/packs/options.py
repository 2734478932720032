"""How the frames of a performance are made: what a packed sample, and a model file, go by."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dae_aqa.options import Options, Pixels, PositiveInt
from dae_aqa.video.options import Numbering, ResizeFilter

Window = Literal["end", "uniform"]
ImageFormat = Literal["jpeg", "png"]
EarlyEnd = Literal["error", "repeat_last"]


class FrameOptions(Options):
    """What determines the frames of a sample, given its video and its annotated range.

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


class NumberedFrameOptions(FrameOptions):
    """The same with the numbering of the dataset.

    Attributes:
        numbering: `decoded` or `reference`, see `dae_aqa.video.numbering`.
    """

    numbering: Numbering
