"""From a stretch of a video to the frames that a model looks at, made as extraction makes them.

Nothing here needs the network, so that decoding can happen in another thread, or in a process that
may be killed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dae_aqa.clips.dataset import scale_frames
from dae_aqa.clips.decode import decode_frames
from dae_aqa.clips.layout import ClipLayout
from dae_aqa.errors import ScoreInputError, VideoError
from dae_aqa.extraction.encode import encoded_frames
from dae_aqa.extraction.window import repetition_notes, sample_window
from dae_aqa.packs.options import NumberedFrameOptions
from dae_aqa.video.container import open_video
from dae_aqa.video.index import Int64Array, VideoIndex
from dae_aqa.video.numbering import decoded_numbers
from dae_aqa.video.probe import seconds_to_frame, video_index


@dataclass(frozen=True)
class View:
    """How a model looks at a video: picklable, and without the model.

    Attributes:
        frames: how frames are made.
        layout: which of them make the clips.
    """

    frames: NumberedFrameOptions
    layout: ClipLayout


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """The part of a video that shows the performance; all of it where nothing is said.

    A stretch has one beginning and one end at most, each as a time or as a frame. Ranges are
    half-open, frames are counted from 0 in the numbering of the model's dataset.

    Attributes:
        start_seconds: time of its beginning, from the start of the video.
        end_seconds: time of its end.
        start_frame: its first frame.
        end_frame: one past its last frame.
        last_frames: so many frames at the end of the video, or before its own end.
    """

    start_seconds: float | None = None
    end_seconds: float | None = None
    start_frame: int | None = None
    end_frame: int | None = None
    last_frames: int | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without the video.

        Raises:
            ScoreInputError: a beginning or an end is said twice, or a number makes no sense.
        """
        starts = [self.start_seconds, self.start_frame, self.last_frames]
        if sum(value is not None for value in starts) > 1:
            raise ScoreInputError(
                "the beginning of a clip is said more than once; give one of start_seconds, "
                "start_frame and last_frames."
            )
        if self.end_seconds is not None and self.end_frame is not None:
            raise ScoreInputError(
                "the end of a clip is said twice; give one of end_seconds and end_frame."
            )
        for name, value in vars(self).items():
            least = 1 if name in ("last_frames", "end_frame") else 0
            if value is not None and not (np.isfinite(value) and value >= least):
                raise ScoreInputError(f"{name} must be a number of at least {least}, got {value}.")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a video may hold at most; checked before anything is decoded.

    Attributes:
        max_seconds: length of the video.
        max_frames: its frames.
        max_pixels: of one picture, width times height.
    """

    max_seconds: float
    max_frames: int
    max_pixels: int


@dataclass(frozen=True, kw_only=True)
class Window:
    """The frames of one performance that a model looks at; picklable.

    Attributes:
        frames: uint8 RGB, (F, 3, P, P), see `clips.dataset.scale_frames`.
        images: the same F frames as extraction stores them, JPEG or PNG.
        frame_numbers: their numbers in the video, (F,).
        start_seconds: time of the first frame of the stretch, from the start of the video.
        end_seconds: time at which the last one ends.
        notes: what there is to know of them, a sentence each.
    """

    frames: NDArray[np.uint8]
    images: tuple[bytes, ...]
    frame_numbers: tuple[int, ...]
    start_seconds: float
    end_seconds: float
    notes: tuple[str, ...]


def read_window(
    video: Path,
    stretch: Stretch,
    *,
    view: View,
    limits: Limits | None = None,
    num_threads: int = 1,
) -> Window:
    """Return the frames of a stretch of `video` that a model looks at.

    Args:
        video: a video file.
        stretch: where in it the performance is.
        view: how the model looks at it.
        limits: what the video may hold at most; None: whatever the disk holds.
        num_threads: decoder threads.

    Raises:
        VideoError: the video is missing, damaged, too short, or beyond a limit.
        ScoreInputError: the stretch is empty.
    """
    if limits is not None:
        _check_picture(video, limits)
    index = video_index(video)
    if limits is not None:
        _check_length(video, index, limits)
    numbers = decoded_numbers(index, view.frames.numbering)
    start, end = _range(video, stretch, num_frames=len(numbers), view=view)
    if index.is_truncated and end > len(numbers):
        raise VideoError(
            f"{video}: the file is cut off after frame {len(numbers)}, before the clip ends. Fetch "
            "it again."
        )
    shown = _shown_numbers(video, start, end, numbers, view)
    decoded = numbers[list(shown.numbers)]
    images = dict(
        encoded_frames(
            video,
            index=index,
            numbers=np.unique(decoded).tolist(),
            options=view.frames,
            num_threads=num_threads,
        )
    )
    ordered = tuple(images[number] for number in decoded.tolist())
    scaled = [scale_frames(image[None], view.layout)[0] for image in decode_frames(ordered)]
    return Window(
        frames=torch.stack(scaled).numpy(),
        images=ordered,
        frame_numbers=shown.numbers,
        start_seconds=_seconds(index, int(numbers[min(start, len(numbers) - 1)])),
        end_seconds=_seconds(index, int(numbers[min(end, len(numbers)) - 1]), at_end=True),
        notes=shown.notes,
    )


@dataclass(frozen=True)
class _Shown:
    """Numbers of the frames that are looked at, and what to tell of the window around them."""

    numbers: tuple[int, ...]
    notes: tuple[str, ...]


def _shown_numbers(video: Path, start: int, end: int, numbers: Int64Array, view: View) -> _Shown:
    """Return the numbers of the frames of [start, end) that the clips use.

    Args:
        video: for messages.
        start: first frame of the stretch.
        end: one past its last.
        numbers: the decoded frame that each number means.
        view: how the model looks at the video.
    """
    options, layout = view.frames, view.layout
    if layout.reach > options.num_frames:
        raise ScoreInputError(
            f"the model's clips reach to frame {layout.reach} of a window of {options.num_frames} "
            "frames; the model file is inconsistent, train it again."
        )
    try:
        window = sample_window(
            start_frame=start,
            end_frame=end,
            first_video_frame=0,
            end_video_frame=len(numbers),
            window=options.window,
            num_frames=options.num_frames,
            margin_frames=0,
            # a clip of one's own is scored all the same; a note says what is repeated
            early_end="repeat_last",
        )
    except VideoError as error:
        raise VideoError(f"{video}: {error}") from error
    notes = repetition_notes(
        window.numbers,
        num_before=window.num_repeated_before,
        num_after=window.num_repeated_after,
        window=options.window,
    )
    used = tuple(window.numbers[place] for place in layout.frame_indices.tolist())
    return _Shown(used, tuple(notes))


def _range(video: Path, stretch: Stretch, *, num_frames: int, view: View) -> tuple[int, int]:
    """Return the stretch as frames [start, end), in the numbering of the model's dataset."""
    numbering = view.frames.numbering
    end = num_frames if stretch.end_frame is None else stretch.end_frame
    if stretch.end_seconds is not None:
        end = seconds_to_frame(video, stretch.end_seconds, numbering=numbering)
    start = stretch.start_frame or 0
    if stretch.start_seconds is not None:
        start = seconds_to_frame(video, stretch.start_seconds, numbering=numbering)
    elif stretch.last_frames is not None:
        start = max(0, end - stretch.last_frames)
    if start >= end:
        raise ScoreInputError(
            f"{video}: the clip is empty: it begins at frame {start} and ends before frame {end} "
            f"(the video has {num_frames} frames). Give a later end or an earlier start."
        )
    return start, end


def _seconds(index: VideoIndex, frame: int, *, at_end: bool = False) -> float:
    """Return when a decoded frame is shown, or ends, in seconds from the start of the video."""
    unit = float(index.time_base)
    shown = float(index.frame_pts[frame] - index.container_start) * unit
    length = float(index.frame_durations[frame]) * unit or 1 / float(index.frame_rate)
    return round(shown + (length if at_end else 0.0), 6)


def _check_picture(video: Path, limits: Limits) -> None:
    with open_video(video) as (_, stream):
        width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > limits.max_pixels:
        raise VideoError(
            f"{video}: its pictures have {width}×{height} pixels, the limit is "
            f"{limits.max_pixels:,}. Scale it down."
        )


def _check_length(video: Path, index: VideoIndex, limits: Limits) -> None:
    seconds = _seconds(index, index.num_frames - 1, at_end=True) - _seconds(index, 0)
    if index.num_frames > limits.max_frames or seconds > limits.max_seconds:
        raise VideoError(
            f"{video}: it has {index.num_frames:,} frames and lasts {seconds:.1f} s, the limits "
            f"are {limits.max_frames:,} frames and {limits.max_seconds:g} s. Cut the clip out."
        )
