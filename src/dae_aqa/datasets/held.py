"""What the user holds of a dataset: its folders, and its videos, checked, named and copied."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from dae_aqa.datasets.options import DatasetOptions
from dae_aqa.errors import AnnotationError, DownloadError, VideoError
from dae_aqa.files.whole import copy_file
from dae_aqa.running.places import user_path
from dae_aqa.running.progress import counted
from dae_aqa.tables.dataset import MissingVideo
from dae_aqa.video.options import Numbering
from dae_aqa.video.probe import count_frames
from dae_aqa.wording import first_lines

_MAX_SHOWN = 10
logger = logging.getLogger(__name__)


def require_folders(options: DatasetOptions, *, dataset: str) -> None:
    """Check that the folders `annotations_dir` and `videos_dir` of a dataset's section are there.

    Raises:
        AnnotationError: one is not.
    """
    for key in ("annotations_dir", "videos_dir"):
        place = user_path(getattr(options, key))
        if not place.is_dir():
            raise AnnotationError(
                f"datasets.{dataset}.{key}: no folder {str(place)!r}. "
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
) -> tuple[dict[str, int], list[MissingVideo]]:
    """Copy the user's videos to `videos_dir` and return their numbers of frames, and the missing.

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
    if missing:
        reasons = [f"{video.video_id}: {video.reason}" for video in missing]
        lines = first_lines(reasons, limit=_MAX_SHOWN)
        message = f"{key}: {len(missing)} of {len(wanted)} videos are missing:\n{lines}\n"
        if not num_frames or not allow_missing:
            raise DownloadError(
                f"{message}Put them there, or set download.allow_missing to true to go on without "
                "their samples."
            )
        logger.warning("%sTheir samples are left out, see notes.csv.", message)
    for name in counted(sorted(num_frames), "copying videos", unit="video"):
        copy_file(source=found[name], target=videos_dir / f"{name}{found[name].suffix.lower()}")
    return num_frames, missing
