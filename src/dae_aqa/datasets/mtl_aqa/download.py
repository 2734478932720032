"""The whole of MTL-AQA's download: release, broadcasts or frames, annotations table."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from dae_aqa.datasets.held import judge_missing, require_folders
from dae_aqa.datasets.missing import without_missing
from dae_aqa.datasets.mtl_aqa.frames import NUM_EARLY_FRAMES, info_folder, list_dives
from dae_aqa.datasets.mtl_aqa.layout import (
    RELEASE_ADDRESS,
    VIDEO_LIST,
    dictionary_file,
    info_file,
    video_id,
)
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
from dae_aqa.tables.dataset import DatasetTables, MissingVideo, Note

logger = logging.getLogger(__name__)


def load(
    options: MtlAqaOptions, download: DownloadOptions, videos_dir: Path, cache_dir: Path
) -> DatasetTables:
    """Put every broadcast into `videos_dir` as `01.mp4` …, or lists of frames; return the tables.

    Each broadcast is taken from the user's folder if it is there, else from the cache, else from
    the web. Nothing is written to `videos_dir` before all have been tried.

    Args:
        options: where annotations and videos come from.
        download: how they are fetched, and whether videos may be missing.
        videos_dir: folder of the videos, an output of the pipeline.
        cache_dir: what was downloaded is kept here; no output of the pipeline.

    Raises:
        AnnotationError: the release or the list of videos is damaged or not there.
        DownloadError: the release cannot be fetched; or videos are missing and may not be, or none
            is there at all. All missing videos are named.
    """
    release_dir = find_release(options, dataset="mtl_aqa", cache_dir=cache_dir, download=download)
    annotations, notes = read_release(
        release_dir=release_dir,
        scoring_rule=options.scoring_rule,
        beside=[info_folder(user_path(options.frames_dir))] if options.frames_dir else [],
    )
    return take_dives(
        annotations,
        notes,
        dataset="mtl_aqa",
        release_dir=release_dir,
        options=options,
        download=download,
        videos_dir=videos_dir,
        cache_dir=cache_dir,
    )


def find_release(
    options: MtlAqaOptions,
    *,
    dataset: str,
    cache_dir: Path,
    download: DownloadOptions,
    others: Sequence[Path] = (),
) -> Path:
    """Return the folder of the release, or of the pickles beside the frames.

    Args:
        options: the section of the dataset.
        dataset: its name.
        cache_dir: where what is fetched is kept.
        download: how files are fetched.
        others: folders that may hold the pickles alone, to be looked at before the web.

    Raises:
        AnnotationError: there is no such folder.
        DownloadError: the release cannot be fetched.
    """
    require_folders(options, "frames_dir", dataset=dataset)
    source = options.annotations_source
    if source is None:
        beside = [] if options.frames_dir is None else [info_folder(user_path(options.frames_dir))]
        for folder in (*beside, *others):
            if info_file(folder) is not None:
                logger.info("annotations are those of %s", folder)
                return folder
        source = RELEASE_ADDRESS
    return locate_release(source, cache_dir=cache_dir, download=download)


def take_dives(
    annotations: pd.DataFrame,
    notes: Sequence[Note],
    *,
    dataset: str,
    release_dir: Path,
    options: MtlAqaOptions,
    download: DownloadOptions,
    videos_dir: Path,
    cache_dir: Path,
) -> DatasetTables:
    """Bring the frames or the broadcasts of the dives to `videos_dir` and return the tables.

    Args:
        annotations: the dives.
        notes: what is known of them.
        dataset: name of the dataset.
        release_dir: folder of the release.
        options: where frames or broadcasts come from.
        download: how they are fetched, and whether some may be missing.
        videos_dir: folder of the videos, an output of the pipeline.
        cache_dir: what was downloaded is kept here; no output of the pipeline.

    Raises:
        AnnotationError: folders of frames have numbers that cannot be right.
        DownloadError: frames or broadcasts are missing, and may not be; all of them are named.
    """
    if options.frames_dir is not None:
        taken = list_dives(
            annotations,
            frames_dir=user_path(options.frames_dir),
            videos_dir=videos_dir,
            released_window=options.released_window,
        )
        notes, missing = [*notes, *taken.notes], taken.missing
        judge_missing(
            missing,
            annotations["sample_id"],
            key=f"datasets.{dataset}.frames_dir",
            unit="dive",
            allow_missing=download.allow_missing,
        )
    else:
        counts = Counter(int(name) for name in annotations["video_id"])
        missing = _take_broadcasts(counts, release_dir, options, download, videos_dir, cache_dir)
    if options.released_window:
        for column in ("start_frame", "end_frame"):
            annotations[column] = (annotations[column] - NUM_EARLY_FRAMES).clip(lower=0)
    return without_missing(annotations, notes, missing)


def _take_broadcasts(
    counts: Mapping[int, int],
    release_dir: Path,
    options: MtlAqaOptions,
    download: DownloadOptions,
    videos_dir: Path,
    cache_dir: Path,
) -> list[MissingVideo]:
    """Copy the broadcasts, with so many dives each, to `videos_dir`; return the missing ones."""
    own_list, video_list = options.video_list, release_dir / VIDEO_LIST
    is_pickles_alone = dictionary_file(release_dir).parent == release_dir
    found = find_videos(
        num_samples=counts,
        addresses=(
            read_addresses(video_list=user_path(own_list) if own_list else video_list)
            if own_list or video_list.is_file() or not is_pickles_alone
            else {}  # the folder of pickles alone names no addresses
        ),
        user_videos_dir=user_path(options.videos_dir) if options.videos_dir else None,
        cache=VideoCache(
            folder=cache_dir / "videos",
            video_format=options.video_format,
            num_retries=download.num_retries,
            timeout_seconds=download.timeout_seconds,
        ),
    )
    if found.missing:
        message = _missing_message(found.missing, num_videos=len(counts), cache_dir=cache_dir)
        if not found.paths:
            raise DownloadError(message)
        if not download.allow_missing:
            raise DownloadError(
                f"{message}\nTo go on without their samples, set download.allow_missing to true."
            )
        logger.warning("%s\nTheir samples are left out, see notes.csv.", message)
    for number, path in counted(sorted(found.paths.items()), "copying videos", unit="video"):
        copy_file(source=path, target=videos_dir / f"{video_id(number)}{path.suffix.lower()}")
    return list(found.missing)


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
