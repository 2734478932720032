"""Tiny packed samples for the tests of clips and training: PNG, so that pixels stay exact."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from dae_aqa.packs.store import SampleMeta, write_packed_sample

MARGIN = 2
WIDTH, HEIGHT = 48, 40


def draw_frames(sample_id: str, *, num_frames: int, brightness: float | None = None) -> np.ndarray:
    """Return uint8 RGB frames (F, HEIGHT, WIDTH, 3), margins included, that differ everywhere.

    Args:
        sample_id: seeds the noise.
        num_frames: of the window; the margins come on top.
        brightness: 0 … 1 gives flat frames with a little noise, which a network can read off.
    """
    rng = np.random.default_rng(list(sample_id.encode()))
    shape = (num_frames + 2 * MARGIN, HEIGHT, WIDTH, 3)
    if brightness is None:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return (rng.normal(40 + 170 * brightness, 4, shape)).clip(0, 255).astype(np.uint8)


def write_pack(folder: Path, sample_id: str, frames: np.ndarray) -> Path:
    """Pack frames (F, H, W, 3) whose first and last `MARGIN` are margin."""
    images = [cv2.imencode(".png", frame[..., ::-1])[1].tobytes() for frame in frames]
    meta = SampleMeta(
        sample_id=sample_id,
        video_id="01",
        video_sha256="0" * 64,
        numbering="decoded",
        window="end",
        frame_numbers=tuple(range(100, 100 + len(frames))),
        window_offset=MARGIN,
        window_length=len(frames) - 2 * MARGIN,
        num_repeated_before=0,
        num_repeated_after=0,
        width=frames.shape[2],
        height=frames.shape[1],
        image_format="png",
    )
    path = folder / f"{sample_id}.zip"
    write_packed_sample(path, meta=meta, images=images)
    return path
