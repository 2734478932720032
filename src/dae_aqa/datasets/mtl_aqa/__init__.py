"""MTL-AQA: 1,412 dives from 15 broadcasts, with marks of seven judges (Parmar and Morris 2019)."""

from dae_aqa.datasets.mtl_aqa.release import ReleaseReport, read_release

__all__ = ["ReleaseReport", "read_release"]
