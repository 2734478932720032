"""Read frames of a video by number: seek to a clean keyframe, decode, check every step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from dae_aqa.errors import VideoError
from dae_aqa.frames.bitstream import SKIPPABLE_CODECS
from dae_aqa.frames.container import decode_error, open_video
from dae_aqa.frames.index import VideoIndex


class _SeekMismatchError(Exception):
    """After a seek the packets are not those that the index lists."""


def read_frames(
    path: Path,
    *,
    index: VideoIndex,
    numbers: Sequence[int],
    num_threads: int = 1,
    hwaccel: str | None = None,
) -> Iterator[tuple[int, Any]]:
    """Yield `(number, frame)` for the decoded frames `numbers`, each once, in ascending order.

    Args:
        path: the video.
        index: its index.
        numbers: 0-based frame numbers as the decoder counts them; any order, repeats allowed.
        num_threads: decoder threads.
        hwaccel: name of a hardware decoder, or None.

    Yields:
        The number and PyAV's `VideoFrame`, as coded (see `dae_aqa.frames.upright`).

    Raises:
        VideoError: a number is out of range, or the video is damaged on the way to it.
    """
    wanted = sorted(set(numbers))
    if wanted and not 0 <= wanted[0] <= wanted[-1] < index.num_frames:
        raise VideoError(
            f"{path}: asked for frames {wanted[0]} to {wanted[-1]}, it has {index.num_frames}."
        )
    done = 0
    if index.is_seekable:
        try:
            for number, frame in _by_seeking(path, index, wanted, num_threads, hwaccel):
                yield number, frame
                done += 1
        except _SeekMismatchError:
            pass  # the demuxer does not seek faithfully; counting from the start still does
        else:
            return
    yield from _by_counting(path, wanted[done:], num_threads, hwaccel)


def read_all_frames(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield `(number, frame)` for every frame: decode everything, count. The oracle of the tests.

    Raises:
        VideoError: the video is unreadable or damaged.
    """
    with open_video(path) as (container, stream):
        number = -1
        try:
            for number, frame in enumerate(container.decode(stream)):
                yield number, frame
        except av.FFmpegError as error:
            raise decode_error(path, error, where=f"frame {number + 1}") from error


def _by_counting(
    path: Path, wanted: Sequence[int], num_threads: int, hwaccel: str | None
) -> Iterator[tuple[int, Any]]:
    if not wanted:
        return
    pending = iter(wanted)
    following = next(pending)
    with open_video(path, num_threads=num_threads, hwaccel=hwaccel) as (container, stream):
        number = -1
        try:
            for number, frame in enumerate(container.decode(stream)):
                if number == following:
                    yield number, frame
                    following = next(pending, -1)
                    if following < 0:
                        return
        except av.FFmpegError as error:
            raise decode_error(path, error, where=f"frame {number + 1}") from error
    raise VideoError(f"{path}: ends at frame {number + 1}, before frame {following}.")


def _by_seeking(
    path: Path, index: VideoIndex, wanted: Sequence[int], num_threads: int, hwaccel: str | None
) -> Iterator[tuple[int, Any]]:
    places = {pts: place for place, pts in enumerate(index.packet_pts.tolist())}
    with open_video(path, num_threads=num_threads, hwaccel=hwaccel) as (container, stream):
        for first, segment in _segments(index, wanted):
            reader = _SegmentReader(path, container, stream, index, places, first, segment)
            yield from reader.frames()


def _segments(index: VideoIndex, wanted: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Yield (frame to begin decoding at, frames wanted) so that no seek would skip more."""
    segment: list[int] = []
    begin = 0
    for number in wanted:
        nearest = index.seek_frame(number)
        if segment and nearest > segment[-1]:
            yield begin, segment
            segment = []
        if not segment:
            begin = nearest
        segment.append(number)
    if segment:
        yield begin, segment


class _SegmentReader:
    """Decodes from one clean keyframe on and hands out the wanted frames."""

    def __init__(
        self,
        path: Path,
        container: Any,
        stream: Any,
        index: VideoIndex,
        places: dict[int, int],
        begin: int,
        wanted: list[int],
    ) -> None:
        self._path, self._container, self._stream = path, container, stream
        self._index, self._begin, self._wanted = index, begin, wanted
        self._places = places  # packet timestamp -> place in the file
        self._begin_pts = int(index.frame_pts[begin])
        self._first_pts = int(index.frame_pts[wanted[0]])
        self._skips = stream.codec_context.name in SKIPPABLE_CODECS
        self._last = begin - 1  # the last frame that came out whole

    def frames(self) -> Iterator[tuple[int, Any]]:
        pending = iter(self._wanted)
        following = next(pending)
        following_pts = int(self._index.frame_pts[following])
        for frame in self._decoded():
            if frame.pts < following_pts:
                continue
            if frame.pts > following_pts:
                raise VideoError(
                    f"{self._path}: the decoder did not give frame {following}. The video is "
                    "damaged there; fetch it again, or set damaged: exclude."
                )
            yield following, frame
            following = next(pending, -1)
            if following < 0:
                return
            following_pts = int(self._index.frame_pts[following])
        raise VideoError(f"{self._path}: ends before frame {following}, expected by its index.")

    def _decoded(self) -> Iterator[Any]:
        context = self._stream.codec_context
        try:
            for packet in self._packets():
                if self._skips:
                    early = packet.pts is not None and packet.pts < self._first_pts
                    context.skip_frame = "NONREF" if early else "DEFAULT"
                for frame in packet.decode():
                    if frame.pts is None or frame.pts < self._begin_pts:
                        continue  # refers to what lies before the keyframe; nobody asked for it
                    if frame.is_corrupt:
                        raise av.InvalidDataError(0, "the decoder marks it as corrupt")
                    self._last = int(np.searchsorted(self._index.frame_pts, frame.pts))
                    yield frame
        except av.FFmpegError as error:
            where = f"frame {self._last + 1} or soon after"
            raise decode_error(self._path, error, where=where) from error

    def _packets(self) -> Iterator[Any]:
        """Yield packets from the keyframe on, each compared with the index."""
        place, packets = self._seek()
        sizes, pts = self._index.packet_sizes, self._index.packet_pts
        for packet in packets:
            if packet.size == 0 and packet.pts is None:
                yield packet  # the end: makes the decoder hand out what it holds back
                return
            if place >= len(pts) or packet.pts != pts[place] or packet.size != sizes[place]:
                raise _SeekMismatchError
            yield packet
            place += 1

    def _seek(self) -> tuple[int, Iterator[Any]]:
        """Return the keyframe's place in the file and the packets from there on."""
        pts = self._index.packet_pts
        # Whatever precedes the first frame belongs to it.
        target = self._places[self._begin_pts] if self._begin else 0
        earlier = self._index.seek_frames[self._index.seek_frames < self._begin][::-1][:2]
        tries = [self._begin_pts, *(int(self._index.frame_pts[n]) for n in earlier)]
        for timestamp in [*tries, int(pts.min()) - 1]:
            try:
                self._container.seek(timestamp, stream=self._stream, backward=True)
            except av.FFmpegError:
                continue
            packets = self._container.demux(self._stream)
            head = self._skip_to(target, packets)
            if head is not None:
                return target, _chain(head, packets)
        raise _SeekMismatchError

    def _skip_to(self, target: int, packets: Iterator[Any]) -> Any | None:
        """Return the packet at place `target`, or None where the seek landed behind it."""
        for packet in packets:
            place = self._places.get(packet.pts, target + 1)
            if place == target and packet.size == self._index.packet_sizes[target]:
                return packet
            if place >= target:
                return None
        return None


def _chain(head: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield head
    yield from rest
