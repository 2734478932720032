"""Numbering: which decoded frame a frame number of the dataset means.

`decoded`: frame `n` is the `n`-th frame that the decoder gives. `reference`: frame `n` is the image
`n + 1` that `ffmpeg -i in.mp4 %06d.jpg` writes, a command that makes the frame rate constant by
repeating and dropping frames; annotations made on its images count like it. Both agree on nearly
all videos of constant rate.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from dae_aqa.errors import VideoError
from dae_aqa.frames.index import Int64Array, VideoIndex

Numbering = Literal["decoded", "reference"]
NUMBERINGS: tuple[Numbering, ...] = ("decoded", "reference")

# ffmpeg repeats or drops a frame when it is this many frames off its place.
_MAX_DRIFT_FRAMES = 1.1


def decoded_numbers(index: VideoIndex, numbering: Numbering) -> Int64Array:
    """Return the decoded frame that each frame number means, non-decreasing; (num_numbers,) int64.

    Raises:
        VideoError: `numbering` is unknown.
    """
    if numbering == "decoded":
        return np.arange(index.num_frames, dtype=np.int64)
    if numbering == "reference":
        return reference_numbers(index)
    raise VideoError(f"unknown numbering {numbering!r}; expected {' or '.join(NUMBERINGS)}.")


def reference_numbers(index: VideoIndex) -> Int64Array:
    """Return the decoded frame behind each image of `ffmpeg -i in.mp4 %06d.jpg`; int64.

    Source: FFmpeg 7.1, fftools/ffmpeg_filter.c, `video_sync_process` (methods cfr and vscfr) and
    fftools/ffmpeg_mux_init.c (cfr for image files, vscfr where the video is the only stream).
    """
    scale = float(index.time_base * index.frame_rate)  # output frames per unit of time
    pts = (index.frame_pts - index.container_start) * scale
    durations = _durations(index) * scale
    keeps_start = index.num_streams == 1  # vscfr: a late first frame is not repeated
    numbers: list[int] = []
    history = [0, 0, 0]
    next_pts = 0
    for frame, (time, duration) in enumerate(zip(pts.tolist(), durations.tolist(), strict=True)):
        drift = time - next_pts
        end = drift + duration
        if drift < 0 < end:
            drift = 0.0
        if keeps_start and frame == 0 and drift >= 0.5:
            end, drift = duration, 0.0
            next_pts = round(time)
        copies, copies_of_last = 1, 0
        if end < -_MAX_DRIFT_FRAMES:
            copies = 0
        elif end > _MAX_DRIFT_FRAMES:
            copies = _round(end)
            if drift > _MAX_DRIFT_FRAMES:
                copies_of_last = _round(drift - 0.6)
        for copy in range(copies):
            numbers.append(frame - 1 if copy < copies_of_last and frame > 0 else frame)
        next_pts += copies
        history = [copies_of_last, *history[:2]]
    # At the end ffmpeg repeats the last frame as often as it repeated frames before (the median).
    numbers.extend([index.num_frames - 1] * sorted(history)[1])
    return np.asarray(numbers, dtype=np.int64)


def _durations(index: VideoIndex) -> Int64Array:
    """Return what ffmpeg takes for the frames' durations, in units of the time base."""
    durations = index.frame_durations.copy()
    gaps = np.diff(index.frame_pts, prepend=index.frame_pts[:1] - 1)
    guessed = 1 / float(index.frame_rate * index.time_base)
    # A duration of one unit before a longer gap is made up by the demuxer.
    unknown = (durations <= 0) | ((durations == 1) & (gaps > 2))
    gaps[0] = max(1, math.floor(guessed))
    durations[unknown] = gaps[unknown]
    return durations


def _round(value: float) -> int:
    """Round like `lrintf`: halves to even."""
    return round(value)
