"""The plan of a video: how its samples are shared out, before anything is decoded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from tests.extraction.sample_table import table

from dae_aqa.extraction.cache import WorkCache
from dae_aqa.extraction.options import ExtractOptions
from dae_aqa.extraction.plan import VideoPlan, plan_video

# nine samples before frame 20, three around frame 70; the videos begin anew at 40 and 80
EARLY = [(f"early{n}", "v", 0, 10 + n) for n in range(9)]
LATE = [(f"late{n}", "v", 0, 70 + n) for n in range(3)]


@pytest.fixture
def plan(
    numbered_video: Callable[[str], Path], tmp_path: Path, options: ExtractOptions
) -> Callable[[str, pd.DataFrame], VideoPlan]:
    short = options.replaced(num_frames=5, margin_frames=0)

    def make(kind: str, rows: pd.DataFrame) -> VideoPlan:
        video = numbered_video(kind)
        (tmp_path / f"v{video.suffix}").symlink_to(video)
        cache = WorkCache(tmp_path / "cache")
        return plan_video("v", rows, videos_dir=tmp_path, cache=cache, options=short)

    return make


def sample_ids(plan: VideoPlan) -> list[list[str]]:
    return [[sample.sample_id for sample in task.samples] for task in plan.tasks]


def test_samples_are_shared_out_where_a_seek_is_due(
    plan: Callable[[str, pd.DataFrame], VideoPlan],
) -> None:
    found = plan("mpeg4_no_b_avi", table(*LATE[::-1], *EARLY[::-1]))
    early, late = ([sample_id for sample_id, *_ in rows] for rows in (EARLY, LATE))
    assert found.tasks[0].index.seek_frames.tolist() == [0, 40, 80]
    assert sample_ids(found) == [early, late]
    assert found.tasks[0].samples[3].decoded == (8, 9, 10, 11, 12)


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("mpeg4_no_b_avi", EARLY[2:] + LATE),  # too few to be worth another thread
        ("mpeg4_no_b_avi", [*EARLY, ("long", "v", 0, 42), *LATE]),  # it reaches past the seek
        ("h264_avi", EARLY + LATE),  # no seeks: every thread would decode all of it
    ],
    ids=["few", "overlap", "no_seeks"],
)
def test_samples_stay_together(
    kind: str,
    rows: list[tuple[str, str, int, int]],
    plan: Callable[[str, pd.DataFrame], VideoPlan],
) -> None:
    assert sorted(map(len, sample_ids(plan(kind, table(*rows))))) == [len(rows)]


def test_a_missing_video_excludes_its_samples(tmp_path: Path, options: ExtractOptions) -> None:
    cache = WorkCache(tmp_path / "cache")
    found = plan_video("v", table(*LATE), videos_dir=tmp_path, cache=cache, options=options)
    assert found.tasks == []
    assert [(each.sample_id, each.video_id) for each in found.excluded] == [
        (f"late{n}", "v") for n in range(3)
    ]
    assert all("no video for video_id 'v'" in each.reason for each in found.excluded)
