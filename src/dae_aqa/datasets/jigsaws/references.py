"""What to cite for JIGSAWS, and what others have reached on it."""

from dae_aqa.datasets.papers import CORE, DAE, USDL, Figures, published_results

CITATION = (
    "Y. Gao et al., JHU-ISI Gesture and Skill Assessment Working Set (JIGSAWS): A Surgical "
    "Activity Dataset for Human Motion Modeling, MICCAI Workshop M2CAI 2014, "
    "https://cirl.lcsr.jhu.edu/research/hmm/datasets/jigsaws_release/"
)
PUBLISHED = published_results(
    {
        "USDL": Figures(0.63, USDL),
        "MUSDL": Figures(0.70, USDL),
        "DAE": Figures(0.72, DAE),
        "DAE-MT": Figures(0.76, DAE),
        "DAE-CoRe": Figures(0.86, DAE),
        "CoRe": Figures(0.85, CORE),
    },
    of="mean over tasks, MUSDL's folds",
)
