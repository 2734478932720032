"""Which frames of a sample make which clip, and the random choices of training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Far above what anyone trains; a file or an option that asks for more would only fill the memory.
_MAX_FRAMES = 100_000  # more than an hour
_MAX_CLIP_FRAMES = 2_000_000  # of all clips together
_MAX_SIZE_PX = 2048


@dataclass(frozen=True)
class ClipLayout:
    """How a sample's window becomes clips; saved with a model, which works with this layout alone.

    The published layout of DAE is ten clips of 16 frames starting at 0, 10, …, 80, 87 of 103, a
    centre crop of 224 px out of 455x256, not scaled.
    Source: arXiv 2111.11029, section 4.1.

    Attributes:
        starts: first frame of each clip within the window, K of them.
        num_frames: frames per clip, T.
        stride: window frames from one clip frame to the next.
        crop_px: side of the centre square that is cut from a stored frame.
        size_px: side to which that square is scaled, S.
        jitter_px: scaled pixels by which training may move the square, either way in x and y.
    """

    starts: tuple[int, ...]
    num_frames: int
    stride: int
    crop_px: int
    size_px: int
    jitter_px: int

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


def layout_faults(layout: ClipLayout) -> list[str]:
    """Return what makes a layout unusable, a text per fault; none for one that can be used.

    A layout that comes from a file or from options may hold anything.
    """
    ranges = {
        "num_frames": (1, _MAX_FRAMES),
        "stride": (1, _MAX_FRAMES),
        "crop_px": (1, _MAX_SIZE_PX),
        "size_px": (1, _MAX_SIZE_PX),
        "jitter_px": (0, _MAX_SIZE_PX),
    }
    faults = [
        f"{name} must be a whole number from {least} to {most}, got {_brief(getattr(layout, name))}"
        for name, (least, most) in ranges.items()
        if not _is_whole(getattr(layout, name), least, most)
    ]
    starts = layout.starts
    if not isinstance(starts, tuple) or not starts:
        faults.append(f"starts must list the first frame of each clip, got {_brief(starts)}")
    elif not all(_is_whole(start, 0, _MAX_FRAMES) for start in starts):
        faults.append(f"starts must be whole numbers from 0 to {_MAX_FRAMES}, got {_brief(starts)}")
    if faults:
        return faults
    if len(starts) * layout.num_frames > _MAX_CLIP_FRAMES:
        faults.append(f"{len(starts)} clips of {layout.num_frames} frames are too many")
    if layout.padded_size_px > _MAX_SIZE_PX:
        faults.append(f"size_px with twice the jitter_px must be at most {_MAX_SIZE_PX}")
    return faults


def _is_whole(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


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

    @classmethod
    def draw(
        cls,
        layout: ClipLayout,
        *,
        flip: bool,
        num_shifts: int,
        color_jitter: float,
        seed: int,
        epoch: int,
        index: int,
    ) -> Augmentation:
        """Return choices that depend on (seed, epoch, sample index) alone.

        So they are the same for any number of loader workers, and after a resume.

        Args:
            layout: gives the range of the spatial offsets, 0 … 2 * jitter_px.
            flip: whether half of the draws mirror the sample.
            num_shifts: the window moves to one of `num_shifts + 1` places around its own. With 6
                that is -3 … +3 frames, as in CoRe's released code; DAE's draws 0 … 6 within samples
                that were cut with six frames more.
            color_jitter: each colour is scaled by 1 ± up to this.
            seed: of the training run.
            epoch: counted from 0.
            index: of the sample in its dataset.
        """
        rng = np.random.default_rng([seed, epoch, index])
        shift = int(rng.integers(num_shifts + 1)) - num_shifts // 2
        mirrored = bool(rng.random() < 0.5) and flip
        offset_y, offset_x = rng.integers(0, 2 * layout.jitter_px + 1, size=2).tolist()
        red, green, blue = rng.uniform(1 - color_jitter, 1 + color_jitter, size=3).tolist()
        return cls(
            shift,
            flip=mirrored,
            offset_y_px=offset_y,
            offset_x_px=offset_x,
            color_gains=(red, green, blue),
        )
