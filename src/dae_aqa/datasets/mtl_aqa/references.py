"""What to cite for MTL-AQA, and what others have reached on it."""

from dae_aqa.datasets.base import PublishedResult

CITATION = (
    "P. Parmar and B. Tran Morris, What and How Well You Performed? A Multitask Learning Approach "
    "to Action Quality Assessment, CVPR 2019, https://github.com/ParitoshParmar/MTL-AQA"
)
_USDL = "Tang et al., Uncertainty-Aware Score Distribution Learning for AQA, CVPR 2020"
_DAE = "Zhang et al., Auto-Encoding Score Distribution Regression for AQA (2021)"
_CORE = "Yu et al., Group-aware Contrastive Regression for AQA, ICCV 2021"
# with degrees of difficulty, but for DAE, whose paper has it without
_PAPERS = {
    "DAE": (0.9231, _DAE),
    "DAE-MT": (0.9452, _DAE),
    "USDL": (0.9231, _USDL),
    "MUSDL": (0.9273, _USDL),
    "CoRe": (0.9512, _CORE),
    "DAE-CoRe": (0.9589, _DAE),
}
PUBLISHED = tuple(
    PublishedResult(label=f"{name}, published", rho=rho, scale="final", source=source)
    for name, (rho, source) in _PAPERS.items()
)
