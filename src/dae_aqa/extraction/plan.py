"""The plan of one video: what each of its samples needs, and what to tell the user beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dae_aqa.errors import VideoError
from dae_aqa.extraction.cache import WorkCache
from dae_aqa.extraction.options import ExtractOptions
from dae_aqa.extraction.window import SampleWindow, repetition_notes, sample_window
from dae_aqa.files.hashing import value_sha256
from dae_aqa.packs.store import SampleMeta
from dae_aqa.tables.annotations import ID_RULE, SAFE_ID
from dae_aqa.video.frame_list import ListedImage
from dae_aqa.video.index import Int64Array, VideoIndex
from dae_aqa.video.numbering import decoded_numbers, has_reference, reference_numbers
from dae_aqa.video.probe import find_video

# To be raised when the same options give other bytes than before.
_RECIPE_VERSION = 1
_SAMPLES_PER_TASK = 8


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """A sample that cannot be extracted, and why."""

    sample_id: str
    video_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something to know about a sample, or (where `sample_id` is empty) about a video."""

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
class Task:
    """Samples of one video that are decoded one after the other."""

    video_id: str
    path: Path
    index: VideoIndex
    samples: list[SamplePlan]


@dataclass(frozen=True, kw_only=True)
class FolderTask:
    """Samples whose frames are images: `images[sample_id]` are its own, by number."""

    video_id: str
    root: Path
    samples: list[SamplePlan]
    images: dict[str, dict[int, ListedImage]]


@dataclass(frozen=True, kw_only=True)
class VideoPlan:
    """What is to be done with one video, and what the user is told about it."""

    tasks: list[Task | FolderTask]
    excluded: list[Exclusion]
    notes: list[Note]


@dataclass(frozen=True, kw_only=True)
class _Video:
    """A readable video; `numbers[n]` is the decoded frame that frame number `n` means."""

    video_id: str
    path: Path
    sha256: str
    index: VideoIndex
    numbers: Int64Array


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
        video = _read_video(video_id, videos_dir=videos_dir, cache=cache, options=options)
    except (VideoError, OSError) as error:
        lost = [Exclusion(sample_id=i, video_id=video_id, reason=str(error)) for i in ids]
        return VideoPlan(tasks=[], excluded=lost, notes=[])
    samples, excluded = [], []
    for sample_id, start, end in zip(ids, rows["start_frame"], rows["end_frame"], strict=True):
        try:
            samples.append(_plan_sample(sample_id, int(start), int(end), video, options))
        except VideoError as error:
            reason = f"{video.path}: {error}"
            excluded.append(Exclusion(sample_id=sample_id, video_id=video_id, reason=reason))
    notes = _video_notes(video, options)
    for sample in samples:
        notes += sample_notes(sample.meta)
    tasks: list[Task | FolderTask] = [
        Task(video_id=video_id, path=video.path, index=video.index, samples=part)
        for part in _parts(samples, video.index)
    ]
    return VideoPlan(tasks=tasks, excluded=excluded, notes=notes)


def _read_video(
    video_id: str, *, videos_dir: Path, cache: WorkCache, options: ExtractOptions
) -> _Video:
    path = find_video(videos_dir, video_id)
    sha256 = cache.video_sha256(path)
    index = cache.index(path, sha256)
    numbers = decoded_numbers(index, options.numbering)
    return _Video(video_id=video_id, path=path, sha256=sha256, index=index, numbers=numbers)


def _plan_sample(
    sample_id: str, start: int, end: int, video: _Video, options: ExtractOptions
) -> SamplePlan:
    """Return the plan of the sample annotated as `[start, end)`."""
    num_frames = len(video.numbers)
    check_sample_id(sample_id)
    if video.index.is_truncated and end > num_frames:
        raise VideoError(
            f"the sample ends at frame {end}, but the file is cut off after frame {num_frames}. "
            "Fetch the video again, or set damaged: exclude."
        )
    window = sample_window(
        start_frame=start,
        end_frame=end,
        first_video_frame=0,
        end_video_frame=num_frames,
        window=options.window,
        num_frames=options.num_frames,
        margin_frames=options.margin_frames,
        early_end=options.early_end,
    )
    meta = sample_meta(sample_id, video.video_id, video.sha256, window, options)
    decoded = tuple(int(number) for number in video.numbers[list(window.numbers)])
    return SamplePlan(sample_id=sample_id, key=cache_key(meta, options), meta=meta, decoded=decoded)


def check_sample_id(sample_id: str) -> None:
    """Raise VideoError where `sample_id` cannot name a file."""
    if not SAFE_ID.fullmatch(sample_id):
        raise VideoError(f"sample_id {sample_id!r} {ID_RULE}; correct the annotations.")


def sample_meta(
    sample_id: str, video_id: str, sha256: str, window: SampleWindow, options: ExtractOptions
) -> SampleMeta:
    """Return what the packed sample of `window` says of itself; `sha256` is that of its source."""
    return SampleMeta(
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


def cache_key(meta: SampleMeta, options: ExtractOptions) -> str:
    """Return the key of all that determines a sample's bytes; the video's content is in `meta`."""
    quality = options.jpeg_quality if options.image_format == "jpeg" else None
    recipe = [_RECIPE_VERSION, meta.to_json().decode(), options.resize_filter, quality]
    return value_sha256(recipe)


def _parts(samples: Iterable[SamplePlan], index: VideoIndex) -> Iterator[list[SamplePlan]]:
    """Split the samples of a video, in order, at places where a seek is due anyway."""
    part: list[SamplePlan] = []
    end = -1
    for sample in sorted(samples, key=lambda s: (s.decoded[0], s.sample_id)):
        is_apart = index.seek_frame(sample.decoded[0]) > end
        if is_apart and len(part) >= _SAMPLES_PER_TASK:
            yield part
            part = []
        part.append(sample)
        end = max(end, sample.decoded[-1])
    if part:
        yield part


def _video_notes(video: _Video, options: ExtractOptions) -> list[Note]:
    index = video.index
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
    return [Note(sample_id="", video_id=video.video_id, note=note) for note in notes]


def sample_notes(meta: SampleMeta) -> list[Note]:
    """Return what to tell the user about a sample: frames that it shows more than once."""
    notes = repetition_notes(
        meta.frame_numbers[meta.window_offset : meta.window_offset + meta.window_length],
        num_before=meta.num_repeated_before,
        num_after=meta.num_repeated_after,
        window=meta.window,
    )
    return [Note(sample_id=meta.sample_id, video_id=meta.video_id, note=note) for note in notes]
