"""Every frame is the right one: the number in the picture is the oracle, not the container."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.numbered_videos import MAKERS, all_frames, pixels, read_number

from dae_aqa.video.decode import read_frames
from dae_aqa.video.ffmpeg import run_released_command
from dae_aqa.video.index import VideoIndex
from dae_aqa.video.indexing import build_index
from dae_aqa.video.numbering import reference_numbers
from dae_aqa.video.upright import UprightScaler


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_frames_by_seek_equal_full_decode(kind: str, numbered_video: Callable[[str], Path]) -> None:
    path = numbered_video(kind)
    oracle = [pixels(frame) for _, frame in all_frames(path)]
    shown = [read_number(picture) for picture in oracle]
    assert shown == list(range(shown[0], shown[0] + len(shown)))
    index = build_index(path)
    assert index.num_frames == len(shown)
    rng = random.Random(kind)
    for _ in range(4):
        wanted = rng.sample(range(index.num_frames), 5)
        first = rng.randrange(index.num_frames - 10)
        wanted += range(first, first + 10)
        got = []
        for number, frame in read_frames(path, index=index, numbers=wanted):
            assert np.array_equal(pixels(frame), oracle[number]), number
            got.append(number)
        assert got == sorted(set(wanted))


@pytest.mark.parametrize("kind", ["h264_b", "h264_444", "hevc", "mpeg4_interlaced", "vp9_hidden"])
def test_every_place_to_begin_gives_every_later_frame(
    kind: str, numbered_video: Callable[[str], Path]
) -> None:
    path = numbered_video(kind)
    oracle = [pixels(frame) for _, frame in all_frames(path)]
    index = build_index(path)
    assert len(index.seek_frames) >= 2
    for first in index.seek_frames.tolist():
        wanted = [n for n in range(index.num_frames) if index.seek_frame(n) == first]
        frames = read_frames(path, index=index, numbers=wanted, num_threads=3)
        for number, frame in frames:
            assert np.array_equal(pixels(frame), oracle[number]), number


@pytest.mark.parametrize(
    "kind",
    [
        *("h264_b", "h264_variable", "h264_variable_mkv", "mpeg4_variable", "h264_edit_list"),
        *("h264_late_start", "h264_ntsc_audio", "h264_avi", "gif", "h264_ts_begun_late"),
        *("h264_hard_times_mkv", "h264_harder_times_mkv", "h264_late_video_mkv"),
    ],
)
def test_reference_numbering_is_what_ffmpeg_writes(
    kind: str, numbered_video: Callable[[str], Path], tmp_path: Path
) -> None:
    path = numbered_video(kind)
    run_released_command(video=path, frames_dir=tmp_path, options={"loglevel": "error"})
    written = [read_number(cv2.imread(str(image))) for image in sorted(tmp_path.glob("*.jpg"))]
    shown = [read_number(pixels(frame)) for _, frame in all_frames(path)]
    assert [shown[n] for n in reference_numbers(build_index(path))] == written


def test_intra_refresh_is_not_a_place_to_begin(numbered_video: Callable[[str], Path]) -> None:
    index = build_index(numbered_video("h264_intra_refresh"))
    assert index.seek_frames.tolist() == [0]


def test_open_gop_keyframes_are_places_to_begin(numbered_video: Callable[[str], Path]) -> None:
    assert len(build_index(numbered_video("h264_open_gop")).seek_frames) >= 3


def test_saved_index_is_the_same(numbered_video: Callable[[str], Path]) -> None:
    index = build_index(numbered_video("h264_variable"))
    loaded = VideoIndex.from_json(index.to_json())
    for name, value in vars(index).items():
        assert np.array_equal(getattr(loaded, name), value), name
    with pytest.raises(ValueError, match="not an index of this version"):
        VideoIndex.from_json(b'{"version": -1}')
    for other in (b'"time_base": "1/25"', b'"time_base": null, "length": 3'):
        with pytest.raises(ValueError, match="its fields are not those of an index"):
            VideoIndex.from_json(index.to_json().replace(b'"num_streams": 1', other))


@pytest.mark.parametrize(
    "name",
    [
        *("demo_h264.mp4", "skiing_h264.mp4", "test_mpeg4.avi", "diving_sample.gif"),
        *("rotation_0.mov", "rotation_90.mov"),
    ],
)
def test_real_clips_equal_full_decode_pixel_for_pixel(name: str, shared_dir: Path) -> None:
    path = shared_dir / "videos" / name
    oracle = {n: pixels(frame) for n, frame in all_frames(path)}
    index = build_index(path)
    assert index.num_frames == len(oracle)
    wanted = random.Random(0).sample(range(index.num_frames), min(12, index.num_frames))
    for number, frame in read_frames(path, index=index, numbers=wanted):
        assert np.array_equal(pixels(frame), oracle[number])


def test_scaled_frames_are_not_kept(numbered_video: Callable[[str], Path]) -> None:
    # PyAV ties a frame whose side data is looked at into a cycle; memory then grows until the
    # garbage collector happens to run.
    scale = UprightScaler(width=80, height=48, resize_filter="area")
    frames = all_frames(numbered_video("h264_b"))
    gc.collect()
    gc.disable()
    try:
        assert sum(scale(frame).shape == (48, 80, 3) for _, frame in frames) == 120
        del frames
        assert gc.collect() < 20
    finally:
        gc.enable()
