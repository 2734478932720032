"""The parameters of extraction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from dae_aqa.errors import ParamsError
from dae_aqa.frames.numbering import Numbering

Window = Literal["end", "uniform"]
ResizeFilter = Literal["area", "bilinear", "bicubic", "lanczos"]
ImageFormat = Literal["jpeg", "png"]
EarlyEnd = Literal["error", "repeat_last"]
Damaged = Literal["error", "exclude"]


@dataclass(frozen=True, kw_only=True)
class ExtractOptions:
    """What to extract and how. Nothing has a default here: the values live in `params.yaml`.

    Attributes:
        num_frames: frames in a sample's window, ≥ 1.
        margin_frames: frames kept on both sides of an `end` window for temporal shifts, ≥ 0.
        window: `end` or `uniform`, see `dae_aqa.frames.window.sample_window`.
        numbering: `decoded` or `reference`, see `dae_aqa.frames.numbering`.
        width: width of the stored images in pixels, ≥ 16.
        height: height of the stored images in pixels, ≥ 16.
        resize_filter: swscale kernel.
        image_format: `jpeg`, or `png` for lossless images.
        jpeg_quality: 1 to 100, on libjpeg's scale.
        early_end: `error` or `repeat_last` where a window reaches outside the video.
        damaged: `error` or `exclude` for samples whose video is missing or damaged.
        hwaccel: hardware decoder (`cuda`, …), or None.
        num_workers: videos and parts of videos worked on at once, ≥ 1.
    """

    num_frames: int
    margin_frames: int
    window: Window
    numbering: Numbering
    width: int
    height: int
    resize_filter: ResizeFilter
    image_format: ImageFormat
    jpeg_quality: int
    early_end: EarlyEnd
    damaged: Damaged
    hwaccel: str | None
    num_workers: int

    def __post_init__(self) -> None:
        bounds = {
            "num_frames": (1, 1_000_000),
            "margin_frames": (0, 10_000),
            "width": (16, 8192),
            "height": (16, 8192),
            "jpeg_quality": (1, 100),
            "num_workers": (1, 256),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ParamsError(
                    f"extract_frames.{name} must be {low} to {high}, got {getattr(self, name)!r}."
                )
        choices = {
            "window": Window,
            "numbering": Numbering,
            "resize_filter": ResizeFilter,
            "image_format": ImageFormat,
            "early_end": EarlyEnd,
            "damaged": Damaged,
        }
        for name, choice in choices.items():
            if getattr(self, name) not in get_args(choice):
                raise ParamsError(
                    f"extract_frames.{name} must be one of {', '.join(get_args(choice))}, got "
                    f"{getattr(self, name)!r}."
                )
