"""The whole of MTL-AQA's download: release, broadcasts, annotations table."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dae_aqa.datasets.mtl_aqa.layout import VIDEO_LIST, video_id
from dae_aqa.datasets.mtl_aqa.options import MtlAqaOptions
from dae_aqa.datasets.mtl_aqa.release import read_release
from dae_aqa.datasets.mtl_aqa.source import locate_release
from dae_aqa.datasets.mtl_aqa.videos import find_videos, read_addresses
from dae_aqa.datasets.options import DownloadOptions
from dae_aqa.datasets.video_fetch import VideoCache, is_youtube, youtube_support
from dae_aqa.errors import DownloadError
from dae_aqa.files.whole import copy_file
from dae_aqa.running.places import user_path
from dae_aqa.running.progress import counted
from dae_aqa.tables.dataset import (
    DatasetTables,
    MissingVideo,
    Note,
    missing_table,
    notes_table,
)

_logger = logging.getLogger(__name__)


def load(
    options: MtlAqaOptions, download_options: DownloadOptions, videos_dir: Path, cache_dir: Path
) -> DatasetTables:
    """Do what `download` does, as the sections of `params.yaml` say."""
    source = options.annotations_source
    return download(
        videos_dir=videos_dir,
        cache_dir=cache_dir,
        annotations_source=source if "://" in source else str(user_path(source)),
        user_videos_dir=user_path(options.videos_dir) if options.videos_dir else None,
        video_list=user_path(options.video_list) if options.video_list else None,
        video_format=options.video_format,
        scoring_rule=options.scoring_rule,
        allow_missing=download_options.allow_missing,
        num_retries=download_options.num_retries,
        timeout_seconds=download_options.timeout_seconds,
    )


def download(
    *,
    videos_dir: Path,
    cache_dir: Path,
    annotations_source: str,
    user_videos_dir: Path | None,
    video_list: Path | None,
    video_format: str,
    scoring_rule: str,
    allow_missing: bool,
    num_retries: int,
    timeout_seconds: float,
) -> DatasetTables:
    """Put every broadcast into `videos_dir` as `01.mp4` … and return the dataset's tables.

    Each broadcast is taken from `user_videos_dir` if it is there, else from the cache, else from
    the web. Nothing is written to `videos_dir` before all have been tried.

    Args:
        videos_dir: folder of the videos, an output of the pipeline.
        cache_dir: what was downloaded is kept here; no output of the pipeline.
        annotations_source: folder or address of the release, see `source.locate_release`.
        user_videos_dir: the user's own videos, named by number, or None.
        video_list: addresses of the videos, see `videos.read_addresses`; None for the release's.
        video_format: yt-dlp's format selection.
        scoring_rule: name in `scoring.SCORING_RULES`, for the check of the final scores.
        allow_missing: go on without the samples of videos that cannot be had.
        num_retries: further tries after a lost connection.
        timeout_seconds: longest silence of a server.

    Raises:
        AnnotationError: the release or `video_list` is damaged or not there.
        DownloadError: the release cannot be fetched; or videos are missing and `allow_missing` is
            false, or none is there at all. All missing videos are named.
    """
    release_dir = locate_release(
        annotations_source=annotations_source,
        cache_dir=cache_dir,
        num_retries=num_retries,
        timeout_seconds=timeout_seconds,
    )
    annotations, report = read_release(release_dir=release_dir, scoring_rule=scoring_rule)
    counts = Counter(int(name) for name in annotations["video_id"])
    found = find_videos(
        num_samples=counts,
        addresses=read_addresses(video_list=video_list or release_dir / VIDEO_LIST),
        user_videos_dir=user_videos_dir,
        cache=VideoCache(
            folder=cache_dir / "videos",
            video_format=video_format,
            num_retries=num_retries,
            timeout_seconds=timeout_seconds,
        ),
    )
    if found.missing:
        message = _missing_message(found.missing, num_videos=len(counts), cache_dir=cache_dir)
        if not found.paths:
            raise DownloadError(message)
        if not allow_missing:
            raise DownloadError(
                f"{message}\nTo go on without their samples, set download.allow_missing to true."
            )
        _logger.warning("%s\nTheir samples are left out, see notes.csv.", message)
    for number, path in counted(sorted(found.paths.items()), "copying videos", unit="video"):
        copy_file(source=path, target=videos_dir / f"{video_id(number)}{path.suffix.lower()}")
    return _without_missing(annotations, report.notes, found.missing)


def _without_missing(
    annotations: pd.DataFrame, notes: pd.DataFrame, missing: Sequence[MissingVideo]
) -> DatasetTables:
    """Return the tables without the samples of missing videos, each of which gets a note."""
    reasons = {video.video_id: video.reason for video in missing}
    excluded = annotations["video_id"].isin(list(reasons))
    exclusions = [
        Note(sample, "excluded_video_missing", f"video {video}: {reasons[video]}")
        for sample, video in annotations.loc[excluded, ["sample_id", "video_id"]].itertuples(
            index=False
        )
    ]
    all_notes = [Note(*row) for row in notes.itertuples(index=False)] + exclusions
    return DatasetTables(
        annotations=annotations[~excluded].reset_index(drop=True),
        notes=notes_table(all_notes),
        missing_videos=missing_table(missing),
    )


def _missing_message(missing: Sequence[MissingVideo], *, num_videos: int, cache_dir: Path) -> str:
    """Return which videos are missing, why, and how to supply them."""
    num_samples = sum(video.num_samples for video in missing)
    lines = [
        f"  {video.video_id}, {video.num_samples} samples: "
        + (f"{video.address}: " if video.address else "")
        + video.reason
        for video in missing
    ]
    names = ", ".join(f"{video.video_id}.mp4" for video in missing[:3])
    hint = youtube_support() if any(is_youtube(video.address) for video in missing) else ""
    return "\n".join(
        [
            f"MTL-AQA: {len(missing)} of {num_videos} videos are missing, with {num_samples} "
            "samples:",
            *lines,
            f"What was downloaded is kept in {cache_dir} and not fetched again. To supply the "
            f"others, put your own files into a folder, named by video number ({names}, …; any "
            "usual video suffix), set datasets.mtl_aqa.videos_dir to it, and run the stage again.",
            *([hint] if hint else []),
        ]
    )
