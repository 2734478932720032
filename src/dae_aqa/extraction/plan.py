"""The plan of one video: its index, its samples' frames and what can be said before decoding."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dae_aqa.errors import VideoError
from dae_aqa.extraction.cache import WorkCache, content_key
from dae_aqa.extraction.options import ExtractOptions
from dae_aqa.extraction.window import sample_window
from dae_aqa.packs.store import SampleMeta
from dae_aqa.video.index import Int64Array, VideoIndex
from dae_aqa.video.numbering import decoded_numbers, has_reference, reference_numbers
from dae_aqa.video.probe import find_video

_SAFE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
# Changes whenever the same options would give other bytes.
_RECIPE_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """A sample that cannot be extracted, and why."""

    sample_id: str
    video_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something that a user should know of a sample, or (with no sample) of a video."""

    sample_id: str
    video_id: str
    note: str


@dataclass(frozen=True, kw_only=True)
class SamplePlan:
    """A sample to extract: `decoded[i]` is the decoded frame that becomes image `i`."""

    sample_id: str
    key: str
    meta: SampleMeta
    decoded: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class VideoPlan:
    """All that is to be done with one video; no index means that it cannot be read."""

    video_id: str
    path: Path
    index: VideoIndex | None
    samples: list[SamplePlan]
    excluded: list[Exclusion]
    notes: list[Note]


def plan_video(
    video_id: str,
    rows: pd.DataFrame,
    *,
    videos_dir: Path,
    cache: WorkCache,
    options: ExtractOptions,
) -> VideoPlan:
    """Plan the samples `rows` (annotations table) of the video `video_id`.

    A missing or unreadable video excludes its samples; it does not raise.
    """
    ids = [str(sample_id) for sample_id in rows["sample_id"]]
    try:
        path = find_video(videos_dir, video_id)
        sha256 = cache.video_sha256(path)
        index = cache.index(path, sha256)
        numbers = decoded_numbers(index, options.numbering)
    except (VideoError, OSError) as error:
        lost = [Exclusion(sample_id=i, video_id=video_id, reason=str(error)) for i in ids]
        return VideoPlan(
            video_id=video_id, path=videos_dir, index=None, samples=[], excluded=lost, notes=[]
        )
    plan = VideoPlan(
        video_id=video_id,
        path=path,
        index=index,
        samples=[],
        excluded=[],
        notes=_video_notes(video_id, index, options),
    )
    for sample_id, start, end in zip(ids, rows["start_frame"], rows["end_frame"], strict=True):
        try:
            frames = (int(start), int(end))
            sample = _plan_sample(sample_id, frames, video_id, sha256, index, numbers, options)
        except VideoError as error:
            plan.excluded.append(
                Exclusion(sample_id=sample_id, video_id=video_id, reason=f"{path}: {error}")
            )
            continue
        plan.samples.append(sample)
        plan.notes.extend(_sample_notes(sample.meta))
    return plan


def _plan_sample(
    sample_id: str,
    frames: tuple[int, int],
    video_id: str,
    sha256: str,
    index: VideoIndex,
    numbers: Int64Array,
    options: ExtractOptions,
) -> SamplePlan:
    start, end = frames
    if not _SAFE_ID.fullmatch(sample_id):
        raise VideoError(
            f"sample_id {sample_id!r} may hold letters, digits, '-', '_', '.' alone, since it "
            "names a file; correct the annotations."
        )
    if index.is_truncated and end > len(numbers):
        raise VideoError(
            f"the sample ends at frame {end}, but the file is cut off after frame {len(numbers)}. "
            "Fetch the video again, or set damaged: exclude."
        )
    window = sample_window(
        start_frame=start,
        end_frame=end,
        num_video_frames=len(numbers),
        window=options.window,
        num_frames=options.num_frames,
        margin_frames=options.margin_frames,
        early_end=options.early_end,
    )
    meta = SampleMeta(
        sample_id=sample_id,
        video_id=video_id,
        video_sha256=sha256,
        numbering=options.numbering,
        window=options.window,
        frame_numbers=window.numbers,
        window_offset=window.offset,
        window_length=window.length,
        num_repeated_before=window.num_repeated_before,
        num_repeated_after=window.num_repeated_after,
        width=options.width,
        height=options.height,
        image_format=options.image_format,
    )
    quality = options.jpeg_quality if options.image_format == "jpeg" else None
    recipe = [_RECIPE_VERSION, meta.to_json().decode(), options.resize_filter, quality]
    decoded = tuple(int(number) for number in numbers[list(window.numbers)])
    return SamplePlan(sample_id=sample_id, key=content_key(recipe), meta=meta, decoded=decoded)


def _video_notes(video_id: str, index: VideoIndex, options: ExtractOptions) -> list[Note]:
    notes = []
    reference = reference_numbers(index)
    if not has_reference(index):
        notes.append("its reference numbering is not known; this run counts decoded frames")
    elif not np.array_equal(reference, np.arange(index.num_frames)):
        kind = "variable" if index.is_variable_rate else "constant"
        notes.append(
            f"numberings differ: {index.num_frames} frames decoded, {len(reference)} in the "
            f"reference numbering ({kind} frame rate); this run counts {options.numbering}"
        )
    if index.is_truncated:
        notes.append(f"the file is cut off after frame {index.num_frames}")
    if index.counted_by == "decoding":
        notes.append("its frames were counted by decoding all of it")
    return [Note(sample_id="", video_id=video_id, note=note) for note in notes]


def _sample_notes(meta: SampleMeta) -> list[Note]:
    notes = []
    if meta.num_repeated_before:
        notes.append(f"the first frame of the video is repeated {meta.num_repeated_before} times")
    if meta.num_repeated_after:
        notes.append(f"the last frame of the video is repeated {meta.num_repeated_after} times")
    return [Note(sample_id=meta.sample_id, video_id=meta.video_id, note=note) for note in notes]
