"""What to cite for AQA-7, and what others have reached on it."""

from dae_aqa.datasets.papers import CORE, TPT, USDL, Figures, published_results

CITATION = (
    "P. Parmar and B. Tran Morris, Action Quality Assessment Across Multiple Actions, WACV 2019, "
    "http://rtis.oit.unlv.edu/datasets.html"
)
PUBLISHED = published_results(
    {
        "USDL": Figures(0.8102, USDL, rl2_x100=2.57),
        "CoRe": Figures(0.840, CORE, rl2_x100=2.12),
        "TPT": Figures(0.872, TPT, rl2_x100=1.68),
    },
    of="mean over classes",
)
