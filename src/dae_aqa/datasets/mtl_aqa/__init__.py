"""MTL-AQA: 1,412 dives from 15 broadcasts, with the marks of seven judges.

Source: P. Parmar and B. Tran Morris, "What and How Well You Performed? A Multitask Learning
Approach to Action Quality Assessment", CVPR 2019, https://github.com/ParitoshParmar/MTL-AQA
"""

from dae_aqa.datasets.mtl_aqa.download import download
from dae_aqa.datasets.mtl_aqa.release import ReleaseReport, read_release

__all__ = ["ReleaseReport", "download", "read_release"]
