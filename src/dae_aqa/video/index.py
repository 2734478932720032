"""The index of a video: its frames in presentation order, and where decoding may begin."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]

INDEX_VERSION = 2
_MAX_ROUNDING_SECONDS = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoIndex:
    """Where the frames of one video lie. All timestamps are in units of `time_base`.

    Attributes:
        frame_pts: presentation timestamp per frame, strictly increasing where `is_seekable`; (N,).
        frame_durations: duration per frame as the container gives it, 0 where unknown; (N,).
        packet_pts: timestamp per packet in file order; empty unless `is_seekable`.
        packet_sizes: bytes per packet in file order; empty unless `is_seekable`.
        seek_frames: numbers of the frames at which decoding may begin, ascending; empty unless
            `is_seekable`.
        time_base: seconds per unit.
        frame_rate: frames per second, as ffmpeg guesses them for the stream.
        container_start: start of the earliest stream, which players and ffmpeg call time 0.
        num_streams: streams of any kind in the container.
        container: PyAV's name of the container format.
        is_seekable: whether frames can be identified by timestamp after a seek.
        is_truncated: whether the file holds notably less than its container announces, or damage
            ended the count.
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

    def to_json(self) -> bytes:
        """Return the index as bytes, equal for equal content."""
        content: dict[str, Any] = {"version": INDEX_VERSION}
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                # Differences are small numbers and keep the file short.
                content[name] = np.diff(value, prepend=np.int64(0)).tolist()
            else:
                content[name] = str(value) if isinstance(value, Fraction) else value
        return json.dumps(content).encode()

    @classmethod
    def from_json(cls, data: bytes) -> VideoIndex:
        """Return what `to_json` wrote.

        Raises:
            ValueError: it is damaged or of another version.
        """
        content = json.loads(data)
        if not isinstance(content, dict) or content.pop("version", None) != INDEX_VERSION:
            raise ValueError("not an index of this version")
        try:
            for name, value in content.items():
                if isinstance(value, list):
                    content[name] = np.cumsum(np.asarray(value, dtype=np.int64), dtype=np.int64)
            for name in ("time_base", "frame_rate"):
                content[name] = Fraction(content[name])
            return cls(**content)
        except (KeyError, TypeError) as error:
            raise ValueError("its fields are not those of an index") from error
