"""What to cite for JIGSAWS, and what others have reached on it."""

from dae_aqa.datasets.base import PublishedResult

CITATION = (
    "Y. Gao et al., JHU-ISI Gesture and Skill Assessment Working Set (JIGSAWS): A Surgical "
    "Activity Dataset for Human Motion Modeling, MICCAI Workshop M2CAI 2014, "
    "https://cirl.lcsr.jhu.edu/research/hmm/datasets/jigsaws_release/"
)
_USDL = "Tang et al., Uncertainty-Aware Score Distribution Learning for AQA, CVPR 2020"
_DAE = "Zhang et al., Auto-Encoding Score Distribution Regression for AQA (2021)"
_PAPERS = {
    "USDL": (0.63, _USDL),
    "MUSDL": (0.70, _USDL),
    "DAE": (0.72, _DAE),
    "DAE-MT": (0.76, _DAE),
    "DAE-CoRe": (0.86, _DAE),
    "CoRe": (0.85, "Yu et al., Group-aware Contrastive Regression for AQA, ICCV 2021"),
}
PUBLISHED = tuple(
    PublishedResult(
        label=f"{name}, published (mean over tasks, MUSDL's folds)",
        rho=rho,
        scale="final",
        source=source,
    )
    for name, (rho, source) in _PAPERS.items()
)
