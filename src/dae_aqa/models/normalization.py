"""What the pixels of a clip are normalised with."""

from __future__ import annotations

from typing import Annotated

from dae_aqa.options import FROM_LIST, Options, PositiveFloat


class Normalization(Options):
    """Mean and standard deviation per channel, on RGB in [0, 1]."""

    mean: Annotated[tuple[float, float, float], FROM_LIST]
    std: Annotated[tuple[PositiveFloat, PositiveFloat, PositiveFloat], FROM_LIST]


# Source: ImageNet statistics as torchvision publishes them; the released DAE code uses them.
IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
# Source: Kinetics-400 statistics of torchvision's video models.
KINETICS = Normalization(mean=(0.43216, 0.394666, 0.37645), std=(0.22803, 0.22145, 0.216989))
# Maps [0, 1] to [-1, 1], as the original I3D was trained (Carreira and Zisserman 2017).
HALF = Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

NORMALIZATIONS = {"imagenet": IMAGENET, "kinetics": KINETICS, "half": HALF}
