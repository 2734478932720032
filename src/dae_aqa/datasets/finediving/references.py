"""What to cite for FineDiving, and what others have reached on it."""

from dae_aqa.datasets.base import PublishedResult

CITATION = (
    "J. Xu et al., FineDiving: A Fine-grained Dataset for Procedure-aware Action Quality "
    "Assessment, CVPR 2022, https://github.com/xujinglin/FineDiving"
)
PUBLISHED = (
    PublishedResult(
        label="CoRe, published",
        rho=0.9061,
        scale="final",
        source="as quoted by Xu et al., FineDiving, CVPR 2022",
    ),
)
