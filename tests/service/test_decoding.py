"""Decoders that run out of time or memory: the clip gets an error, the next one an answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from tests.scored_windows import FRAMES, LAYOUT, write_clip

from dae_aqa.errors import VideoError
from dae_aqa.scorer import Limits, Stretch, View, Window, read_window
from dae_aqa.service.decoding import Decoder

pytestmark = pytest.mark.slow
LIMITS = Limits(max_seconds=100.0, max_frames=1000, max_pixels=10**8)


def read_twice(video: Path, **options: float) -> tuple[Window | VideoError, list[int]]:
    """Return what a decoder says of a clip the second time, and its process before and after."""

    async def ask() -> tuple[Window | VideoError, list[int]]:
        decoder = Decoder(
            View(FRAMES, LAYOUT),
            limits=LIMITS,
            num_workers=1,
            seconds=options.get("seconds", 60.0),
            memory_mb=int(options.get("memory_mb", 500)),
        )
        pids = list(decoder.pids)
        try:
            for _ in range(2):
                answer: Window | VideoError
                try:
                    answer = await decoder.read(video, Stretch())
                except VideoError as error:
                    answer = error
            return answer, pids + decoder.pids
        finally:
            decoder.close()

    return asyncio.run(ask())


def test_frames_are_those_of_this_process(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    window, (before, after) = read_twice(clip)
    assert isinstance(window, Window)
    expected = read_window(clip, Stretch(), view=View(FRAMES, LAYOUT))
    np.testing.assert_array_equal(window.frames, expected.frames)
    assert window.images == expected.images
    assert before == after


def test_a_decoder_that_takes_too_long_is_replaced(tmp_path: Path) -> None:
    error, (before, after) = read_twice(write_clip(tmp_path / "clip.mp4"), seconds=0.0)
    assert isinstance(error, VideoError)
    assert "decoding took more than 0 s" in str(error)
    assert before != after


def test_a_decoder_has_no_more_memory_than_it_may_take(tmp_path: Path) -> None:
    error, _ = read_twice(write_clip(tmp_path / "clip.mp4"), memory_mb=0)
    assert isinstance(error, VideoError)
    assert any(word in str(error) for word in ("memory", "ended the process", "Cannot allocate"))
