"""The section `datasets.aqa7`."""

from __future__ import annotations

from dae_aqa.datasets.options import DatasetOptions
from dae_aqa.options import UserPath


class Aqa7Options(DatasetOptions):
    """Where AQA-7 lies, and the scale of its scores.

    Attributes:
        annotations_dir: folder with the two lists of split 4, at any depth.
        videos_dir: folder with `<sport>/001.avi`.
        normalize_scores: scale each class to 0 … 100 by its published range.
    """

    annotations_dir: UserPath
    videos_dir: UserPath
    normalize_scores: bool
