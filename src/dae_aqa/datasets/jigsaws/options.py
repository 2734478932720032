"""The section `datasets.jigsaws`."""

from __future__ import annotations

from typing import Literal

from dae_aqa.datasets.options import HeldDatasetOptions, held_somehow
from dae_aqa.options import UserPath
from dae_aqa.scoring import RuleName

Camera = Literal["capture1", "capture2"]
Folds = Literal["musdl", "super_trial_out", "user_out"]


class JigsawsOptions(HeldDatasetOptions):
    """Where JIGSAWS lies, and which folds are tested.

    Attributes:
        annotations_dir: folder with the official tree's `meta_file_<Task>.txt`, or with MUSDL's
            `label.pkl` and `splits.pkl`, at any depth; or with both.
        videos_dir: folder with the videos, such as `Suturing_B001_capture1.avi`, at any depth; or
            None.
        frames_dir: folder with folders of frames, such as `Suturing_B001_capture1`, at any depth,
            which go before videos; or None.
        camera: which of a trial's two videos is scored.
        folds: `musdl`: the four folds that papers compare on; `super_trial_out`: each repetition of
            all surgeons; `user_out`: each surgeon.
    """

    RULES = (held_somehow,)

    annotations_dir: UserPath
    videos_dir: UserPath | None
    camera: Camera
    folds: Folds
    scoring_rule: RuleName
