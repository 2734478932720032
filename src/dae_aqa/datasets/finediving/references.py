"""What to cite for FineDiving, and what others have reached on it."""

from dae_aqa.datasets.papers import FINEDIVING, Figures, published_results

CITATION = (
    "J. Xu et al., FineDiving: A Fine-grained Dataset for Procedure-aware Action Quality "
    "Assessment, CVPR 2022, https://github.com/xujinglin/FineDiving"
)
PUBLISHED = published_results(
    {"CoRe": Figures(0.9061, f"as quoted by {FINEDIVING}", rl2_x100=0.361)}
)
