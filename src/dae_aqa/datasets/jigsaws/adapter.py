"""JIGSAWS from the user's own copy: ratings, folds, and videos or frames, into tables."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from dae_aqa.datasets.frames import folders_named
from dae_aqa.datasets.held import Held, require_folders, take_frames, take_videos
from dae_aqa.datasets.jigsaws.options import Camera, JigsawsOptions
from dae_aqa.datasets.jigsaws.ratings import LABELS, SPLITS, TASKS, Ratings, Trial, read_ratings
from dae_aqa.datasets.missing import without_missing
from dae_aqa.errors import AnnotationError
from dae_aqa.running.places import user_path
from dae_aqa.tables.annotations import check_annotations, format_judge_scores
from dae_aqa.tables.dataset import DatasetTables
from dae_aqa.video.probe import VIDEO_SUFFIXES

logger = logging.getLogger(__name__)


def load(options: JigsawsOptions, videos_dir: Path, *, allow_missing: bool) -> DatasetTables:
    """Copy the videos of the rated trials, or list their frames, and return the tables.

    A trial is one sample: the whole video, or all frames, of the chosen camera. Its score is the
    sum of the six elements, which stand in `judge_scores`; its group is the surgeon.

    Args:
        options: where ratings and videos or frames lie, and which folds are tested.
        videos_dir: folder of the videos, an output of the pipeline.
        allow_missing: go on without the trials whose videos or frames are missing.

    Raises:
        AnnotationError: a folder is missing, or ratings or folds are missing or damaged.
        DownloadError: videos are missing or cannot be read, and may not be. All are named.
    """
    require_folders(options, "annotations_dir", options.held_key, dataset="jigsaws")
    ratings = _ratings(user_path(options.annotations_dir), options=options)
    names = {trial: f"{trial}_{options.camera}" for trial in sorted(ratings.elements)}
    held = _held(list(names.values()), options, videos_dir, allow_missing)
    annotations = _annotations(ratings, names, held.num_frames, options=options)
    logger.info(
        "JIGSAWS: %s",
        ", ".join(f"{num} of {task}" for task, num in annotations["task"].value_counts().items()),
    )
    return without_missing(annotations, [*ratings.notes, *held.notes], held.missing)


def _held(names: list[str], options: JigsawsOptions, videos_dir: Path, allow_missing: bool) -> Held:
    if options.frames_dir is not None:
        return take_frames(
            names,
            folders_of(user_path(options.frames_dir), camera=options.camera),
            dataset="jigsaws",
            options=options,
            videos_dir=videos_dir,
            allow_missing=allow_missing,
        )
    return take_videos(
        names,
        videos_of(user_path(options.videos_dir or ""), camera=options.camera),
        key="datasets.jigsaws.videos_dir",
        numbering=options.frame_numbering,
        videos_dir=videos_dir,
        allow_missing=allow_missing,
    )


def annotation_files(folder: Path) -> list[Path]:
    """Return the files of ratings and folds in `folder`, at any depth."""
    names = {LABELS, SPLITS, *(f"meta_file_{task}.txt" for task in TASKS)}
    return sorted(path for path in folder.rglob("*") if path.name in names and path.is_file())


def videos_of(folder: Path, *, camera: Camera) -> dict[str, Path]:
    """Return the videos of one camera in `folder`, at any depth, by name without suffix."""
    return {
        path.stem: path
        for path in sorted(folder.rglob(f"*_{camera}.*"))
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()
    }


def folders_of(folder: Path, *, camera: Camera) -> dict[str, Path]:
    """Return the folders of images of one camera in `folder`, at any depth, by name."""
    return folders_named(folder, suffix=f"_{camera}")


def _ratings(folder: Path, *, options: JigsawsOptions) -> Ratings:
    files = annotation_files(folder)
    by_name = {path.name: path for path in files}
    twice = [str(path) for path in files if by_name[path.name] != path]
    if twice:
        raise AnnotationError(
            f"{folder}: {', '.join(twice)} have the names of other files there; leave one of each."
        )
    ratings = read_ratings(
        meta_files={
            task: by_name[f"meta_file_{task}.txt"]
            for task in TASKS
            if f"meta_file_{task}.txt" in by_name
        },
        pickles={name: by_name[name] for name in (LABELS, SPLITS) if name in by_name},
    )
    if options.folds == "musdl" and not ratings.folds:
        raise AnnotationError(
            f"{folder}: no {SPLITS}, but datasets.jigsaws.folds is musdl. Put MUSDL's {SPLITS} "
            "there, or set folds to super_trial_out or user_out, which need no file."
        )
    return ratings


def _annotations(
    ratings: Ratings,
    names: Mapping[str, str],
    num_frames: Mapping[str, int],
    *,
    options: JigsawsOptions,
) -> pd.DataFrame:
    rows = []
    for name, video in names.items():
        trial, elements = Trial.parse(name), ratings.elements[name]
        if trial is None:
            raise AnnotationError(f"{name}: no name of a trial.")
        folds = {"super_trial_out": trial.repetition, "user_out": trial.surgeon}
        rows.append(
            {
                "sample_id": name,
                "video_id": video,
                "start_frame": 0,
                "end_frame": num_frames.get(video, 1),
                "final_score": float(sum(elements)),
                "difficulty": 1.0,
                "judge_scores": format_judge_scores(elements),
                "action_class": trial.task,
                "split": "",
                "task": trial.task,
                "fold": folds.get(options.folds) or ratings.folds[name],
                "group": trial.surgeon,
            }
        )
    return check_annotations(pd.DataFrame(rows), source="JIGSAWS")
