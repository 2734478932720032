"""The random choices of training for one sample in one epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dae_aqa.clips.layout import ClipLayout


@dataclass(frozen=True)
class Augmentation:
    """The random choices for one sample in one epoch; `Augmentation.none` for evaluation."""

    shift_frames: int
    flip: bool
    offset_y_px: int
    offset_x_px: int
    color_gains: tuple[float, float, float]

    @classmethod
    def none(cls, layout: ClipLayout) -> Augmentation:
        """Return no shift, no flip, the centre of the frame and its own colours."""
        centre = layout.jitter_px
        return cls(
            0,
            flip=False,
            offset_y_px=centre,
            offset_x_px=centre,
            color_gains=(1.0, 1.0, 1.0),
        )


@dataclass(frozen=True)
class Augmenter:
    """Draws the random choices of training.

    Attributes:
        num_shifts: the window moves to one of `num_shifts + 1` places around its own. With 6 that
            is -3 … +3 frames, as in CoRe's released code; DAE's draws 0 … 6 within samples that
            were cut with six frames more.
        flip: whether half of the draws mirror the sample.
        color_jitter: each colour is scaled by 1 ± up to this.
        seed: of the training run.
    """

    num_shifts: int
    flip: bool
    color_jitter: float
    seed: int

    def draw(self, layout: ClipLayout, *, epoch: int, index: int) -> Augmentation:
        """Return choices that depend on (seed, epoch, sample index) alone.

        So they are the same for any number of loader workers, and after a resume.

        Args:
            layout: gives the range of the spatial offsets, 0 … 2 * jitter_px.
            epoch: counted from 0.
            index: of the sample in its dataset.
        """
        rng = np.random.default_rng([self.seed, epoch, index])
        shift = int(rng.integers(self.num_shifts + 1)) - self.num_shifts // 2
        mirrored = bool(rng.random() < 0.5) and self.flip
        offset_y, offset_x = rng.integers(0, 2 * layout.jitter_px + 1, size=2).tolist()
        low, high = 1 - self.color_jitter, 1 + self.color_jitter
        red, green, blue = rng.uniform(low, high, size=3).tolist()
        return Augmentation(
            shift,
            flip=mirrored,
            offset_y_px=offset_y,
            offset_x_px=offset_x,
            color_gains=(red, green, blue),
        )
