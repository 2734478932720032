"""Read frames of a video by number: seek to a clean keyframe, decode, check every step.

Some decoders must have seen the start of the file, so they get it before the first seek. Where a
seek fails all the same, the video is decoded from its start before it is called damaged.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av import Packet, VideoFrame, VideoStream
from av.container import InputContainer

from dae_aqa.errors import VideoError
from dae_aqa.video.bitstream import is_skippable, nal_length_size, num_head_packets
from dae_aqa.video.container import check_frame_size, decode_error, open_video
from dae_aqa.video.index import Int64Array, VideoIndex

logger = logging.getLogger(__name__)
_survey_lock = threading.Lock()  # one video at a time is decoded from its start, with all cores
_CORRUPT = "the decoder marks it as corrupt"


class _SeekMismatchError(Exception):
    """After a seek the packets are not those that the index lists."""


def read_frames(
    path: Path,
    *,
    index: VideoIndex,
    numbers: Sequence[int],
    num_threads: int = 1,
    hwaccel: str | None = None,
) -> Iterator[tuple[int, VideoFrame]]:
    """Yield `(number, frame)` for the decoded frames `numbers`, each once, in ascending order.

    Args:
        path: the video.
        index: its index.
        numbers: 0-based frame numbers as the decoder counts them; any order, repeats allowed.
        num_threads: decoder threads.
        hwaccel: name of a hardware decoder, or None.

    Yields:
        The number and the frame as coded (`dae_aqa.video.upright` turns it upright).

    Raises:
        VideoError: a number is out of range, or the video is damaged on the way to it.
    """
    wanted = sorted(set(numbers))
    if not wanted:
        return
    if not 0 <= wanted[0] <= wanted[-1] < index.num_frames:
        raise VideoError(
            f"{path}: asked for frames {wanted[0]} to {wanted[-1]}, it has {index.num_frames}."
        )
    done = 0
    if index.is_seekable:
        try:
            for number, frame in _by_seeking(path, index, wanted, num_threads, hwaccel):
                yield number, frame
                done += 1
            return
        except _SeekMismatchError:
            pass  # the demuxer does not seek faithfully; counting from the start still works
        except VideoError as error:
            if not _decodes_from_start(path, index, wanted[done:], error):
                raise
            yield from _from_start(path, index, wanted[done:])
            return
    yield from _by_counting(path, wanted[done:], num_threads, hwaccel)


def _by_counting(
    path: Path, wanted: Sequence[int], num_threads: int, hwaccel: str | None
) -> Iterator[tuple[int, VideoFrame]]:
    """Yield the frames `wanted` by decoding all frames up to the last of them."""
    pending = iter(wanted)
    following = next(pending)
    number = -1
    is_whole = True
    with open_video(path, num_threads=num_threads, hwaccel=hwaccel) as (container, stream):
        try:
            for number, frame in enumerate(container.decode(stream)):
                check_frame_size(path, frame)
                is_whole = not frame.is_corrupt and (is_whole or frame.key_frame)
                if number == following:
                    if not is_whole:
                        raise av.InvalidDataError(0, _CORRUPT)
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
    logger.warning(
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


def _from_start(
    path: Path, index: VideoIndex, wanted: Sequence[int]
) -> Iterator[tuple[int, VideoFrame]]:
    """Yield the frames `wanted`, all of them sound, without a seek and in software."""
    numbers = {int(index.frame_pts[number]): number for number in wanted}
    for frame, _ in _decoded_from_start(path, index):
        if frame.pts in numbers:
            yield numbers.pop(frame.pts), frame
        if not numbers:
            return


def _decoded_from_start(path: Path, index: VideoIndex) -> Iterator[tuple[VideoFrame, bool]]:
    """Yield every frame with a timestamp, and whether it is whole; go on after damage.

    After damage a frame counts as broken until one comes at which decoding may begin.
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
) -> Iterator[tuple[int, VideoFrame]]:
    """Yield the frames `wanted`, each decoded from the nearest place where decoding may begin."""
    with open_video(path, num_threads=num_threads, hwaccel=hwaccel) as (container, stream):
        if index.seek_frame(wanted[-1]) > 0:
            _decode_head(container, stream)
        reader = _SeekingReader(path, index, container, stream)
        for begin, segment in _segments(index, wanted):
            yield from reader.frames(begin, segment)


def _decode_head(container: InputContainer, stream: VideoStream) -> None:
    """Give the decoder the packets at the start of the file that it must have seen."""
    context = stream.codec_context
    num_packets = 1
    for place, packet in enumerate(container.demux(stream)):
        if place == 0:
            length_size = nal_length_size(context.extradata)
            num_packets = num_head_packets(context.name, bytes(packet), length_size)
        if place >= num_packets:
            return
        with suppress(av.FFmpegError):  # reported where somebody asks for those frames
            packet.decode()


def _segments(index: VideoIndex, wanted: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Yield (frame to begin decoding at, frames wanted); a seek within a segment saves nothing."""
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


class _SeekingReader:
    """Seeks in one opened video and compares every packet and frame with the index."""

    def __init__(
        self, path: Path, index: VideoIndex, container: InputContainer, stream: VideoStream
    ) -> None:
        self._path, self._index, self._container, self._stream = path, index, container, stream
        # packet timestamp -> place in the file
        self._places = {pts: place for place, pts in enumerate(index.packet_pts.tolist())}

    def frames(self, begin: int, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Yield the frames `wanted`, ascending, decoded from frame `begin` on."""
        pending = zip(wanted, self._index.frame_pts[list(wanted)].tolist(), strict=True)
        number, number_pts = next(pending)
        for frame, pts in self._decoded(begin, needed_from=number_pts):
            if pts < number_pts:
                continue
            if pts > number_pts:
                raise VideoError(
                    f"{self._path}: its packets announce frame {number}, but the decoder does not "
                    "give it. Fetch the video again, convert it with ffmpeg, or set damaged: "
                    "exclude to go on without the samples that lie there."
                )
            yield number, frame
            number, number_pts = next(pending, (-1, -1))
            if number < 0:
                return
        raise VideoError(f"{self._path}: ends before frame {number}, expected by its index.")

    def _decoded(self, begin: int, *, needed_from: int) -> Iterator[tuple[VideoFrame, int]]:
        """Yield (frame, timestamp) from frame `begin` on.

        The decoder may leave out frames before the timestamp `needed_from` that no other needs.
        """
        context = self._stream.codec_context
        length_size = nal_length_size(context.extradata)
        begin_pts = int(self._index.frame_pts[begin])
        last = begin - 1  # the last frame that came out whole
        try:
            for packet in self._packets(begin):
                is_early = packet.pts is not None and packet.pts < needed_from
                skips = is_early and is_skippable(context.name, bytes(packet), length_size)
                context.skip_frame = "NONREF" if skips else "DEFAULT"
                for frame in packet.decode():
                    check_frame_size(self._path, frame)
                    if frame.pts is None or frame.pts < begin_pts:
                        continue  # it may refer to what lies before the keyframe
                    if frame.is_corrupt:
                        raise av.InvalidDataError(0, _CORRUPT)
                    last = int(np.searchsorted(self._index.frame_pts, frame.pts))
                    yield frame, frame.pts
        except av.FFmpegError as error:
            where = f"frame {last + 1} or soon after"
            raise decode_error(self._path, error, where=where) from error

    def _packets(self, begin: int) -> Iterator[Packet[VideoStream]]:
        """Yield the packets from frame `begin` on, each compared with the index."""
        # The packets before the first frame belong to it.
        place = self._places[int(self._index.frame_pts[begin])] if begin else 0
        sizes, pts = self._index.packet_sizes, self._index.packet_pts
        for packet in self._seek(begin, place):
            if packet.size == 0 and packet.pts is None:
                yield packet  # the end: makes the decoder give the frames that it holds back
                return
            if place >= len(pts) or packet.pts != pts[place] or packet.size != sizes[place]:
                raise _SeekMismatchError
            yield packet
            place += 1

    def _seek(self, begin: int, place: int) -> Iterator[Packet[VideoStream]]:
        """Return the packets from the one at `place` on, which holds frame `begin`.

        Where a seek lands behind it, earlier places are tried, the start of the file last.
        """
        frame_pts, seek_frames = self._index.frame_pts, self._index.seek_frames
        earlier = seek_frames[seek_frames < begin][::-1][:2]
        tries = frame_pts[[begin, *earlier]].tolist()
        for timestamp in [*tries, int(self._index.packet_pts.min()) - 1]:
            try:
                self._container.seek(timestamp, stream=self._stream, backward=True)
            except av.FFmpegError:
                continue
            packets = self._container.demux(self._stream)
            head = self._skip_to(place, packets)
            if head is not None:
                return chain([head], packets)
        raise _SeekMismatchError

    def _skip_to(
        self, target: int, packets: Iterator[Packet[VideoStream]]
    ) -> Packet[VideoStream] | None:
        """Return the packet at place `target`, or None where the seek landed behind it."""
        for packet in packets:
            place = target + 1 if packet.pts is None else self._places.get(packet.pts, target + 1)
            if place == target and packet.size == self._index.packet_sizes[target]:
                return packet
            if place >= target:
                return None
        return None
