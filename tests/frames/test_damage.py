"""An intact video is never called damaged, a damaged one always, where the decoder can tell."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numbered_videos import forge_x264_build, read_number

from dae_aqa.errors import VideoError
from dae_aqa.frames import decode
from dae_aqa.frames.decode import read_all_frames, read_frames
from dae_aqa.frames.index import VideoIndex, build_index
from dae_aqa.frames.upright import to_upright_rgb


def picture_hash(frame: Any) -> str:
    return hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest()


@pytest.fixture
def surveys(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The videos that were decoded from their start to tell whether they are damaged."""
    seen: list[Path] = []
    original = decode._decoded_from_start

    def spy(path: Path, index: VideoIndex) -> Iterator[tuple[Any, bool]]:
        seen.append(path)
        return original(path, index)

    monkeypatch.setattr(decode, "_decoded_from_start", spy)
    return seen


def flip_bits(source: Path, target: Path, places: range) -> Path:
    """Copy a file with one bit flipped in each of the bytes at `places`."""
    data = bytearray(source.read_bytes())
    rng = random.Random(0)
    for place in places:
        data[place] ^= 1 << rng.randrange(8)
    target.write_bytes(data)
    return target


def group_bytes(index: VideoIndex, group: int) -> tuple[int, int]:
    """Return how many packet bytes precede a group of pictures, and how many it has."""
    keys = [
        int(np.flatnonzero(index.packet_pts == index.frame_pts[n])[0]) for n in index.seek_frames
    ]
    ends = np.cumsum(index.packet_sizes)
    return int(ends[keys[group] - 1]), int(ends[keys[group + 1] - 1] - ends[keys[group] - 1])


@pytest.mark.parametrize("num_threads", [1, 3])
def test_what_the_encoder_says_of_itself_at_the_start_is_heeded_after_a_seek(
    num_threads: int, numbered_video: Callable[[str], Path], tmp_path: Path
) -> None:
    path = forge_x264_build(numbered_video("h264_b"), tmp_path / "old.mp4", 30)
    oracle = [picture_hash(frame) for _, frame in read_all_frames(path)]
    modern = [picture_hash(frame) for _, frame in read_all_frames(numbered_video("h264_b"))]
    index = build_index(path)
    first = int(index.seek_frames[1])
    assert oracle[first:] != modern[first:]  # the decoder does otherwise for that build
    wanted = range(first, index.num_frames)
    frames = read_frames(path, index=index, numbers=wanted, num_threads=num_threads)
    assert [picture_hash(frame) for _, frame in frames] == oracle[first:]


def test_a_real_video_of_an_old_encoder_is_intact(shared_dir: Path) -> None:
    path = shared_dir / "videos" / "cockatoo_h264_444.mp4"
    index = build_index(path)
    assert index.seek_frames.tolist() == [0, 76, 145]
    wanted = [76, 77, 90]
    got = {n: picture_hash(frame) for n, frame in read_frames(path, index=index, numbers=wanted)}
    start = itertools.islice(read_all_frames(path), wanted[-1] + 1)
    assert got == {n: picture_hash(frame) for n, frame in start if n in wanted}


def test_what_no_seek_gives_is_decoded_from_the_start(
    numbered_video: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, surveys: list[Path]
) -> None:
    # Without the start of the file the decoder skips the B-pictures of this one.
    monkeypatch.setattr(decode, "_decode_head", lambda container, stream: None)
    path = numbered_video("mpeg4_interlaced")
    index = build_index(path)
    wanted = [*range(31, 50), 100, 119]
    frames = {n: to_upright_rgb(f) for n, f in read_frames(path, index=index, numbers=wanted)}
    assert {n: read_number(picture) for n, picture in frames.items()} == {n: n for n in wanted}
    assert len(surveys) == 2  # once to judge, once to read


def test_damage_is_named_and_costs_one_decode_of_the_video(
    numbered_video: Callable[[str], Path], tmp_path: Path, surveys: list[Path]
) -> None:
    source = numbered_video("h264_b")
    index = build_index(source)
    assert index.seek_frames.tolist()[:2] == [0, 48]
    before, size = group_bytes(index, 1)
    start = source.read_bytes().index(b"mdat") + 4 + before
    path = flip_bits(source, tmp_path / "v.mp4", range(start + size // 3, start + size // 2, 20))
    index = build_index(path)
    for wanted in ([60, 80], [90], range(48, 96), [30, 94, 110]):
        with pytest.raises(VideoError, match=r"v\.mp4: damaged at frame (4|5|6)\d or soon after"):
            list(read_frames(path, index=index, numbers=wanted))
    assert len(surveys) == 1
    assert len(list(read_frames(path, index=index, numbers=[0, 30, 47, 96, 110]))) == 5


def test_damage_in_a_video_without_seeks_is_named_too(
    numbered_video: Callable[[str], Path], tmp_path: Path
) -> None:
    source = numbered_video("h264_raw")
    assert not build_index(source).is_seekable
    size = source.stat().st_size
    path = flip_bits(source, tmp_path / "v.h264", range(size // 2, size // 2 + 200, 20))
    index = build_index(path)
    assert [n for n, _ in read_frames(path, index=index, numbers=[0, 20])] == [0, 20]
    with pytest.raises(VideoError, match=r"v\.h264: damaged at frame \d+ \(the decoder marks"):
        list(read_frames(path, index=index, numbers=range(40, 90)))
    assert [n for n, _ in read_frames(path, index=index, numbers=[110])] == [110]
