"""The torch dataset: packed samples in, uint8 frames with their augmentation out."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from dae_aqa.clips.augmentation import Augmentation, Augmenter
from dae_aqa.clips.decode import decode_frames
from dae_aqa.clips.layout import ClipLayout
from dae_aqa.errors import FrameStoreError
from dae_aqa.packs.store import PackedSample
from dae_aqa.running.progress import Progress


@dataclass(frozen=True)
class SampleFrames:
    """What the dataset gives for one sample, still in uint8.

    Attributes:
        index: the sample's row.
        frames: uint8 RGB, (F, 3, P, P): the frames of `ClipLayout.frame_indices`, scaled to side
            P = `ClipLayout.padded_size_px`.
        augmentation: to be applied on the device, except for the shift, which has been.
    """

    index: int
    frames: Tensor
    augmentation: Augmentation


@dataclass(frozen=True)
class FrameBatch:
    """Samples stacked for one step; N samples, in the order of `indices`.

    Attributes:
        indices: int64, (N,), rows of the samples.
        frames: uint8 RGB, (N, F, 3, P, P).
        flips: bool, (N,).
        offsets_px: int64, (N, 2), upper left corner (y, x) of the square that is used.
        color_gains: float32, (N, 3), factors on red, green and blue.
    """

    indices: Tensor
    frames: Tensor
    flips: Tensor
    offsets_px: Tensor
    color_gains: Tensor

    @classmethod
    def of_windows(cls, windows: Sequence[Tensor], layout: ClipLayout) -> FrameBatch:
        """Return windows that are held in memory as one batch, not augmented.

        Args:
            windows: uint8 RGB, (F, 3, P, P) each: the frames of `ClipLayout.frame_indices`, as
                `scale_frames` gives them.
            layout: of the clips.
        """
        plain = Augmentation.none(layout)
        return collate([SampleFrames(row, frames, plain) for row, frames in enumerate(windows)])

    def pin_memory(self) -> FrameBatch:
        """Return the batch in page-locked memory, for non-blocking copies to a GPU."""
        return FrameBatch(
            self.indices.pin_memory(),
            self.frames.pin_memory(),
            self.flips.pin_memory(),
            self.offsets_px.pin_memory(),
            self.color_gains.pin_memory(),
        )


def collate(samples: Sequence[SampleFrames]) -> FrameBatch:
    """Stack samples into one batch."""
    chosen = [sample.augmentation for sample in samples]
    return FrameBatch(
        indices=torch.tensor([sample.index for sample in samples]),
        frames=torch.stack([sample.frames for sample in samples]),
        flips=torch.tensor([choice.flip for choice in chosen]),
        offsets_px=torch.tensor([[choice.offset_y_px, choice.offset_x_px] for choice in chosen]),
        color_gains=torch.tensor([choice.color_gains for choice in chosen]),
    )


class SampleDataset(Dataset[SampleFrames]):
    """Reads packed samples; with `cache`, decodes each once and keeps its scaled frames in memory.

    Items are asked for by `(epoch, index)`; without an epoch they are not augmented.

    Args:
        sample_ids: the samples, one packed file `<sample_id>.zip` each.
        frames_dir: folder of the packed files.
        layout: which frames, and their size.
        augmenter: draws the augmentations of training; None for none.
        cache: keep the scaled frames, about F * 3 * P * P bytes a sample.

    Raises:
        FrameStoreError: a packed sample is missing, damaged, or too short for the layout.
    """

    def __init__(
        self,
        *,
        sample_ids: Sequence[str],
        frames_dir: Path,
        layout: ClipLayout,
        augmenter: Augmenter | None,
        cache: bool,
    ) -> None:
        self.sample_ids = list(sample_ids)
        self.layout = layout
        self._augmenter = augmenter
        self._frames_dir = frames_dir
        self._cache = self._decode_all() if cache else None

    def __len__(self) -> int:
        return len(self.sample_ids)

    def __getitem__(self, key: tuple[int | None, int]) -> SampleFrames:
        # the epoch comes with the key, so that loader workers hold no state that could go stale
        epoch, index = key
        choice = (
            Augmentation.none(self.layout)
            if self._augmenter is None or epoch is None
            else self._augmenter.draw(self.layout, epoch=epoch, index=index)
        )
        wanted = self.layout.frame_indices + choice.shift_frames
        if self._cache is not None:
            rows = np.searchsorted(self._cached_rows(), wanted)
            return SampleFrames(index, self._cache[index][torch.from_numpy(rows)], choice)
        pack = self._open(index)
        return SampleFrames(index, self._read(pack, self._pack_rows(pack, wanted)), choice)

    def _open(self, index: int) -> PackedSample:
        pack = PackedSample.open(self._frames_dir / f"{self.sample_ids[index]}.zip")
        needed = self.layout.reach
        if pack.meta.window_length < needed:
            raise FrameStoreError(
                f"{self.sample_ids[index]}: the packed sample has a window of "
                f"{pack.meta.window_length} frames, but the clips reach to frame {needed}. "
                "Extract again with a larger extract_frames.num_frames, or shorten train.clips."
            )
        return pack

    def _pack_rows(self, pack: PackedSample, window_rows: np.ndarray) -> np.ndarray:
        """Return the pack's images for window frames; past its ends, the first or last repeats."""
        rows: np.ndarray = np.clip(
            window_rows + pack.meta.window_offset, 0, pack.meta.num_frames - 1
        )
        return rows

    def _read(self, pack: PackedSample, rows: np.ndarray) -> Tensor:
        """Decode and scale the pack's frames `rows`: uint8, (len(rows), 3, P, P)."""
        side = self.layout.padded_size_px
        frames = torch.empty((len(rows), 3, side, side), dtype=torch.uint8)
        for place, image in enumerate(decode_frames(pack.read(rows.tolist()))):
            frames[place] = scale_frames(image[None], self.layout)[0]
        return frames

    def _cached_rows(self) -> np.ndarray:
        """Return the window frames that the cache holds of each sample, ascending."""
        used = self.layout.frame_indices
        if self._augmenter is None or not self._augmenter.num_shifts:
            return used
        num_shifts = self._augmenter.num_shifts
        before = num_shifts // 2
        return np.arange(used[0] - before, used[-1] + num_shifts - before + 1)

    def _decode_all(self) -> list[Tensor]:
        """Return the frames `_cached_rows` of each sample."""
        window_rows = self._cached_rows()

        def decode(index: int) -> Tensor:
            pack = self._open(index)
            return self._read(pack, self._pack_rows(pack, window_rows))

        decoded = []
        with (
            ThreadPoolExecutor(max_workers=torch.get_num_threads()) as pool,
            Progress("decode", total=len(self), unit="sample") as bar,
        ):
            for frames in pool.map(decode, range(len(self))):
                decoded.append(frames)
                bar.advance()
        return decoded


def scale_frames(frames: Tensor, layout: ClipLayout) -> Tensor:
    """Cut the centre square and scale it.

    Args:
        frames: uint8, (T, 3, H, W), stored frames.
        layout: gives the square and its size.

    Returns:
        uint8, (T, 3, P, P) with P = `layout.padded_size_px`; area-averaging where it shrinks.
    """
    side = min(layout.padded_crop_px, frames.shape[-2], frames.shape[-1])
    top, left = (frames.shape[-2] - side) // 2, (frames.shape[-1] - side) // 2
    square = frames[..., top : top + side, left : left + side]
    size = layout.padded_size_px
    if side == size:
        return square.contiguous()
    return functional.interpolate(
        square, size=(size, size), mode="bilinear", antialias=True, align_corners=False
    )
