"""What to cite for JIGSAWS."""

CITATION = (
    "Y. Gao et al., JHU-ISI Gesture and Skill Assessment Working Set (JIGSAWS): A Surgical "
    "Activity Dataset for Human Motion Modeling, MICCAI Workshop M2CAI 2014, "
    "https://cirl.lcsr.jhu.edu/research/hmm/datasets/jigsaws_release/"
)
