"""The section `datasets.finediving`."""

from __future__ import annotations

from dae_aqa.datasets.options import HeldDatasetOptions
from dae_aqa.options import UserPath
from dae_aqa.scoring import RuleName


class FineDivingOptions(HeldDatasetOptions):
    """Where FineDiving lies.

    Attributes:
        annotations_dir: folder with the four published pickles, at any depth.
        frames_dir: folder with `<event>/<n>/00489.jpg`, or with a folder `FINADiving_MTL_256s` of
            these.
    """

    PERFORMANCES_OF = "mtl_aqa"

    annotations_dir: UserPath
    frames_dir: UserPath  # the release has no videos
    scoring_rule: RuleName
