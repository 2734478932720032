"""What to cite for MTL-AQA, and what others have reached on it."""

from dae_aqa.datasets.papers import CORE, DAE, USDL, Figures, published_results

CITATION = (
    "P. Parmar and B. Tran Morris, What and How Well You Performed? A Multitask Learning Approach "
    "to Action Quality Assessment, CVPR 2019, https://github.com/ParitoshParmar/MTL-AQA"
)
PUBLISHED = published_results(
    {  # with degrees of difficulty, but for DAE, whose paper has it without
        "DAE": Figures(0.9231, DAE),
        "DAE-MT": Figures(0.9452, DAE),
        "USDL": Figures(0.9231, USDL, rl2_x100=0.468),
        "MUSDL": Figures(0.9273, USDL, rl2_x100=0.451),
        "CoRe": Figures(0.9512, CORE, rl2_x100=0.260),
        "DAE-CoRe": Figures(0.9589, DAE),
    }
)
