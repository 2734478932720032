"""The section `datasets.jigsaws`."""

from __future__ import annotations

from typing import Literal

from dae_aqa.datasets.options import DatasetOptions
from dae_aqa.options import UserPath
from dae_aqa.scoring import RuleName

Camera = Literal["capture1", "capture2"]
Folds = Literal["musdl", "super_trial_out", "user_out"]


class JigsawsOptions(DatasetOptions):
    """Where JIGSAWS lies, and which folds are tested.

    Attributes:
        annotations_dir: folder with the official tree's `meta_file_<Task>.txt`, or with MUSDL's
            `label.pkl` and `splits.pkl`, at any depth; or with both.
        videos_dir: folder with the videos, such as `Suturing_B001_capture1.avi`, at any depth.
        camera: which of a trial's two videos is scored.
        folds: `musdl`: the four folds that papers compare on; `super_trial_out`: each repetition of
            all surgeons; `user_out`: each surgeon.
    """

    annotations_dir: UserPath
    videos_dir: UserPath
    camera: Camera
    folds: Folds
    scoring_rule: RuleName
