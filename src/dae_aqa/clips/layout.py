"""Which frames of a sample's window make which clip."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from pydantic import Field

from dae_aqa.options import FROM_LIST, Options, Pixels

# Far above what anyone trains; a file or an option that asks for more would only fill the memory.
_MAX_CLIP_FRAMES = 2_000_000  # of all clips together
_MAX_SIZE_PX = 2048

FrameNumber = Annotated[int, Field(ge=0, le=100_000)]  # more than an hour
FrameCount = Annotated[int, Field(ge=1, le=100_000)]


def _has_clips(layout: ClipLayout) -> Iterator[str]:
    if not layout.starts:
        yield "starts: needs at least one clip start."


def _clips_fit_memory(layout: ClipLayout) -> Iterator[str]:
    if len(layout.starts) * layout.num_frames > _MAX_CLIP_FRAMES:
        yield f"starts: {len(layout.starts)} clips of {layout.num_frames} frames are too many."


def _frames_fit_memory(layout: ClipLayout) -> Iterator[str]:
    if layout.size_px + 2 * layout.jitter_px > _MAX_SIZE_PX:
        yield (
            f"jitter_px: {layout.jitter_px} on either side of size_px {layout.size_px} makes more "
            f"than {_MAX_SIZE_PX} px; lower one of the two."
        )


class ClipLayout(Options):
    """How a sample's window becomes clips; saved with a model, which works with this layout alone.

    Attributes:
        starts: first frame of each clip within the window, K of them.
        num_frames: frames per clip, T.
        stride: window frames from one clip frame to the next.
        crop_px: side of the centre square that is cut from a stored frame.
        size_px: side to which that square is scaled, S.
        jitter_px: scaled pixels by which training may move the square, either way in x and y.
    """

    RULES = (_has_clips, _clips_fit_memory, _frames_fit_memory)

    starts: Annotated[tuple[FrameNumber, ...], FROM_LIST]
    num_frames: FrameCount
    stride: FrameCount
    crop_px: Pixels
    size_px: Annotated[int, Field(ge=16, le=_MAX_SIZE_PX)]
    jitter_px: Annotated[int, Field(ge=0, le=_MAX_SIZE_PX)]

    @property
    def frame_indices(self) -> np.ndarray:
        """Window frames that any clip uses, ascending without repetition, int64 of shape (F,)."""
        return np.unique(self._clip_frames())

    @property
    def reach(self) -> int:
        """Length in frames that a window needs, since the last frame of a clip is its last."""
        return max(self.starts) + (self.num_frames - 1) * self.stride + 1

    @property
    def clip_positions(self) -> np.ndarray:
        """For each clip the positions of its frames in `frame_indices`, int64 of shape (K, T)."""
        return np.searchsorted(self.frame_indices, self._clip_frames())

    @property
    def padded_size_px(self) -> int:
        """Side of a scaled frame before the jitter cuts `size_px` out of it."""
        return self.size_px + 2 * self.jitter_px

    @property
    def padded_crop_px(self) -> int:
        """Side of the square in the stored frame that becomes `padded_size_px`."""
        return round(self.crop_px * self.padded_size_px / self.size_px)

    def _clip_frames(self) -> np.ndarray:
        starts = np.asarray(self.starts, dtype=np.int64)
        return starts[:, None] + self.stride * np.arange(self.num_frames, dtype=np.int64)


# DAE's: ten clips of a window of 103 frames, the centre of 455x256 px, not scaled.
# Source: arXiv 2111.11029, section 4.1.
PUBLISHED_LAYOUT = ClipLayout(
    starts=(0, 10, 20, 30, 40, 50, 60, 70, 80, 87),
    num_frames=16,
    stride=1,
    crop_px=224,
    size_px=224,
    jitter_px=0,
)
