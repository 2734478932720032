"""The section `datasets.aqa7`."""

from __future__ import annotations

from dae_aqa.datasets.options import HeldDatasetOptions, held_somehow
from dae_aqa.options import UserPath


class Aqa7Options(HeldDatasetOptions):
    """Where AQA-7 lies, and the scale of its scores.

    Attributes:
        annotations_dir: folder with the two lists of split 4, at any depth.
        videos_dir: folder with `<sport>/001.avi`, or None.
        frames_dir: folder with `<sport>-out/001/img_00001.jpg`, which goes before videos, or None.
        normalize_scores: scale each class to 0 … 100 by its published range.
    """

    RULES = (held_somehow,)

    annotations_dir: UserPath
    videos_dir: UserPath | None
    normalize_scores: bool
