"""Read frames of a video by number: seek to a clean keyframe, decode, check every step.

Some decoders need what stands at the start of the file alone, so they see it before the first seek.
Where a seek fails nevertheless, the video is decoded from its start before it is called damaged.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np

from dae_aqa.errors import VideoError
from dae_aqa.video.bitstream import is_skippable, nal_length_size, num_head_packets
from dae_aqa.video.container import check_frame_size, decode_error, open_video
from dae_aqa.video.index import Int64Array, VideoIndex

_logger = logging.getLogger(__name__)
_survey_lock = threading.Lock()  # one video at a time is decoded from its start, with all cores


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
        The number and PyAV's `VideoFrame`, as coded (see `dae_aqa.video.upright`).

    Raises:
        VideoError: a number is out of range, or the video is damaged on the way to it.
    """
    wanted = sorted(set(numbers))
    if wanted and not 0 <= wanted[0] <= wanted[-1] < index.num_frames:
        raise VideoError(
            f"{path}: asked for frames {wanted[0]} to {wanted[-1]}, it has {index.num_frames}."
        )
    if not wanted:
        return
    done = 0
    if index.is_seekable:
        try:
            for number, frame in _by_seeking(path, index, wanted, num_threads, hwaccel):
                yield number, frame
                done += 1
            return
        except _SeekMismatchError:
            pass  # the demuxer does not seek faithfully; counting from the start still does
        except VideoError as error:
            if not _decodes_from_start(path, index, wanted[done:], error):
                raise
            yield from _from_start(path, index, wanted[done:])
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
                check_frame_size(path, frame)
                yield number, frame
        except av.FFmpegError as error:
            raise decode_error(path, error, where=f"frame {number + 1}") from error


def _by_counting(
    path: Path, wanted: Sequence[int], num_threads: int, hwaccel: str | None
) -> Iterator[tuple[int, Any]]:
    pending = iter(wanted)
    following = next(pending)
    with open_video(path, num_threads=num_threads, hwaccel=hwaccel) as (container, stream):
        number = -1
        is_whole = True
        try:
            for number, frame in enumerate(container.decode(stream)):
                check_frame_size(path, frame)
                is_whole = not frame.is_corrupt and (is_whole or frame.key_frame)
                if number == following:
                    if not is_whole:
                        raise av.InvalidDataError(0, "the decoder marks it as corrupt")
                    yield number, frame
                    following = next(pending, -1)
                    if following < 0:
                        return
        except av.FFmpegError as error:
            where = f"frame {number if not is_whole else number + 1}"
            raise decode_error(path, error, where=where) from error
    raise VideoError(f"{path}: ends at frame {number + 1}, before frame {following}.")


def _decodes_from_start(
    path: Path, index: VideoIndex, wanted: Sequence[int], error: VideoError
) -> bool:
    """Say whether the frames `wanted`, which a seek did not give, come out whole without one."""
    _logger.warning(
        "%s Decoding the whole video, which takes a while, to see whether it is damaged.", error
    )
    with _survey_lock:
        sound = _sound_timestamps(path, index)
    return bool(np.isin(index.frame_pts[list(wanted)], sound).all())


@lru_cache(maxsize=64)
def _sound_timestamps(path: Path, index: VideoIndex) -> Int64Array:
    """Return the timestamps of the frames that come out whole from the start; (M,) int64."""
    found = [frame.pts for frame, is_whole in _decoded_from_start(path, index) if is_whole]
    return np.asarray(found, dtype=np.int64)


def _from_start(path: Path, index: VideoIndex, wanted: Sequence[int]) -> Iterator[tuple[int, Any]]:
    """Yield the frames `wanted`, all of them sound, without a seek and in software."""
    numbers = {int(index.frame_pts[number]): number for number in wanted}
    for frame, _ in _decoded_from_start(path, index):
        if frame.pts in numbers:
            yield numbers.pop(frame.pts), frame
        if not numbers:
            return


def _decoded_from_start(path: Path, index: VideoIndex) -> Iterator[tuple[Any, bool]]:
    """Yield every frame with a timestamp, and whether it is whole; go on after damage.

    After damage frames count as broken up to the next one at which decoding may begin.
    """
    clean = set(index.frame_pts[index.seek_frames].tolist())
    is_whole = True
    with (
        open_video(path, num_threads=os.cpu_count() or 1) as (container, stream),
        suppress(av.FFmpegError),  # of the demuxer: what follows cannot be reached
    ):
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                is_whole = False
                continue
            for frame in frames:
                check_frame_size(path, frame)
                is_whole = not frame.is_corrupt and (is_whole or frame.pts in clean)
                if frame.pts is not None:
                    yield frame, is_whole


def _by_seeking(
    path: Path, index: VideoIndex, wanted: Sequence[int], num_threads: int, hwaccel: str | None
) -> Iterator[tuple[int, Any]]:
    places = {pts: place for place, pts in enumerate(index.packet_pts.tolist())}
    with open_video(path, num_threads=num_threads, hwaccel=hwaccel) as (container, stream):
        if index.seek_frame(wanted[-1]) > 0:
            _decode_head(container, stream)
        for first, segment in _segments(index, wanted):
            reader = _SegmentReader(path, container, stream, index, places, first, segment)
            yield from reader.frames()


def _decode_head(container: Any, stream: Any) -> None:
    """Show the decoder what it must have seen at the start of the file to begin elsewhere."""
    context = stream.codec_context
    num_packets = 1
    for place, packet in enumerate(container.demux(stream)):
        if place == 0:
            length_size = nal_length_size(context.extradata)
            num_packets = num_head_packets(context.name, bytes(packet), length_size)
        if place >= num_packets:
            return
        with suppress(av.FFmpegError):  # a fault there is met where those frames are asked for
            packet.decode()


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
                    f"{self._path}: its packets announce frame {following}, but the decoder does "
                    "not give it. Fetch the video again, convert it with ffmpeg, or set damaged: "
                    "exclude to go on without the samples that lie there."
                )
            yield following, frame
            following = next(pending, -1)
            if following < 0:
                return
            following_pts = int(self._index.frame_pts[following])
        raise VideoError(f"{self._path}: ends before frame {following}, expected by its index.")

    def _decoded(self) -> Iterator[Any]:
        context = self._stream.codec_context
        length_size = nal_length_size(context.extradata)
        try:
            for packet in self._packets():
                is_early = packet.pts is not None and packet.pts < self._first_pts
                skips = is_early and is_skippable(context.name, bytes(packet), length_size)
                context.skip_frame = "NONREF" if skips else "DEFAULT"
                for frame in packet.decode():
                    check_frame_size(self._path, frame)
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
