"""Which frames make a sample: the sampling policy, as pure functions on frame numbers.

All ranges are half-open and all numbers are 0-based, in the dataset's numbering.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dae_aqa.errors import VideoError
from dae_aqa.packs.options import EarlyEnd, Window


@dataclass(frozen=True, kw_only=True)
class SampleWindow:
    """The frames of one sample.

    `numbers` holds the margins and the nominal window, in order; the window is the `length` frames
    from `offset` on. A frame that the video does not have is replaced by the nearest that it has.
    """

    numbers: tuple[int, ...]
    offset: int
    length: int
    num_repeated_before: int
    num_repeated_after: int


def sample_window(
    *,
    start_frame: int,
    end_frame: int,
    first_video_frame: int,
    end_video_frame: int,
    window: Window,
    num_frames: int,
    margin_frames: int,
    early_end: EarlyEnd,
) -> SampleWindow:
    """Return the frames of a sample annotated as `[start_frame, end_frame)`.

    Args:
        start_frame: first annotated frame.
        end_frame: one past the last annotated frame.
        first_video_frame: the first frame that there is, in the same numbering; 0 in a video.
        end_video_frame: one past the last frame that there is.
        window: `end`: the `num_frames` frames before `end_frame`, which may begin before
            `start_frame` and, where the annotated range is longer, drop its beginning; `uniform`:
            `num_frames` frames spread evenly over the range, both of its ends included.
        num_frames: frames in the nominal window.
        margin_frames: frames to keep on each side of an `end` window, as far as the video has them.
        early_end: `error`, or `repeat_last` to repeat the nearest frame of the video where the
            window reaches beyond its last (or, with `end`, before its first) frame.

    Source: the end-aligned window of 103 frames is the one of Tang et al., "Uncertainty-aware score
    distribution learning for action quality assessment", CVPR 2020, section 4.1, as used by DAE.

    Raises:
        VideoError: the window reaches outside the video and `early_end` is `error`, or the video
            ends before the annotated range begins.
    """
    if start_frame >= end_video_frame:
        raise VideoError(
            f"the sample begins at frame {start_frame}, but the video has {end_video_frame} "
            "frames. Check the annotated range, the numbering (decoded or reference) and the "
            "video file."
        )
    if window == "uniform":
        margin, wanted = 0, _spread(start_frame, end_frame, num_frames)
    else:
        margin, wanted = margin_frames, list(range(end_frame - num_frames, end_frame))
    num_before = sum(number < first_video_frame for number in wanted)
    num_after = sum(number >= end_video_frame for number in wanted)
    if num_frames in (num_before, num_after) or (
        (num_before or num_after) and early_end == "error"
    ):
        raise VideoError(
            f"the sample needs frames {wanted[0]} to {wanted[-1]}, but the video has frames "
            f"{first_video_frame} to {end_video_frame - 1}. Check the annotated range "
            "and the numbering, or set early_end: repeat_last to repeat the nearest frame."
        )
    window_numbers = [min(max(number, first_video_frame), end_video_frame - 1) for number in wanted]
    first = max(wanted[0], first_video_frame)
    before = range(max(wanted[0] - margin, first_video_frame), first)
    after = range(wanted[-1] + 1, min(wanted[-1] + 1 + margin, end_video_frame))
    return SampleWindow(
        numbers=(*before, *window_numbers, *after),
        offset=len(before),
        length=num_frames,
        num_repeated_before=num_before,
        num_repeated_after=num_after,
    )


def repetition_notes(
    numbers: Sequence[int], *, num_before: int, num_after: int, window: Window
) -> list[str]:
    """Return what to tell the user about a window: frames that it shows more than once.

    Args:
        numbers: of the frames in the window.
        num_before: how many of them repeat the first frame of the video.
        num_after: how many repeat the last one.
        window: how the frames were chosen.
    """
    notes = []
    if num_before:
        notes.append(f"the first frame of the video is repeated {num_before} times")
    if num_after:
        notes.append(f"the last frame of the video is repeated {num_after} times")
    if window == "uniform" and len(set(numbers)) < len(numbers):
        notes.append(f"{len(set(numbers))} frames are stretched to {len(numbers)}")
    return notes


def _spread(start: int, end: int, count: int) -> list[int]:
    """Return `count` numbers from `start` to `end - 1`, evenly spread, halves rounded down."""
    if count == 1:
        return [(start + end - 1) // 2]
    steps = 2 * (count - 1)
    return [start + (2 * i * (end - 1 - start) + count - 2) // steps for i in range(count)]
