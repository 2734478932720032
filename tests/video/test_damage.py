"""An intact video is never called damaged, a damaged one always, where the decoder can tell."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.numbered_videos import all_frames, forge_x264_build, pixels, read_number, remux

from dae_aqa.errors import VideoError
from dae_aqa.video import decode
from dae_aqa.video.container import open_video
from dae_aqa.video.decode import read_frames
from dae_aqa.video.index import VideoIndex
from dae_aqa.video.indexing import build_index


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


def break_packet(source: Path, target: Path, place: int, *, part: str) -> Path:
    """Copy a video and damage its packet `place`, in the middle or in the head of its slice.

    The first makes a picture that the decoder marks as corrupt, the second one that it refuses.
    """
    with open_video(source) as (container, stream):
        packet = bytes(next(itertools.islice(container.demux(stream), place, None)))
    data = bytearray(source.read_bytes())
    begin = data.index(packet[4:])  # without start code or length
    damaged = range(begin + 1, begin + 3) if part == "head" else [begin + len(packet) // 2 - 4]
    for byte in damaged:
        data[byte] ^= 0x55
    target.write_bytes(data)
    return target


@pytest.mark.parametrize("num_threads", [1, 3])
def test_what_the_encoder_says_of_itself_at_the_start_is_heeded_after_a_seek(
    num_threads: int, numbered_video: Callable[[str], Path], tmp_path: Path
) -> None:
    path = forge_x264_build(numbered_video("h264_b"), tmp_path / "old.mp4", 30)
    oracle = [picture_hash(frame) for _, frame in all_frames(path)]
    modern = [picture_hash(frame) for _, frame in all_frames(numbered_video("h264_b"))]
    index = build_index(path)
    first = int(index.seek_frames[1])
    assert oracle[first:] != modern[first:]  # the decoder does otherwise for that build
    wanted = range(first, index.num_frames)
    frames = read_frames(path, index=index, numbers=wanted, num_threads=num_threads)
    assert [picture_hash(frame) for _, frame in frames] == oracle[first:]


def test_a_real_video_of_an_old_encoder_is_intact(shared_dir: Path, surveys: list[Path]) -> None:
    path = shared_dir / "videos" / "cockatoo_h264_444.mp4"
    index = build_index(path)
    assert index.seek_frames.tolist() == [0, 76, 145]
    wanted = [76, 77, 90]
    got = {n: picture_hash(frame) for n, frame in read_frames(path, index=index, numbers=wanted)}
    start = itertools.islice(all_frames(path), wanted[-1] + 1)
    assert got == {n: picture_hash(frame) for n, frame in start if n in wanted}
    assert surveys == []


def test_what_no_seek_gives_is_decoded_from_the_start(
    numbered_video: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, surveys: list[Path]
) -> None:
    # Without the start of the file the decoder skips the B-pictures of this one.
    monkeypatch.setattr(decode, "_decode_head", lambda container, stream: None)
    path = numbered_video("mpeg4_interlaced")
    index = build_index(path)
    wanted = [*range(31, 50), 100, 119]
    frames = {n: pixels(f) for n, f in read_frames(path, index=index, numbers=wanted)}
    assert {n: read_number(picture) for n, picture in frames.items()} == {n: n for n in wanted}
    assert len(surveys) == 2  # once to judge, once to read


@pytest.mark.parametrize(
    "kind", ["h264_open_gop", "h264_444", "hevc", "vp9_hidden", "mpeg4_interlaced", "mpeg2_ps"]
)
def test_an_intact_video_is_not_decoded_from_its_start(
    kind: str, numbered_video: Callable[[str], Path], surveys: list[Path]
) -> None:
    path = numbered_video(kind)
    index = build_index(path)
    for begin in index.seek_frames.tolist():
        wanted = range(begin, min(begin + 8, index.num_frames))
        assert [n for n, _ in read_frames(path, index=index, numbers=wanted)] == list(wanted)
    assert surveys == []


@pytest.mark.parametrize("part", ["middle", "head"])
def test_damage_is_named_and_costs_one_decode_of_the_video(
    part: str, numbered_video: Callable[[str], Path], tmp_path: Path, surveys: list[Path]
) -> None:
    path = break_packet(numbered_video("h264_no_b"), tmp_path / "v.mp4", 55, part=part)
    index = build_index(path)
    assert index.seek_frames.tolist() == [0, 48, 96]
    # Frame 60 itself decodes without complaint, but from what the broken one left.
    for wanted in ([55], [60], range(48, 96), [30, 94, 110]):
        with pytest.raises(VideoError, match=r"v\.mp4: damaged at frame 55 or soon after"):
            list(read_frames(path, index=index, numbers=wanted))
    assert len(surveys) == 1
    sound = [0, 30, 47, 48, 54, 96, 110]
    assert [n for n, _ in read_frames(path, index=index, numbers=sound[:5])] == sound[:5]
    assert [n for n, _ in read_frames(path, index=index, numbers=sound[5:])] == sound[5:]


def test_damage_in_a_video_without_seeks_is_named_too(
    numbered_video: Callable[[str], Path], tmp_path: Path
) -> None:
    whole = remux(numbered_video("h264_no_b"), tmp_path / "whole.h264")
    path = break_packet(whole, tmp_path / "v.h264", 55, part="middle")
    index = build_index(path)
    assert (index.num_frames, index.is_seekable) == (120, False)
    for wanted in ([55], [60], range(40, 90)):
        with pytest.raises(VideoError, match=r"v\.h264: damaged at frame \d+ \(the decoder marks"):
            list(read_frames(path, index=index, numbers=wanted))
    for wanted in ([30, 54], [96, 110]):
        assert [n for n, _ in read_frames(path, index=index, numbers=wanted)] == wanted
