"""UNLV-Dive: the published split on MTL-AQA's annotations, and bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mtl_release import dive, write_pickle

from dae_aqa.datasets import DATASETS
from dae_aqa.datasets.options import DownloadOptions
from dae_aqa.datasets.unlv_dive.options import UnlvDiveOptions
from dae_aqa.errors import AnnotationError

FETCHING = DownloadOptions(num_workers=1, num_retries=0, timeout_seconds=5.0, allow_missing=True)


def load(folder: Path, **changes: object) -> Any:
    """Load from the folder that holds all, with one broadcast's frames, which are made."""
    values: dict[str, Any] = {
        "splits_dir": str(folder),
        "annotations_source": None,
        "frames_dir": str(folder),
        "released_window": False,
        "videos_dir": None,
        "video_list": None,
        "video_format": "best",
        "frame_numbering": "decoded",
        "scoring_rule": "diving",
    }
    videos = folder / "videos"
    videos.mkdir(exist_ok=True)
    options = UnlvDiveOptions(**values | changes)
    return DATASETS["unlv_dive"].load(options, FETCHING, videos, folder / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A split of two dives beside a dictionary of three, and frames of two broadcasts."""
    entries = {(1, 1): dive(1, 40), (1, 2): dive(50, 90), (2, 1): dive(1, 40)}
    write_pickle(tmp_path / "final_annotations_dict.pkl", entries)
    write_pickle(tmp_path / "train_split_370_4.pkl", [(1, 2)])
    write_pickle(tmp_path / "test_split_370_4.pkl", [(2, 1)])
    for name in ("01", "02"):
        (tmp_path / name).mkdir()
        for number in range(1, 121):
            coded = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1]
            (tmp_path / name / f"{number}.jpg").write_bytes(coded.tobytes())
    return tmp_path


def test_the_split_says_which_dives_there_are(folder: Path) -> None:
    tables = load(folder)
    rows = tables.annotations[["sample_id", "split", "end_frame"]].itertuples(index=False)
    assert list(map(tuple, rows)) == [("01_002", "train", 90), ("02_001", "test", 40)]
    assert sorted(path.name for path in (folder / "videos").iterdir()) == [
        "01.frames.csv",
        "02.frames.csv",
    ]


def test_the_dive_that_the_dictionary_lacks_is_noted(folder: Path) -> None:
    write_pickle(folder / "train_split_370_4.pkl", [(1, 2), (1, 64)])
    tables = load(folder)
    (row,) = tables.annotations[tables.annotations["sample_id"] == "01_064"].itertuples()
    assert (row.start_frame, row.end_frame, row.final_score) == (96179, 96259, 40.0)
    assert (row.judge_scores, row.action_class) == ("4;4;4;4;4.5;4.5;4.5", "407C")
    (detail,) = tables.notes.loc[tables.notes["kind"] == "not_in_dictionary", "detail"]
    assert "01.xlsx, row 250" in detail


def test_bad_splits_are_named(folder: Path) -> None:
    write_pickle(folder / "test_split_370_4.pkl", [(1, 2), (9, 9)])
    with pytest.raises(AnnotationError, match=r"(?s)\(1, 2\) is listed twice.*\(9, 9\) is not a"):
        load(folder)
    (folder / "test_split_370_4.pkl").unlink()
    with pytest.raises(AnnotationError, match=r"test_split_370_4.pkl"):
        load(folder)
    assert not list((folder / "videos").iterdir())


@pytest.mark.parametrize("source", ["unlv-dive", "mtl-aqa"])
def test_the_published_split(shared_dir: Path, folder: Path, source: str) -> None:
    annotations = shared_dir / "annotations"
    tables = load(
        folder,
        splits_dir=str(annotations / "unlv-dive"),
        annotations_source=str(annotations / source),
    )
    lost = tables.notes[tables.notes["kind"] == "excluded_video_missing"]  # broadcast 3
    table = tables.annotations
    assert len(table) + len(lost) == 370
    assert set(lost["sample_id"].str[:2]) == {"03"}


@pytest.mark.parametrize("source", ["unlv-dive", "mtl-aqa"])
def test_its_counts_and_scores(shared_dir: Path, folder: Path, source: str) -> None:
    """With frames of all three broadcasts. Source: FIELD, counted from the lists."""
    (folder / "03").mkdir()
    (folder / "03" / "1.jpg").write_bytes((folder / "01" / "1.jpg").read_bytes())
    annotations = shared_dir / "annotations"
    table = load(
        folder,
        splits_dir=str(annotations / "unlv-dive"),
        annotations_source=str(annotations / source),
    ).annotations
    assert table["split"].value_counts().to_dict() == {"train": 300, "test": 70}
    scores = table.loc[table["split"] == "test", "final_score"]
    assert (scores.min(), scores.max()) == (21.6, 102.6)
    num_marked = (table["judge_scores"] != "").sum()
    assert num_marked == (370 if source == "mtl-aqa" else 1)
