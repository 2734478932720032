"""What to cite for MTL-AQA, and what others have reached on it."""

from dae_aqa.datasets.base import PublishedResult

CITATION = (
    "P. Parmar and B. Tran Morris, What and How Well You Performed? A Multitask Learning Approach "
    "to Action Quality Assessment, CVPR 2019, https://github.com/ParitoshParmar/MTL-AQA"
)
_DAE = "Zhang et al., Auto-Encoding Score Distribution Regression for AQA (2021)"
PUBLISHED = (
    PublishedResult(label="DAE, published", rho=0.9231, scale="final", source=_DAE),
    PublishedResult(label="DAE-MT, published", rho=0.9452, scale="final", source=_DAE),
)
