"""Frames of MTL-AQA as researchers hold them: a folder for each broadcast, or for each dive.

    <frames_dir>/07/000001.jpg …       broadcast 7, numbered from 1
    <frames_dir>/07_25/40170.jpg …     dive 25 of it, by the broadcast's numbers, or from 0 or 1

The folder of a dive whose last annotated frame is E begins at E - 105, where numbers from 1 count.
The window that papers describe, E - 102 … E, begins at its fourth image. Released code (MUSDL, DAE,
TPT) tests from the first one.

Source: released code of DAE and MUSDL (`dataloader.py`, `dataset.py`), CoRe (`MTLPair.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dae_aqa.datasets.frames import ImageFolder, folder_notes, list_frames, look_into
from dae_aqa.datasets.mtl_aqa.layout import Key, sample_id, sample_key, video_id
from dae_aqa.errors import AnnotationError
from dae_aqa.tables.dataset import MissingVideo, Note
from dae_aqa.wording import problem_list

NUM_EARLY_FRAMES = 3  # from the start of a dive's folder to the window that papers describe
_FIRST_BEFORE_END = 105  # a dive's folder begins so many frames before the last annotated one


@dataclass(frozen=True, kw_only=True)
class DiveFrames:
    """What was listed: what is missing, and what is odd."""

    missing: list[MissingVideo]
    notes: list[Note]


def frame_folders(frames_dir: Path) -> Path:
    """Return the folder that holds the folders of images: `frames_dir/frames`, or itself."""
    inner = frames_dir / "frames"
    return inner if inner.is_dir() else frames_dir


def info_folder(frames_dir: Path) -> Path:
    """Return where released code keeps its pickles: the folder `info` beside the frames."""
    return frame_folders(frames_dir).parent / "info"


def folders_of(keys: Iterable[Key], frames_dir: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the folders of those dives that have one, and those of the others' broadcasts.

    Args:
        keys: the dives.
        frames_dir: the user's folder.

    Returns:
        Folders by `sample_id`, and folders by `video_id`.
    """
    place = frame_folders(frames_dir)
    names = {path.name for path in place.iterdir() if path.is_dir()}
    dives, broadcasts = {}, {}
    for video, dive in keys:
        key = sample_id((video, dive))
        own = [name for name in (f"{video:02d}_{dive:02d}", key) if name in names]
        if own:
            dives[key] = place / own[0]
        elif video_id(video) in names:
            broadcasts[video_id(video)] = place / video_id(video)
    return dives, broadcasts


def list_dives(
    annotations: pd.DataFrame,
    *,
    frames_dir: Path,
    videos_dir: Path,
    released_window: bool,
) -> DiveFrames:
    """Write the lists of frames of the dives to `videos_dir`.

    Args:
        annotations: the dives, with the window that papers describe.
        frames_dir: the user's folder.
        videos_dir: folder of the videos, an output of the pipeline.
        released_window: whether the window of released code is used, for the notes.

    Raises:
        AnnotationError: two images of a folder have the same number, or folders of dives have
            numbers that are neither the broadcast's nor count from 0 or 1.
    """
    own, whole = folders_of(map(sample_key, annotations["sample_id"]), frames_dir)
    dives = look_into(own, frames_dir=frames_dir)
    broadcasts = look_into(whole, frames_dir=frames_dir)
    ends = dict(zip(annotations["sample_id"], annotations["end_frame"], strict=True))
    first = _first_of_dives(dives, ends)
    list_frames(dives, first, videos_dir=videos_dir, of_samples=True)
    from_zero = {name: min(folder.lowest, 1) for name, folder in broadcasts.items()}
    list_frames(broadcasts, from_zero, videos_dir=videos_dir, of_samples=False)
    missing = [
        MissingVideo(name, 1, "", f"no images in {frame_folders(frames_dir)}")
        for name, video in annotations[["sample_id", "video_id"]].itertuples(index=False)
        if name not in dives and video not in broadcasts
    ]
    used = "the released reading (released_window)" if released_window else "that window"
    early = [
        Note(
            name,
            "folder_begins_early",
            f"{folder.folder.name} begins {NUM_EARLY_FRAMES} frames before the window that papers "
            f"describe, and released code reads from its first image; here {used} is used",
        )
        for name, folder in dives.items()
        if folder.lowest - first[name] == ends[name] - 1 - _FIRST_BEFORE_END
    ]
    return DiveFrames(
        missing=missing, notes=[*folder_notes(dives), *folder_notes(broadcasts), *early]
    )


def _first_of_dives(dives: Mapping[str, ImageFolder], ends: Mapping[str, int]) -> dict[str, int]:
    """Return the number in a file's name that means frame 0 of the broadcast, for each folder.

    Frame f of a broadcast is its image f + 1. A folder that begins nearer to E - 105 than to 0 has
    the broadcast's numbers. All others count from the same number, the lowest of most of them.

    Raises:
        AnnotationError: folders fit neither; all of them are named.
    """
    starts = {name: ends[name] - _FIRST_BEFORE_END for name in dives}
    counted = {
        name: folder.lowest
        for name, folder in dives.items()
        if abs(folder.lowest) < abs(folder.lowest - starts[name])
    }
    start, _ = Counter(counted.values()).most_common(1)[0] if counted else (0, 0)
    unfit = [
        f"{folder.folder}: numbers {folder.lowest} to {folder.highest}; expected the broadcast's "
        f"around {starts[name]} to {ends[name]}, or 0 or 1 for image {starts[name]}"
        for name, folder in dives.items()
        if (start not in (0, 1) if name in counted else folder.lowest > ends[name])
    ]
    if unfit:
        raise AnnotationError(
            f"{problem_list(unfit)}\nsrc/dae_aqa/datasets/mtl_aqa/README.md shows the layouts."
        )
    return {name: start - (starts[name] - 1) if name in counted else 1 for name in dives}
