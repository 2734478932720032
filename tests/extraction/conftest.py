"""Options for extraction."""

from __future__ import annotations

import pytest

from dae_aqa.extraction.options import ExtractOptions


@pytest.fixture
def options() -> ExtractOptions:
    return ExtractOptions(
        num_frames=20,
        margin_frames=3,
        window="end",
        numbering="decoded",
        width=320,
        height=192,
        resize_filter="area",
        image_format="jpeg",
        jpeg_quality=90,
        early_end="error",
        damaged="error",
        hwaccel=None,
        num_workers=2,
    )
