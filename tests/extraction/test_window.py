"""The sampling policy, on small numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from dae_aqa.errors import VideoError
from dae_aqa.extraction.window import SampleWindow, sample_window


def window(**changes: Any) -> SampleWindow:
    settings: dict[str, Any] = {
        "start_frame": 10,
        "end_frame": 20,
        "first_video_frame": 0,
        "end_video_frame": 100,
        "window": "end",
        "num_frames": 5,
        "margin_frames": 2,
        "early_end": "error",
    }
    return sample_window(**(settings | changes))


def test_end_window_is_the_last_frames_before_the_end_with_margins() -> None:
    found = window()
    assert found.numbers == (13, 14, 15, 16, 17, 18, 19, 20, 21)
    assert (found.offset, found.length) == (2, 5)


def test_end_window_may_begin_before_the_annotated_start() -> None:
    assert window(num_frames=12, margin_frames=0).numbers == tuple(range(8, 20))


def test_margins_stop_at_the_ends_of_the_video() -> None:
    assert window(end_frame=20, end_video_frame=21).numbers == tuple(range(13, 21))
    found = window(start_frame=0, end_frame=6)
    assert found.numbers == tuple(range(0, 8))
    assert found.offset == 1


def test_early_end_is_an_error_or_repeats_the_last_frame() -> None:
    with pytest.raises(VideoError, match="needs frames 15 to 19, but the video has frames 0 to 17"):
        window(end_video_frame=18)
    found = window(end_video_frame=18, early_end="repeat_last")
    assert found.numbers == (13, 14, 15, 16, 17, 17, 17)
    assert (found.offset, found.num_repeated_before, found.num_repeated_after) == (2, 0, 2)


def test_short_beginning_repeats_the_first_frame() -> None:
    found = window(start_frame=0, end_frame=3, early_end="repeat_last")
    assert found.numbers == (0, 0, 0, 1, 2, 3, 4)
    assert (found.offset, found.num_repeated_before) == (0, 2)


def test_a_window_wholly_behind_the_video_is_always_an_error() -> None:
    with pytest.raises(VideoError, match="needs frames 995"):
        window(end_frame=1000, early_end="repeat_last")
    with pytest.raises(VideoError, match="begins at frame 100, but the video has 100"):
        window(start_frame=100, end_frame=120, early_end="repeat_last")


def test_uniform_window_holds_both_ends_and_is_even() -> None:
    assert window(window="uniform").numbers == (10, 12, 14, 17, 19)
    assert window(window="uniform", num_frames=1).numbers == (14,)
    assert window(window="uniform", num_frames=10).numbers == tuple(range(10, 20))
    repeated = window(window="uniform", end_frame=12, num_frames=4)
    assert repeated.numbers == (10, 10, 11, 11)
    assert repeated.offset == 0
