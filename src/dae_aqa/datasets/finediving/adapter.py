"""FineDiving from the user's own copy: annotations and folders of frames into tables."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from dae_aqa import scoring
from dae_aqa.datasets.finediving.options import FineDivingOptions
from dae_aqa.datasets.finediving.release import Dive, read_release
from dae_aqa.datasets.frames import ImageFolder, folder_notes, list_frames, look_into
from dae_aqa.datasets.held import judge_missing, require_folders
from dae_aqa.datasets.missing import without_missing
from dae_aqa.datasets.rule_check import rule_notes
from dae_aqa.running.places import user_path
from dae_aqa.tables.annotations import check_annotations, format_judge_scores
from dae_aqa.tables.dataset import DatasetTables, MissingVideo, Note

_KINDS = {7: "seven judges", 3: "three marks that count", 5: "five marks that count, synchronised"}
logger = logging.getLogger(__name__)


def load(options: FineDivingOptions, videos_dir: Path, *, allow_missing: bool) -> DatasetTables:
    """List the frames of the dives in `videos_dir` and return the tables.

    A dive is one sample: all images of its folder, by the broadcast's numbers.

    Args:
        options: where annotations and frames lie.
        videos_dir: folder of the videos, an output of the pipeline.
        allow_missing: go on without the dives whose folders are missing.

    Raises:
        AnnotationError: a folder is missing, annotations are damaged or missing, or two images of a
            folder have the same number.
        DownloadError: folders of dives are missing or empty, and may not be. All are named.
    """
    require_folders(options, "annotations_dir", "frames_dir", dataset="finediving")
    dives, notes = read_release(user_path(options.annotations_dir))
    root = user_path(options.frames_dir)
    events = event_folders(root)
    folders = {
        dive.sample_id: events[dive.event] / str(dive.number)
        for dive in dives
        if dive.event in events
    }
    found = look_into(folders, frames_dir=root)
    missing = [
        MissingVideo(dive.sample_id, 1, "", f"no images of dive {dive.number} of {dive.event}")
        for dive in dives
        if dive.sample_id not in found
    ]
    judge_missing(
        missing,
        dives,
        key="datasets.finediving.frames_dir",
        unit="dive",
        allow_missing=allow_missing,
    )
    list_frames(found, dict.fromkeys(found, 0), videos_dir=videos_dir, of_samples=True)
    annotations = _annotations(dives, found)
    notes += rule_notes(annotations, rule=options.scoring_rule)
    notes += [*_label_notes(dives, found), *folder_notes(found)]
    _log(dives, annotations, rule=options.scoring_rule)
    return without_missing(annotations, notes, missing)


def event_folders(frames_dir: Path) -> dict[str, Path]:
    """Return the folder of each event, which lie in `frames_dir` or one level below."""
    inner = frames_dir / "FINADiving_MTL_256s"
    place = inner if inner.is_dir() else frames_dir
    return {path.name: path for path in sorted(place.iterdir()) if path.is_dir()}


def _annotations(dives: Sequence[Dive], found: Mapping[str, ImageFolder]) -> pd.DataFrame:
    rows = []
    for dive in dives:
        folder = found.get(dive.sample_id)
        rows.append(
            {
                "sample_id": dive.sample_id,
                "video_id": dive.event,
                "start_frame": 0 if folder is None else folder.lowest,
                "end_frame": 1 if folder is None else folder.highest + 1,
                "final_score": dive.final_score,
                "difficulty": dive.difficulty,
                "judge_scores": format_judge_scores(dive.marks),
                "action_class": dive.dive_number.upper(),
                "split": dive.split,
            }
        )
    return check_annotations(pd.DataFrame(rows), source="FineDiving")


def _label_notes(dives: Sequence[Dive], found: Mapping[str, ImageFolder]) -> list[Note]:
    """Return a note for each dive that has more or fewer images than labels of frames."""
    return [
        Note(
            dive.sample_id,
            "images_differ_from_labels",
            f"{len(found[dive.sample_id].images)} images, {dive.num_labels} labelled frames",
        )
        for dive in dives
        if dive.sample_id in found and len(found[dive.sample_id].images) != dive.num_labels
    ]


def _log(dives: Sequence[Dive], annotations: pd.DataFrame, *, rule: str) -> None:
    """Log the sizes of the split, and for how many dives of each kind the marks give the score."""
    counts = annotations["split"].value_counts()
    logger.info("FineDiving: %d training and %d test dives", counts["train"], counts["test"])
    for num_marks, kind in _KINDS.items():
        marked = [dive for dive in dives if len(dive.marks) == num_marks]
        if not marked:
            continue
        differs = scoring.disagrees_with_rule(
            official=[dive.final_score for dive in marked],
            judge_scores=[dive.marks for dive in marked],
            difficulty=[dive.difficulty for dive in marked],
            rule=rule,
        )
        logger.info(
            "FineDiving, %s: the marks give the score of %d of %d dives",
            *(kind, len(marked) - differs.sum(), len(marked)),
        )
