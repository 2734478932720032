"""The section `train.clips`: how clips are cut from a sample's frames, and varied in training."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dae_aqa.clips.layout import ClipLayout
from dae_aqa.models.normalization import NORMALIZATIONS
from dae_aqa.options import one_of

NORMALIZATION_NAMES = ("backbone", *NORMALIZATIONS)


class ClipOptions(ClipLayout):
    """The layout of the clips, and what training does with them.

    Attributes:
        flip: mirror half of the samples.
        color_jitter: each colour is scaled by 1 ± up to this.
        normalization: of the pixels; `backbone` is what the backbone was trained with.
        cache: keep the scaled frames in memory.
    """

    flip: bool
    color_jitter: Annotated[float, Field(ge=0, le=0.9)]
    normalization: Annotated[str, one_of(NORMALIZATION_NAMES)]
    cache: bool

    @property
    def layout(self) -> ClipLayout:
        """The layout alone, as a model keeps it."""
        return ClipLayout(**{name: getattr(self, name) for name in ClipLayout.model_fields})
