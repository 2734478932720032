"""Numbering: which decoded frame a frame number of the dataset means.

`decoded`: frame `n` is the `n`-th frame that the decoder gives. `reference`: frame `n` is image
`n + 1` of `ffmpeg -i in.mp4 %06d.jpg`, which annotations made on such images count. That command
makes the frame rate constant: it repeats and drops frames. Both numberings agree on nearly all
videos of constant rate.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from dae_aqa.errors import VideoError
from dae_aqa.video.index import Int64Array, VideoIndex
from dae_aqa.video.options import Numbering

# ffmpeg repeats or drops a frame that is this many frames off its place.
_MAX_DRIFT_FRAMES = 1.1


def decoded_numbers(index: VideoIndex, numbering: Numbering) -> Int64Array:
    """Return the decoded frame that each frame number means, non-decreasing; (num_numbers,) int64.

    Raises:
        VideoError: the reference numbering is not known for this video.
    """
    if numbering == "decoded":
        return np.arange(index.num_frames, dtype=np.int64)
    if not has_reference(index):
        raise VideoError(
            "its frame rate varies and it is an MPEG transport or program stream, for which the "
            "reference numbering is not known. Set frame_numbering: decoded, or convert it to MP4 "
            "and annotate that."
        )
    return reference_numbers(index)


def has_reference(index: VideoIndex) -> bool:
    """Say whether the reference numbering of a video is known.

    It is not for MPEG streams of variable rate: they carry no frame durations, and ffmpeg's guess
    at them depends on its version.
    """
    return not (index.container in ("mpegts", "mpeg") and index.is_variable_rate)


def reference_numbers(index: VideoIndex) -> Int64Array:
    """Return the decoded frame behind each image of `ffmpeg -i in.mp4 %06d.jpg`; int64.

    Source: FFmpeg 7.1, fftools/ffmpeg_filter.c, `video_sync_process` (methods cfr and vscfr) and
    fftools/ffmpeg_mux_init.c (cfr for image files, vscfr where the video is the only stream).
    """
    pts = _output_times(index)
    durations = index.frame_durations * float(index.time_base * index.frame_rate)
    keeps_start = index.num_streams == 1  # vscfr: a late first frame is not repeated
    numbers: list[int] = []
    history = [0, 0, 0]
    next_pts = 0
    for frame, (time, duration) in enumerate(zip(pts, durations.tolist(), strict=True)):
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
    # At the end ffmpeg repeats the last frame; how often: the median of the last three repetitions.
    numbers.extend([index.num_frames - 1] * sorted(history)[1])
    return np.asarray(numbers, dtype=np.int64)


def _output_times(index: VideoIndex) -> list[float]:
    """Return times in output frames, rounded like ffmpeg's `adjust_frame_pts_to_encoder_tb`."""
    rate = index.frame_rate
    extra_bits = min(max(29 - (rate.numerator.bit_length() - 1), 0), 16)
    scale = index.time_base * rate * (1 << extra_bits)
    times = []
    for pts in (index.frame_pts - index.container_start).tolist():
        time = math.floor(abs(pts) * scale + Fraction(1, 2)) / (1 << extra_bits)
        if time != round(time):  # ffmpeg steps off the exact middle between two frames
            time += 1 / (1 << 17)
        times.append(math.copysign(time, pts))
    return times


def _round(value: float) -> int:
    """Round like `lrintf`: halves to even, in single precision."""
    return round(float(np.float32(value)))
