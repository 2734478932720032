"""What a request may cost at most."""

from __future__ import annotations

from dataclasses import dataclass

from dae_aqa.scorer import Limits

_BYTES_PER_MB = 1_000_000


@dataclass(frozen=True, kw_only=True)
class ServiceLimits:
    """Limits of one request, and of all together.

    Attributes:
        max_mb: size of an upload in megabytes.
        max_seconds: length of the video.
        max_frames: its frames.
        max_pixels: of one picture, width times height.
        max_in_flight: requests that are worked on at once; more are told to come back.
        upload_seconds: how long an upload may take.
        decode_seconds: how long the decoding of one clip may take, waiting aside.
        worker_memory_mb: memory that a decoding worker may take beyond what it starts with.
    """

    max_mb: int = 512
    max_seconds: float = 600.0
    max_frames: int = 50_000
    max_pixels: int = 4096 * 2304
    max_in_flight: int = 64
    upload_seconds: float = 60.0
    decode_seconds: float = 60.0
    worker_memory_mb: int = 2_000

    @property
    def max_bytes(self) -> int:
        """Size of an upload in bytes."""
        return self.max_mb * _BYTES_PER_MB

    @property
    def of_video(self) -> Limits:
        """What a video may hold."""
        return Limits(
            max_seconds=self.max_seconds, max_frames=self.max_frames, max_pixels=self.max_pixels
        )
