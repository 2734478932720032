"""Clip features of one video file, so that published weights can be checked from outside.

Frames are decoded, scaled and cropped as in the published experiments, or come as an array.
"""

from __future__ import annotations

import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dae_aqa.clips.dataset import FrameBatch, scale_frames
from dae_aqa.clips.layout import PUBLISHED_LAYOUT, ClipLayout
from dae_aqa.clips.transform import cut_into_clips, make_clips
from dae_aqa.errors import ModelError, ParamsError, VideoError
from dae_aqa.files.whole import write_error, written_whole
from dae_aqa.inference.predict import chunks
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.models.backbones.base import Backbone
from dae_aqa.models.build import is_model_file, load_i3d
from dae_aqa.models.normalization import NORMALIZATIONS, Normalization
from dae_aqa.models.targets import check_features
from dae_aqa.options import parse_options
from dae_aqa.video.decode import read_frames
from dae_aqa.video.options import ResizeFilter
from dae_aqa.video.probe import video_index
from dae_aqa.video.upright import UprightScaler

_MAX_FRAME_PX = 8192  # either side of a scaled frame: 8K video
_RESIZE_FILTER: ResizeFilter = "bicubic"  # ffmpeg's own, which the released extraction keeps
_EXPECTED_ARRAY = (
    "expected uint8 RGB frames (F, H, W, 3), or float32 input (3, F, H, W) that is normalised "
    "already, as np.save writes them"
)


@dataclass(frozen=True)
class FeatureExtractor:
    """A backbone, and how clips are made for it.

    Attributes:
        backbone: in evaluation mode.
        layout: of the clips; `starts` count from the first frame that is used.
        normalization: of the pixels.
    """

    backbone: Backbone
    layout: ClipLayout
    normalization: Normalization

    @property
    def name(self) -> str:
        """The backbone's name, with its layout where there are several."""
        layout = getattr(self.backbone, "layout", None)
        return type(self.backbone).__name__ + (f" ({layout})" if layout else "")

    @classmethod
    def load(cls, weights: Path) -> FeatureExtractor:
        """Return the backbone of a file of weights, with the clips that it was trained with.

        Args:
            weights: published I3D weights in either layout, a released DAE checkpoint, or a model
                file of this project. The first two get the published clips, the last its own.

        Raises:
            ModelError: the file is missing, damaged or of another kind.
        """
        if is_model_file(weights):
            trained = TrainedModel.load(weights)
            return cls(trained.model.backbone, trained.layout, trained.normalization)
        backbone = load_i3d(weights)
        return cls(backbone, PUBLISHED_LAYOUT, backbone.normalization)

    def with_clips(
        self,
        *,
        starts: tuple[int, ...] | None,
        num_frames: int | None,
        stride: int | None,
        crop_px: int | None,
        size_px: int | None,
        normalization: str | None,
    ) -> FeatureExtractor:
        """Return the extractor with other clips; None keeps what it has.

        Args:
            starts: first frame of each clip.
            num_frames: frames of a clip.
            stride: frames from one frame of a clip to the next.
            crop_px: side of the centre square that is used.
            size_px: side to which it is scaled; where only `crop_px` is given, it is not scaled.
            normalization: `imagenet`, `kinetics`, `half`, or `backbone` for the backbone's own.

        Raises:
            ModelError: there are no such clips.
        """
        changes = {
            "starts": starts,
            "num_frames": num_frames,
            "stride": stride,
            "crop_px": crop_px,
            "size_px": size_px or crop_px,
            # the square is then the whole of what is seen, with no margin for a jitter
            "jitter_px": 0 if crop_px or size_px else None,
        }
        given = {name: value for name, value in changes.items() if value is not None}
        pixels = self.normalization
        if normalization is not None:
            pixels = NORMALIZATIONS.get(normalization, self.backbone.normalization)
        try:
            layout = parse_options(
                ClipLayout, dict(self.layout) | given, source="Change the options"
            )
        except ParamsError as error:
            raise ModelError(f"clips cannot be made so. {error}") from error
        return FeatureExtractor(self.backbone, layout, pixels)

    def features(
        self,
        video: Path,
        *,
        frame_size_px: tuple[int, int],
        num_last_frames: int | None = None,
        clips_per_batch: int,
    ) -> NDArray[np.float32]:
        """Return the features (K, D) of the video's clips.

        Args:
            video: a video file, or a `.npy` file with uint8 RGB frames (F, H, W, 3), which are
                cropped but not scaled first, or with float32 input (3, F, H, W), which is used as
                it is.
            frame_size_px: width and height to which frames of a video file are scaled; (455, 256)
                in the published experiments.
            num_last_frames: use the last so many frames; None for all.
            clips_per_batch: clips that go through the backbone at once; memory grows with it.

        Raises:
            VideoError: the video is missing, damaged, of another kind, or shorter than the clips
                reach.
            ModelError: frames are smaller than the crop, or features are not finite.
        """
        if max(frame_size_px) > _MAX_FRAME_PX:
            width, height = frame_size_px
            raise ModelError(
                f"frames cannot be scaled to {width}x{height} px; give at most {_MAX_FRAME_PX} "
                "(--width, --height)."
            )
        if video.suffix == ".npy":
            frames = self._from_array(video, num_last_frames)
        else:
            frames = self._from_video(video, frame_size_px, num_last_frames)
        backbone = self.backbone.eval()
        with torch.inference_mode():
            parts: list[Tensor] = [
                backbone(clips) for clips in self._clips(frames, clips_per_batch)
            ]
        features = torch.cat(parts)
        names = [f"clip {number} of {video}" for number in range(len(features))]
        check_features(features, sample_ids=names)
        return features.numpy()

    def _from_video(self, path: Path, size_px: tuple[int, int], num_last: int | None) -> Tensor:
        """Return the frames that clips use, scaled, uint8 (F, 3, P, P)."""
        index = video_index(path)
        if index.is_truncated and num_last is not None:
            raise VideoError(f"{path}: cut off, so its last frames are not known; fetch it again.")
        first = self._first_frame(path, index.num_frames, num_last)
        scaler = UprightScaler(width=size_px[0], height=size_px[1], resize_filter=_RESIZE_FILTER)
        numbers = (first + self.layout.frame_indices).tolist()
        return torch.cat(
            [
                self._scaled(path, scaler(frame)[None])
                for _, frame in read_frames(path, index=index, numbers=numbers)
            ]
        )

    def _from_array(self, path: Path, num_last: int | None) -> Tensor:
        """Return the frames that clips use: uint8 (F, 3, P, P), or normalised (F, 3, H, W)."""
        array = _read_array(path)
        if array.dtype == np.uint8:
            first = self._first_frame(path, len(array), num_last)
            return self._scaled(path, array[first + self.layout.frame_indices])
        first = self._first_frame(path, array.shape[1], num_last)
        frames = array[:, first + self.layout.frame_indices]
        if not np.isfinite(frames).all():
            raise VideoError(f"{path}: holds NaN or infinity; write the input again.")
        return torch.from_numpy(frames).transpose(0, 1)

    def _first_frame(self, path: Path, num_frames: int, num_last: int | None) -> int:
        """Return the first frame that is used, after a look at whether the clips fit."""
        layout = self.layout
        first = 0 if num_last is None else num_frames - num_last
        if first < 0:
            raise VideoError(
                f"{path}: has {num_frames} frames, the last {num_last} are asked for; ask for "
                "fewer (--last)."
            )
        if num_frames - first < layout.reach:
            raise VideoError(
                f"{path}: {num_frames - first} frames are to be used, but clips of "
                f"{layout.num_frames} frames (stride {layout.stride}) that start at "
                f"{', '.join(map(str, layout.starts))} need {layout.reach}. Pass starts that fit "
                "(--starts 0 10 …), shorter clips (--num-frames) or a longer video."
            )
        return first

    def _scaled(self, path: Path, frames: NDArray[np.uint8]) -> Tensor:
        """Return frames (F, H, W, 3) as a sample's are scaled, uint8 (F, 3, P, P)."""
        height, width = frames.shape[1:3]
        if min(height, width) < self.layout.padded_crop_px:
            raise ModelError(
                f"{path}: its frames have {width}x{height} px, smaller than the crop of "
                f"{self.layout.padded_crop_px} px. Lower the crop (--crop-px), or give larger "
                "frames."
            )
        return scale_frames(torch.from_numpy(frames).permute(0, 3, 1, 2), self.layout)

    def _clips(self, frames: Tensor, num_at_once: int) -> Iterator[Tensor]:
        """Yield normalised clips (≤ num_at_once, 3, T, S, S) of the frames that they use."""
        for starts in chunks(self.layout.starts, num_at_once):
            layout = self.layout.replaced(starts=starts)
            rows = np.searchsorted(self.layout.frame_indices, layout.frame_indices)
            used = frames[torch.from_numpy(rows)]
            if frames.dtype == torch.uint8:
                yield make_clips(
                    FrameBatch.of_windows([used], layout),
                    layout=layout,
                    normalization=self.normalization,
                    device=frames.device,
                )[0]
            else:
                yield cut_into_clips(used[None], layout)[0]


def check_output(path: Path, *, inputs: Sequence[Path]) -> None:
    """Raise if features written to `path` would take the place of a file that they come from.

    Raises:
        VideoError: `path` is one of `inputs`, by another name or through a link too.
    """
    for source in inputs:
        try:
            is_same = path.samefile(source)
        except OSError:  # one of them does not exist
            continue
        if is_same:
            raise VideoError(
                f"{path}: is the same file as {source}, which it would overwrite; give another "
                "name (--out)."
            )


def write_features(features: NDArray[np.float32], path: Path) -> None:
    """Write the features to `path` (`.npy`), whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with written_whole(path) as part, part.open("wb") as file:
            np.save(file, features)
    except OSError as error:
        raise write_error(path, error) from error


def _read_array(path: Path) -> NDArray[Any]:
    """Return the array of a `.npy` file, mapped into memory; nothing in it is unpickled."""
    if not path.is_file():
        raise VideoError(f"{path}: no such file; {_EXPECTED_ARRAY}.")
    try:
        with np.errstate(over="ignore"):  # of a shape beyond all files, which is refused below
            array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except (
        *(ValueError, TypeError, EOFError, OSError, ArithmeticError),
        *(MemoryError, SyntaxError, RecursionError, tokenize.TokenError),
    ) as error:  # a header is a Python expression, of which NumPy checks little
        reason = str(error).partition("\n")[0][:200]
        raise VideoError(
            f"{path}: not readable as an array ({reason}); {_EXPECTED_ARRAY}."
        ) from error
    is_frames = array.dtype == np.uint8 and array.ndim == 4 and array.shape[3] == 3
    is_input = array.dtype == np.float32 and array.ndim == 4 and array.shape[0] == 3
    if not (is_frames or is_input) or min(array.shape) < 1:
        raise VideoError(f"{path}: {_EXPECTED_ARRAY}; got {array.dtype} {array.shape}.")
    return array
