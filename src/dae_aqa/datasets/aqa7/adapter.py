"""AQA-7 from the user's own copy: lists and videos or frames into the pipeline's tables."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from dae_aqa.datasets.aqa7.lists import CLASSES, NUM_FRAMES, Scored, normalized, read_lists
from dae_aqa.datasets.aqa7.options import Aqa7Options
from dae_aqa.datasets.held import Held, require_folders, take_frames, take_videos
from dae_aqa.datasets.missing import without_missing
from dae_aqa.running.places import user_path
from dae_aqa.tables.annotations import check_annotations
from dae_aqa.tables.dataset import DatasetTables, Note
from dae_aqa.video.probe import VIDEO_SUFFIXES

logger = logging.getLogger(__name__)


def load(options: Aqa7Options, videos_dir: Path, *, allow_missing: bool) -> DatasetTables:
    """Copy the videos, or list the frames, in `videos_dir` and return the tables.

    A performance is one sample: the first 103 frames of its video or folder. Its class is its task.

    Args:
        options: where lists and videos or frames lie, and the scale of the scores.
        videos_dir: folder of the videos, an output of the pipeline.
        allow_missing: go on without samples whose videos or frames are missing.

    Raises:
        AnnotationError: a folder is missing, or lists are missing or damaged.
        DownloadError: videos are missing or cannot be read, and may not be. All are named.
    """
    require_folders(options, "annotations_dir", options.held_key, dataset="aqa7")
    rows, hundredths = read_lists(user_path(options.annotations_dir))
    logger.info(
        "AQA-7: the lists hold %s", "hundredths of points" if hundredths else "scores in points"
    )
    held = _held([row.sample_id for row in rows], options, videos_dir, allow_missing)
    annotations = _annotations(rows, held.num_frames, normalize=options.normalize_scores)
    counts = annotations.groupby("task", sort=False)["split"].value_counts()
    for sport in dict.fromkeys(annotations["task"]):
        logger.info(
            "AQA-7, %s: %d training and %d test samples",
            sport,
            counts.get((sport, "train"), 0),
            counts.get((sport, "test"), 0),
        )
    notes = _notes(rows, held.num_frames, hundredths=hundredths, normalize=options.normalize_scores)
    return without_missing(annotations, [*notes, *held.notes], held.missing)


def _held(names: list[str], options: Aqa7Options, videos_dir: Path, allow_missing: bool) -> Held:
    if options.frames_dir is not None:
        return take_frames(
            names,
            folders_of(user_path(options.frames_dir)),
            dataset="aqa7",
            options=options,
            videos_dir=videos_dir,
            allow_missing=allow_missing,
        )
    return take_videos(
        names,
        videos_of(user_path(options.videos_dir or "")),
        key="datasets.aqa7.videos_dir",
        numbering=options.frame_numbering,
        videos_dir=videos_dir,
        allow_missing=allow_missing,
    )


def videos_of(folder: Path) -> dict[str, Path]:
    """Return the videos `<sport>/001.avi` in `folder` by sample, such as `diving_001`."""
    return {
        f"{sport}_{int(path.stem):03d}": path
        for sport in CLASSES
        for path in sorted((folder / sport).glob("*"))
        if path.suffix.lower() in VIDEO_SUFFIXES and path.stem.isdecimal() and path.is_file()
    }


def folders_of(folder: Path) -> dict[str, Path]:
    """Return the folders of images `<sport>-out/001` in `folder` by sample, as `videos_of` does."""
    return {
        f"{sport}_{int(path.name):03d}": path
        for sport in CLASSES
        for path in sorted((folder / f"{sport}-out").glob("*"))
        if path.name.isdecimal() and path.is_dir()
    }


def _annotations(
    rows: Sequence[Scored], num_frames: Mapping[str, int], *, normalize: bool
) -> pd.DataFrame:
    table = [
        {
            "sample_id": row.sample_id,
            "video_id": row.sample_id,
            "start_frame": 0,
            "end_frame": min(num_frames.get(row.sample_id, NUM_FRAMES), NUM_FRAMES),
            "final_score": normalized(row.score, sport=row.sport) if normalize else row.score,
            "difficulty": 1.0,
            "judge_scores": "",
            "action_class": row.sport,
            "split": row.split,
            "task": row.sport,
        }
        for row in rows
    ]
    return check_annotations(pd.DataFrame(table), source="AQA-7")


def _notes(
    rows: Sequence[Scored], num_frames: Mapping[str, int], *, hundredths: bool, normalize: bool
) -> list[Note]:
    """Return what was done to each score, and which performances are short."""
    notes = []
    for row in rows:
        if hundredths:
            detail = f"listed as {row.score * 100:g}, read as {row.score:g} points"
            notes.append(Note(row.sample_id, "score_in_hundredths", detail))
        if normalize:
            score = normalized(row.score, sport=row.sport)
            detail = f"{row.score:g} points are {score:.4f} of 100 in the range of {row.sport}"
            notes.append(Note(row.sample_id, "score_normalized", detail))
        length = num_frames.get(row.sample_id, NUM_FRAMES)
        if length < NUM_FRAMES:
            detail = f"{length} frames, expected {NUM_FRAMES}"
            notes.append(Note(row.sample_id, "fewer_frames", detail))
    return notes
