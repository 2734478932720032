"""Make the index of a video by reading its packets, not decoding.

Frame `n` of the decoder is the picture with the `n`-th presentation timestamp. Where the packets
leave that open (no or doubled timestamps, packets that show nothing, fields coded apart), the video
is decoded once, and the index says so. The container's own count `nb_frames` is never used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
from av import VideoStream
from av.container import InputContainer
from numpy.typing import NDArray

from dae_aqa.errors import VideoError
from dae_aqa.video.bitstream import (
    MAY_SHOW_NOTHING,
    ONE_PICTURE_PER_PACKET,
    is_clean_start,
    may_hold_fields,
    nal_length_size,
    shows_a_picture,
)
from dae_aqa.video.container import open_video
from dae_aqa.video.index import Int64Array, VideoIndex

# Frames decoded at the beginning, to see which of the first packets show nothing: pictures that
# refer to something before the cut.
_NUM_CHECKED_FRAMES = 32
# A file whose container announces this much more than it holds was cut off.
_TRUNCATION_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """The fields of `VideoIndex` that need no look at the packets."""

    time_base: Fraction
    frame_rate: Fraction
    container_start: int
    num_streams: int
    container: str


@dataclass(frozen=True, kw_only=True)
class _Packets:
    """What one pass over the packets found, per packet in file order; -1 for no timestamp."""

    pts: Int64Array
    durations: Int64Array
    sizes: Int64Array
    is_shown: NDArray[np.bool_]
    is_clean: NDArray[np.bool_]
    is_countable: bool  # each packet surely is one picture, with a timestamp of its own


def build_index(path: Path) -> VideoIndex:
    """Index the video at `path`.

    Raises:
        VideoError: the file is missing, is no video, or has no decodable frame.
    """
    with open_video(path) as (container, stream):
        packets = _read_packets(path, container, stream)
        time_base = stream.time_base
        assert time_base is not None  # every demuxer sets it
        facts = _Facts(
            time_base=time_base,
            frame_rate=Fraction(stream.guessed_rate or stream.average_rate or 25),
            container_start=_container_start(container, stream, time_base),
            num_streams=len(container.streams),
            container=container.format.name,
        )
        announced_end = _announced_end(container, stream, time_base)
    index = _index_by_packets(path, packets, facts, announced_end) if packets.is_countable else None
    if index is None:
        index = _index_by_decoding(path, packets, facts)
    if index.num_frames == 0:
        raise VideoError(f"{path}: no frame in it can be decoded. Fetch the file again.")
    return index


def _read_packets(path: Path, container: InputContainer, stream: VideoStream) -> _Packets:
    """Read all packets, or those before the place where the container is damaged."""
    codec = stream.codec_context.name
    extradata = stream.codec_context.extradata
    length_size = nal_length_size(extradata)
    is_countable = codec in ONE_PICTURE_PER_PACKET and not may_hold_fields(codec, extradata)
    rows: list[tuple[int, int, int, bool, bool]] = []
    try:
        for packet in container.demux(stream):
            if packet.size == 0 and packet.pts is None:
                continue  # the marker of the end
            if packet.pts is None or (
                codec in MAY_SHOW_NOTHING and not shows_a_picture(codec, memoryview(packet))
            ):
                is_countable = False
            is_clean = packet.is_keyframe and is_clean_start(codec, bytes(packet), length_size)
            pts = -1 if packet.pts is None else packet.pts
            is_shown = not packet.is_discard
            rows.append((pts, packet.duration or 0, packet.size, is_shown, is_clean))
    except av.FFmpegError as error:
        if not rows:
            raise VideoError(f"{path}: no packet can be read ({error}).") from error
    columns = list(zip(*rows, strict=True)) or [()] * 5
    pts_column = np.asarray(columns[0], dtype=np.int64)
    return _Packets(
        pts=pts_column,
        durations=np.asarray(columns[1], dtype=np.int64),
        sizes=np.asarray(columns[2], dtype=np.int64),
        is_shown=np.asarray(columns[3], dtype=np.bool_),
        is_clean=np.asarray(columns[4], dtype=np.bool_),
        is_countable=is_countable and _are_distinct(pts_column),
    )


def _index_by_packets(
    path: Path, packets: _Packets, facts: _Facts, announced_end: int | None
) -> VideoIndex | None:
    """Return the index, or None where the first decoded frames contradict the packets."""
    shown = packets.pts[packets.is_shown]
    order = np.argsort(shown, kind="stable")
    frame_pts, durations = shown[order], packets.durations[packets.is_shown][order]
    decoded = _decode_timestamps(path, limit=_NUM_CHECKED_FRAMES).known_pts()
    if not decoded or not np.isin(decoded, frame_pts).all():
        return None
    is_given = (frame_pts > decoded[-1]) | np.isin(frame_pts, decoded)
    # Only what precedes the first frame shown may be missing; a later gap needs a real count.
    if np.any(~is_given & (frame_pts > decoded[0])):
        return None
    frame_pts, durations = frame_pts[is_given], durations[is_given]
    end = int(frame_pts[-1] + durations[-1])
    limit = _TRUNCATION_SECONDS / float(facts.time_base)
    return VideoIndex(
        frame_pts=frame_pts,
        frame_durations=durations,
        packet_pts=packets.pts,
        packet_sizes=packets.sizes,
        seek_frames=_seek_frames(packets, frame_pts),
        is_seekable=True,
        is_truncated=announced_end is not None and announced_end - end > limit,
        counted_by="packets",
        **vars(facts),
    )


def _index_by_decoding(path: Path, packets: _Packets, facts: _Facts) -> VideoIndex:
    """Return the index of the frames that the decoder gives, up to damage if there is any."""
    decoded = _decode_timestamps(path, limit=None)
    known_pts = decoded.known_pts()
    step = int(1 / (facts.frame_rate * facts.time_base)) or 1
    pts = known_pts or [i * step for i in range(len(decoded.pts))]
    frame_pts = np.asarray(pts, dtype=np.int64)
    is_seekable = (
        known_pts is not None
        and not decoded.is_damaged
        and len(packets.pts) > 0
        and _are_distinct(packets.pts)
    )
    return VideoIndex(
        frame_pts=frame_pts,
        frame_durations=np.asarray(decoded.durations, dtype=np.int64),
        packet_pts=packets.pts if is_seekable else packets.pts[:0],
        packet_sizes=packets.sizes if is_seekable else packets.sizes[:0],
        seek_frames=_seek_frames(packets, frame_pts) if is_seekable else frame_pts[:0],
        is_seekable=is_seekable,
        is_truncated=decoded.is_damaged,
        counted_by="decoding",
        **vars(facts),
    )


@dataclass(kw_only=True)
class _Decoded:
    """Timestamps and durations of decoded frames, up to damage if there is any."""

    pts: list[int | None]
    durations: list[int]
    is_damaged: bool

    def known_pts(self) -> list[int] | None:
        """Return the timestamps, or None where one is missing or they do not increase."""
        known = [pts for pts in self.pts if pts is not None]
        is_ordered = all(a < b for a, b in pairwise(known))
        return known if is_ordered and len(known) == len(self.pts) else None


def _decode_timestamps(path: Path, *, limit: int | None) -> _Decoded:
    """Decode the first `limit` frames, or all."""
    found = _Decoded(pts=[], durations=[], is_damaged=False)
    with open_video(path) as (container, stream):
        try:
            for frame in islice(container.decode(stream), limit):
                found.pts.append(frame.pts)
                found.durations.append(frame.duration or 0)
        except av.FFmpegError:
            found.is_damaged = True
    return found


def _seek_frames(packets: _Packets, frame_pts: Int64Array) -> Int64Array:
    """Return the numbers of the frames whose packets are clean places to begin."""
    clean = np.sort(packets.pts[packets.is_clean])
    return np.flatnonzero(np.isin(frame_pts, clean)).astype(np.int64)


def _container_start(container: InputContainer, stream: VideoStream, time_base: Fraction) -> int:
    """Return the container's start in units of `time_base`."""
    if container.start_time is None:
        return int(stream.start_time or 0)
    start = Fraction(container.start_time, av.time_base) / time_base
    return round(start)


def _announced_end(
    container: InputContainer, stream: VideoStream, time_base: Fraction
) -> int | None:
    """Return where the container says that the stream ends, or None where it does not say."""
    if container.format.name in ("mpegts", "mpeg", "gif"):
        return None
    start = int(stream.start_time or 0)
    if stream.duration is not None:
        return start + int(stream.duration)
    noted = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))
    if noted:  # Matroska's statistics tags: the stream's end, hours:minutes:seconds
        seconds = int(noted[1]) * 3600 + int(noted[2]) * 60 + float(noted[3])
        return int(seconds / float(time_base))
    if container.duration is not None and len(container.streams) == 1:
        return start + int(Fraction(container.duration, av.time_base) / time_base)
    return None


def _are_distinct(timestamps: Int64Array) -> bool:
    return len(np.unique(timestamps)) == len(timestamps)
