"""Which frames make which clip, and their size before the jitter."""

from __future__ import annotations

import numpy as np
import pytest

from dae_aqa.clips.layout import PUBLISHED_LAYOUT, ClipLayout

PUBLISHED = ClipLayout(
    starts=(0, 10, 20, 30, 40, 50, 60, 70, 80, 87),
    num_frames=16,
    stride=1,
    crop_px=224,
    size_px=224,
    jitter_px=0,
)


def test_the_published_layout_is_the_papers():
    assert PUBLISHED_LAYOUT == PUBLISHED


def test_published_clips_cover_all_103_frames():
    np.testing.assert_array_equal(PUBLISHED.frame_indices, np.arange(103))
    positions = PUBLISHED.clip_positions
    assert positions.shape == (10, 16)
    for start, clip in zip(PUBLISHED.starts, positions, strict=True):
        assert clip.tolist() == list(range(start, start + 16))
    assert positions[-1, -1] == 102


@pytest.mark.parametrize(
    "layout",
    [
        PUBLISHED,
        PUBLISHED.replaced(starts=(4,), num_frames=48, stride=2),
        PUBLISHED.replaced(starts=(30, 5, 5), num_frames=4, stride=3),
    ],
)
def test_positions_lead_to_the_frames_that_starts_and_stride_name(layout):
    expected = [[s + layout.stride * t for t in range(layout.num_frames)] for s in layout.starts]
    assert layout.frame_indices[layout.clip_positions].tolist() == expected
    assert layout.frame_indices.tolist() == sorted({f for clip in expected for f in clip})


def test_jitter_pads_crop_and_size_in_proportion():
    layout = PUBLISHED.replaced(crop_px=224, size_px=112, jitter_px=4)
    assert layout.padded_size_px == 120
    assert layout.padded_crop_px == 240
