"""What to cite for AQA-7, and what others have reached on it."""

from dae_aqa.datasets.base import PublishedResult

CITATION = (
    "P. Parmar and B. Tran Morris, Action Quality Assessment Across Multiple Actions, WACV 2019, "
    "http://rtis.oit.unlv.edu/datasets.html"
)
PUBLISHED = (
    PublishedResult(
        label="USDL, published (mean over classes)",
        rho=0.8102,
        scale="final",
        source="Tang et al., Uncertainty-Aware Score Distribution Learning for AQA, CVPR 2020",
    ),
    PublishedResult(
        label="CoRe, published (mean over classes)",
        rho=0.840,
        scale="final",
        source="Yu et al., Group-aware Contrastive Regression for AQA, ICCV 2021",
    ),
    PublishedResult(
        label="TPT, published (mean over classes)",
        rho=0.872,
        scale="final",
        source="Bai et al., Action Quality Assessment with Temporal Parsing Transformer, ECCV 2022",
    ),
)
