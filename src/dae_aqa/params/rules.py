"""What values of different rooms must fulfil together; each room has its own rules besides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dae_aqa.models.options import (
    METHODS,
    methods_without_judges,
    released_checkpoint_fault,
)

if TYPE_CHECKING:
    from dae_aqa.options import Rule
    from dae_aqa.params import Params


def _shift_fits_margin(params: Params) -> Iterator[str]:
    extract = params.extract_frames
    if extract.window == "end" and params.temporal_aug > 2 * extract.margin_frames:
        yield (
            f"temporal_aug: {params.temporal_aug} needs more than the {extract.margin_frames} "
            "frames that extract_frames.margin_frames keeps on either side; raise that or lower "
            "this."
        )


def _clips_fit_window(params: Params) -> Iterator[str]:
    clips, num_frames = params.train.clips, params.extract_frames.num_frames
    if clips.starts and clips.reach > num_frames:
        yield (
            f"train.clips: the last clip ends at frame {clips.reach - 1}, but a sample has only "
            f"{num_frames} frames (extract_frames.num_frames), counted from 0."
        )


def _crop_fits_frame(params: Params) -> Iterator[str]:
    clips, extract = params.train.clips, params.extract_frames
    padded_px = clips.crop_px * (1 + 2 * clips.jitter_px / clips.size_px)
    if padded_px > min(extract.width, extract.height):
        yield (
            f"train.clips: crop_px {clips.crop_px} with jitter_px {clips.jitter_px} needs a square "
            f"of {padded_px:g} px, but frames have {extract.width}x{extract.height} "
            "(extract_frames); lower one of the two."
        )


def _released_checkpoint_fits(params: Params) -> Iterator[str]:
    # Content alone tells the kinds apart, and only torch can read it: the train stage looks. This
    # finds the usual mistake earlier. Model files of this project end in .pt, folders in nothing.
    checkpoint = params.evaluate.checkpoint
    if checkpoint is None or Path(checkpoint).suffix in ("", ".pt"):
        return
    fault = released_checkpoint_fault(model=params.model, backbone=params.backbone)
    if fault is not None:
        yield f"evaluate.checkpoint: {fault}"


def _judges_have_a_rule(params: Params) -> Iterator[str]:
    section = getattr(params.datasets, params.dataset)
    if METHODS[params.model].needs_judges and section.scoring_rule is None:
        yield (
            f"model: {params.model!r} combines judges by the sport's rule, but datasets."
            f"{params.dataset}.scoring_rule is null; name the rule, or choose one of the models "
            f"{', '.join(methods_without_judges())}."
        )


CROSS_RULES: tuple[Rule, ...] = (
    _shift_fits_margin,
    _clips_fit_window,
    _crop_fits_frame,
    _released_checkpoint_fits,
    _judges_have_a_rule,
)
