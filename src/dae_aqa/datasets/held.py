"""What the user holds of a dataset: its folders, and its videos or frames, checked and named."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dae_aqa.datasets.frames import folder_notes, list_frames, look_into, usual_first_numbers
from dae_aqa.datasets.options import HeldDatasetOptions
from dae_aqa.errors import AnnotationError, DownloadError, VideoError
from dae_aqa.files.whole import copy_file
from dae_aqa.running.places import user_path
from dae_aqa.running.progress import counted
from dae_aqa.tables.dataset import MissingVideo, Note
from dae_aqa.video.options import Numbering
from dae_aqa.video.probe import count_frames
from dae_aqa.wording import first_lines

_MAX_SHOWN = 10
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Held:
    """What the user holds of performances that each have a video or a folder of their own.

    Attributes:
        num_frames: by `video_id`: one past the last frame that there is.
        missing: the videos or folders that are not there.
        notes: what is odd about the folders.
    """

    num_frames: Mapping[str, int]
    missing: list[MissingVideo]
    notes: list[Note] = field(default_factory=list)


def require_folders(options: HeldDatasetOptions, *keys: str, dataset: str) -> None:
    """Check that the folders of a dataset's section are there.

    Args:
        options: the section.
        keys: its keys that name folders; one that is null is left out.
        dataset: its name.

    Raises:
        AnnotationError: one is not.
    """
    for key in keys:
        text = getattr(options, key)
        if text is not None and not user_path(text).is_dir():
            raise AnnotationError(
                f"datasets.{dataset}.{key}: no folder {str(user_path(text))!r}. "
                f"src/dae_aqa/datasets/{dataset}/README.md says what it holds."
            )


def take_videos(
    names: Iterable[str],
    found: Mapping[str, Path],
    *,
    key: str,
    numbering: Numbering,
    videos_dir: Path,
    allow_missing: bool,
) -> Held:
    """Copy the user's videos to `videos_dir` and return what is there.

    Each video holds one sample. Nothing is copied before all of them have been looked at.

    Args:
        names: the `video_id` of each video that the dataset needs.
        found: the user's files, by `video_id`.
        key: the key of `params.yaml` that names their folder, for messages.
        numbering: how frames are counted.
        videos_dir: folder of the videos, an output of the pipeline.
        allow_missing: go on without the videos that are missing or cannot be read.

    Raises:
        DownloadError: videos are missing or cannot be read, and may not be; or all of them are.
    """
    num_frames: dict[str, int] = {}
    missing = []
    wanted = sorted(names)
    for name in counted(wanted, "checking videos", unit="video"):
        reason = f"no video of this name in {key}"
        if name in found:
            try:
                num_frames[name] = count_frames(found[name], numbering=numbering)
                continue
            except VideoError as error:
                reason = str(error)
        missing.append(MissingVideo(name, 1, "", reason))
    judge_missing(missing, wanted, key=key, unit="video", allow_missing=allow_missing)
    for name in counted(sorted(num_frames), "copying videos", unit="video"):
        copy_file(source=found[name], target=videos_dir / f"{name}{found[name].suffix.lower()}")
    return Held(num_frames=num_frames, missing=missing)


def take_frames(
    names: Iterable[str],
    folders: Mapping[str, Path],
    *,
    dataset: str,
    options: HeldDatasetOptions,
    videos_dir: Path,
    allow_missing: bool,
) -> Held:
    """List the user's folders of frames in `videos_dir` and return what is there.

    Each folder holds one sample, which begins at frame 0 (`usual_first_numbers`).

    Args:
        names: the `video_id` of each folder that the dataset needs.
        folders: the user's folders, by `video_id`.
        dataset: name of the dataset.
        options: its section, which names `frames_dir`.
        videos_dir: folder of the videos, an output of the pipeline.
        allow_missing: go on without the folders that are missing.

    Raises:
        AnnotationError: two images of a folder have the same number.
        DownloadError: folders are missing or empty, and may not be; or all of them are.
    """
    key, wanted = f"datasets.{dataset}.frames_dir", sorted(names)
    root = user_path(options.frames_dir or "")
    found = look_into({name: folders[name] for name in wanted if name in folders}, frames_dir=root)
    missing = [
        MissingVideo(name, 1, "", f"no folder of its images in {key}")
        for name in wanted
        if name not in found
    ]
    judge_missing(missing, wanted, key=key, unit="folder", allow_missing=allow_missing)
    first = usual_first_numbers(found)
    list_frames(found, first, videos_dir=videos_dir, of_samples=False)
    num_frames = {name: folder.highest + 1 - first[name] for name, folder in found.items()}
    return Held(num_frames=num_frames, missing=missing, notes=list(folder_notes(found)))


def judge_missing(
    missing: Collection[MissingVideo],
    wanted: Collection[object],
    *,
    key: str,
    unit: str,
    allow_missing: bool,
) -> None:
    """Raise or warn where videos or folders are missing, all of which are named.

    Args:
        missing: what is not there.
        wanted: all that is needed.
        key: the key of `params.yaml` that names their folder.
        unit: what they are, e.g. `video`.
        allow_missing: only warn, unless nothing at all is there.

    Raises:
        DownloadError: some are missing and may not be, or all are.
    """
    if not missing:
        return
    reasons = [f"{video.video_id}: {video.reason}" for video in missing]
    lines = first_lines(reasons, limit=_MAX_SHOWN)
    message = f"{key}: {len(missing)} of {len(wanted)} {unit}s are missing:\n{lines}\n"
    if len(missing) == len(wanted) or not allow_missing:
        raise DownloadError(
            f"{message}Put them there, or set download.allow_missing to true to go on without "
            "their samples."
        )
    logger.warning("%sTheir samples are left out, see notes.csv.", message)
