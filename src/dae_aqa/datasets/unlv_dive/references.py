"""What to cite for UNLV-Dive."""

CITATION = (
    "P. Parmar and B. Tran Morris, Learning to Score Olympic Events, CVPR Workshops 2017, "
    "http://rtis.oit.unlv.edu/datasets.html"
)
