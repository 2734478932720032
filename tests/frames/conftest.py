"""Numbered videos, made once per session, and tables for extraction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from numbered_videos import MAKERS

from dae_aqa.extraction.options import ExtractOptions

NUM_FRAMES = 120


@pytest.fixture(scope="session")
def numbered_video(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the numbered video of a kind, see `numbered_videos.MAKERS`."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = MAKERS[name](tmp_path_factory.mktemp(name), NUM_FRAMES)
        return made[name]

    return get


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


@pytest.fixture
def with_options(options: ExtractOptions) -> Callable[..., ExtractOptions]:
    return lambda **changes: replace(options, **changes)
