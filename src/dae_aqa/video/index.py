"""The index of a video: its frames in presentation order, found by reading packets, not decoding.

Frame `n` of the decoder is the picture with the `n`-th presentation timestamp. Where packets cannot
tell that surely (no or doubled timestamps, packets that show nothing, fields coded apart), the
index is made by decoding the video once, and says so. `nb_frames` of the container is never used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from dae_aqa.errors import VideoError
from dae_aqa.video.bitstream import (
    ONE_PICTURE_PER_PACKET,
    is_clean_start,
    may_hold_fields,
    nal_length_size,
    shows_a_picture,
)
from dae_aqa.video.container import open_video

Int64Array = NDArray[np.int64]

INDEX_VERSION = 2
# So many frames are decoded at the beginning to learn which of the first packets show nothing
# (pictures that refer to something before the cut).
_NUM_CHECKED_FRAMES = 32
_MAX_ROUNDING_SECONDS = 1e-3
# A container that announces this much more than it holds was cut off.
_TRUNCATION_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoIndex:
    """Where the frames of one video are. All timestamps are in units of `time_base`.

    Attributes:
        frame_pts: presentation timestamp per frame, strictly increasing where `is_seekable`; (N,).
        frame_durations: duration per frame as the container gives it, 0 where unknown; (N,).
        packet_pts: timestamp per packet in file order; empty unless `is_seekable`.
        packet_sizes: bytes per packet in file order; empty unless `is_seekable`.
        seek_frames: numbers of the frames at which decoding may begin, ascending.
        time_base: seconds per unit.
        frame_rate: the rate that ffmpeg guesses for the stream, frames per second.
        container_start: start of the earliest stream, which players and ffmpeg call time 0.
        num_streams: streams of any kind in the container.
        container: PyAV's name of the container format.
        is_seekable: whether frames can be identified by timestamp after a seek.
        is_truncated: whether the container announces notably more than it holds, or damage ended
            a count made by decoding.
        counted_by: `packets` or `decoding`.
    """

    frame_pts: Int64Array
    frame_durations: Int64Array
    packet_pts: Int64Array
    packet_sizes: Int64Array
    seek_frames: Int64Array
    time_base: Fraction
    frame_rate: Fraction
    container_start: int
    num_streams: int
    container: str
    is_seekable: bool
    is_truncated: bool
    counted_by: str

    @property
    def num_frames(self) -> int:
        """Number of frames that the decoder gives."""
        return len(self.frame_pts)

    @property
    def is_variable_rate(self) -> bool:
        """Whether the frames are not evenly spaced, rounding to the time base aside."""
        gaps = np.diff(self.frame_pts)
        rounding = max(1.0, _MAX_ROUNDING_SECONDS / float(self.time_base))
        return len(gaps) > 0 and int(gaps.max() - gaps.min()) > rounding

    def seek_frame(self, number: int) -> int:
        """Return the last frame at or before `number` at which decoding may begin; 0 if none."""
        place = int(np.searchsorted(self.seek_frames, number, side="right")) - 1
        return int(self.seek_frames[place]) if place >= 0 else 0


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
        shared = {
            "time_base": stream.time_base,
            "frame_rate": Fraction(stream.guessed_rate or stream.average_rate or 25),
            "container_start": _container_start(container, stream),
            "num_streams": len(container.streams),
            "container": container.format.name,
        }
        announced = _announced_end(container, stream)
    index = _index_by_packets(path, packets, shared, announced) if packets.is_countable else None
    if index is None:
        index = _index_by_decoding(path, packets, shared)
    if index.num_frames == 0:
        raise VideoError(f"{path}: no frame in it can be decoded. Fetch the file again.")
    return index


def save_index(index: VideoIndex) -> bytes:
    """Return `index` as bytes (JSON)."""
    content: dict[str, Any] = {"version": INDEX_VERSION}
    for name, value in vars(index).items():
        if isinstance(value, np.ndarray):
            # Differences are small numbers and keep the file short.
            content[name] = np.diff(value, prepend=np.int64(0)).tolist()
        else:
            content[name] = str(value) if isinstance(value, Fraction) else value
    return json.dumps(content).encode()


def load_index(data: bytes) -> VideoIndex:
    """Return what `save_index` wrote.

    Raises:
        ValueError: it is damaged or of another version.
    """
    content = json.loads(data)
    if not isinstance(content, dict) or content.pop("version", None) != INDEX_VERSION:
        raise ValueError("not an index of this version")
    for name, value in content.items():
        if isinstance(value, list):
            content[name] = np.cumsum(np.asarray(value, dtype=np.int64), dtype=np.int64)
    for name in ("time_base", "frame_rate"):
        content[name] = Fraction(content[name])
    try:
        return VideoIndex(**content)
    except TypeError as error:
        raise ValueError("not an index of this version") from error


def _read_packets(path: Path, container: Any, stream: Any) -> _Packets:
    codec = stream.codec_context.name
    extradata = stream.codec_context.extradata
    length_size = nal_length_size(extradata)
    countable = codec in ONE_PICTURE_PER_PACKET and not may_hold_fields(codec, extradata)
    inspect = codec in ("vp8", "vp9", "mpeg4")
    rows: list[tuple[int, int, int, bool, bool]] = []
    try:
        for packet in container.demux(stream):
            if packet.size == 0 and packet.pts is None:
                continue  # the marker of the end
            if packet.pts is None or (inspect and not shows_a_picture(codec, memoryview(packet))):
                countable = False
            clean = packet.is_keyframe and is_clean_start(codec, bytes(packet), length_size)
            pts = -1 if packet.pts is None else packet.pts
            shown = not packet.is_discard
            rows.append((pts, packet.duration or 0, packet.size, shown, clean))
    except av.FFmpegError as error:
        if not rows:
            raise VideoError(f"{path}: no packet can be read ({error}).") from error
    columns = list(zip(*rows, strict=True)) or [()] * 5
    pts = np.asarray(columns[0], dtype=np.int64)
    return _Packets(
        pts=pts,
        durations=np.asarray(columns[1], dtype=np.int64),
        sizes=np.asarray(columns[2], dtype=np.int64),
        is_shown=np.asarray(columns[3], dtype=np.bool_),
        is_clean=np.asarray(columns[4], dtype=np.bool_),
        is_countable=countable and len(np.unique(pts)) == len(pts),
    )


def _index_by_packets(
    path: Path, packets: _Packets, shared: dict[str, Any], announced: int | None
) -> VideoIndex | None:
    """Return the index, or None where the first decoded frames do not bear the packets out."""
    shown = packets.pts[packets.is_shown]
    order = np.argsort(shown, kind="stable")
    frame_pts, durations = shown[order], packets.durations[packets.is_shown][order]
    timestamps = [pts for pts, _ in _decoded_timestamps(path, _NUM_CHECKED_FRAMES)]
    decoded = [pts for pts in timestamps if pts is not None]
    if not decoded or len(decoded) < len(timestamps) or _is_disordered(decoded):
        return None
    if not np.isin(decoded, frame_pts).all():
        return None
    is_given = (frame_pts > decoded[-1]) | np.isin(frame_pts, decoded)
    # Only what precedes the first frame shown may be missing; a later gap needs a real count.
    if np.any(~is_given & (frame_pts > decoded[0])):
        return None
    frame_pts, durations = frame_pts[is_given], durations[is_given]
    end = int(frame_pts[-1] + durations[-1])
    limit = _TRUNCATION_SECONDS / float(shared["time_base"])
    return VideoIndex(
        frame_pts=frame_pts,
        frame_durations=durations,
        packet_pts=packets.pts,
        packet_sizes=packets.sizes,
        seek_frames=_seek_frames(packets, frame_pts),
        is_seekable=True,
        is_truncated=announced is not None and announced - end > limit,
        counted_by="packets",
        **shared,
    )


def _index_by_decoding(path: Path, packets: _Packets, shared: dict[str, Any]) -> VideoIndex:
    timestamps: list[tuple[int | None, int]] = []
    is_truncated = False
    try:
        timestamps.extend(_decoded_timestamps(path, None))
    except VideoError:
        is_truncated = True
        timestamps = list(_decoded_before_damage(path))
    values = [pts for pts, _ in timestamps if pts is not None]
    has_pts = len(values) == len(timestamps) and not _is_disordered(values)
    unique = len(packets.pts) > 0 and len(np.unique(packets.pts)) == len(packets.pts)
    step = int(1 / (shared["frame_rate"] * shared["time_base"])) or 1
    pts = values if has_pts else [i * step for i in range(len(timestamps))]
    frame_pts = np.asarray(pts, dtype=np.int64)
    is_seekable = has_pts and unique and not is_truncated
    return VideoIndex(
        frame_pts=frame_pts,
        frame_durations=np.asarray([duration for _, duration in timestamps], dtype=np.int64),
        packet_pts=packets.pts if is_seekable else packets.pts[:0],
        packet_sizes=packets.sizes if is_seekable else packets.sizes[:0],
        seek_frames=_seek_frames(packets, frame_pts) if is_seekable else frame_pts[:0],
        is_seekable=is_seekable,
        is_truncated=is_truncated,
        counted_by="decoding",
        **shared,
    )


def _decoded_timestamps(path: Path, limit: int | None) -> Iterator[tuple[int | None, int]]:
    """Yield (timestamp, duration) of the first `limit` decoded frames, or of all of them."""
    with open_video(path) as (container, stream):
        count = 0
        try:
            for frame in container.decode(stream):
                yield frame.pts, frame.duration or 0
                count += 1
                if count == limit:
                    return
        except av.FFmpegError as error:
            if limit is None:
                raise VideoError(f"{path}: damaged after frame {count} ({error}).") from error


def _decoded_before_damage(path: Path) -> Iterator[tuple[int | None, int]]:
    try:
        yield from _decoded_timestamps(path, None)
    except VideoError:
        return


def _seek_frames(packets: _Packets, frame_pts: Int64Array) -> Int64Array:
    clean = np.sort(packets.pts[packets.is_clean])
    return np.flatnonzero(np.isin(frame_pts, clean)).astype(np.int64)


def _container_start(container: Any, stream: Any) -> int:
    """Return the container's start in units of the stream's time base."""
    if container.start_time is None:
        return int(stream.start_time or 0)
    start: Fraction = Fraction(container.start_time, av.time_base) / stream.time_base
    return round(start)


def _announced_end(container: Any, stream: Any) -> int | None:
    """Return where the container says that the stream ends, or None where it does not say."""
    if container.format.name in ("mpegts", "mpeg", "gif"):
        return None
    start = int(stream.start_time or 0)
    if stream.duration is not None:
        return start + int(stream.duration)
    noted = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))
    if noted:  # Matroska's statistics tags: the stream's end, hours:minutes:seconds
        seconds = int(noted[1]) * 3600 + int(noted[2]) * 60 + float(noted[3])
        return int(seconds / float(stream.time_base))
    if container.duration is not None and len(container.streams) == 1:
        return start + int(Fraction(container.duration, av.time_base) / stream.time_base)
    return None


def _is_disordered(timestamps: list[int]) -> bool:
    return any(a >= b for a, b in pairwise(timestamps))
