"""Papers whose figures datasets show beside the model's own, and how those figures are listed.

Rank correlations and R-l2 were chosen on the test samples by all of them. R-l2 is given as the
papers, or those that followed, quote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from dae_aqa.datasets.base import PublishedResult

USDL = "Tang et al., Uncertainty-Aware Score Distribution Learning for AQA, CVPR 2020"
DAE = "Zhang et al., Auto-Encoding Score Distribution Regression for AQA (2021)"
CORE = "Yu et al., Group-aware Contrastive Regression for AQA, ICCV 2021"
TPT = "Bai et al., Action Quality Assessment with Temporal Parsing Transformer, ECCV 2022"
FINEDIVING = "Xu et al., FineDiving: A Fine-grained Dataset for AQA, CVPR 2022"


class Figures(NamedTuple):
    """What a paper reports of a method.

    Attributes:
        rho: Spearman's rank correlation.
        paper: where it stands.
        rl2_x100: R-l2 times 100; None where none is known.
    """

    rho: float
    paper: str
    rl2_x100: float | None = None


def published_results(
    figures: Mapping[str, Figures], *, of: str = ""
) -> tuple[PublishedResult, ...]:
    """Return the figures as results on final scores.

    Args:
        figures: by the method's name.
        of: what they are of, where that is not the official test split: 'mean over classes'.
    """
    return tuple(
        PublishedResult(
            label=f"{name}, published{f' ({of})' if of else ''}",
            rho=each.rho,
            rl2_x100=each.rl2_x100,
            scale="final",
            source=each.paper,
        )
        for name, each in figures.items()
    )
