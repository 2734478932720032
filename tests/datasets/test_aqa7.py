"""AQA-7: the lists of split 4 on both scales, a small tree of generated videos, bad input."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat
from test_csv_table import write_video

from dae_aqa.datasets.aqa7.adapter import load
from dae_aqa.datasets.aqa7.lists import RANGES, normalized, read_lists
from dae_aqa.datasets.aqa7.options import Aqa7Options
from dae_aqa.errors import AnnotationError, DownloadError
from dae_aqa.options import parse_options
from dae_aqa.video.frame_list import read_frame_list

Rows = list[tuple[float, float, float]]
TRAIN: Rows = [(1, 1, 21.6), (1, 2, 62.1), (2, 1, 14.585)]
TEST: Rows = [(1, 3, 102.6), (2, 3, 16.67)]
NAMES = ["diving_001", "diving_002", "diving_003", "gym_vault_001", "gym_vault_003"]


class Tree:
    """A copy of AQA-7 with tiny videos, and the pipeline's folder of videos."""

    def __init__(self, folder: Path) -> None:
        self.root, self.target = folder / "aqa7", folder / "videos"
        self.target.mkdir()
        for name in NAMES:
            sport, number = name.rsplit("_", 1)
            write_video(self.root / sport / f"{number}.avi", num_frames=105)

    def write_lists(
        self, train: Rows | None = None, test: Rows | None = None, *, scale: float = 1
    ) -> None:
        (self.root / "Split_4").mkdir(exist_ok=True)
        for split, rows in (("train", train or TRAIN), ("test", test or TEST)):
            table = [(sport, number, score * scale) for sport, number, score in rows]
            savemat(self.root / f"Split_4/split_4_{split}_list.mat", {f"{split}_list": table})

    def load(self, *, allow_missing: bool = False, **changes: object) -> Any:
        values = {
            "annotations_dir": str(self.root),
            "videos_dir": str(self.root),
            "frames_dir": None,
            "normalize_scores": True,
            "frame_numbering": "decoded",
            "scoring_rule": None,
        }
        options = parse_options(Aqa7Options, values | changes, source="datasets.aqa7")
        return load(options, self.target, allow_missing=allow_missing)

    def refusal(self, **changes: object) -> str:
        with pytest.raises(AnnotationError, match=r".") as caught:
            self.load(**changes)
        assert not list(self.target.iterdir()), "nothing may be written"
        return str(caught.value)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_the_table(tree: Tree) -> None:
    tree.write_lists()
    tables = tree.load()
    table = tables.annotations.set_index("sample_id")
    assert list(table.index) == NAMES
    assert table.loc["gym_vault_001"].to_dict() == {
        "video_id": "gym_vault_001",
        "start_frame": 0,
        "end_frame": 103,
        "final_score": pytest.approx(50),
        "difficulty": 1.0,
        "judge_scores": "",
        "action_class": "gym_vault",
        "split": "train",
        "task": "gym_vault",
        "fold": "",
        "group": "",
    }
    assert table.loc["diving_001", "final_score"] == pytest.approx(0)
    assert table.loc["diving_003", ["final_score", "split"]].tolist() == [100, "test"]
    assert tables.notes["kind"].tolist() == ["score_normalized"] * 5
    assert "14.585 points" in tables.notes["detail"].tolist()[3]
    assert sorted(path.name for path in tree.target.iterdir()) == [f"{name}.avi" for name in NAMES]


@pytest.mark.parametrize("scale", [1, 100])
def test_points_and_hundredths_give_the_same_and_it_is_said(
    tree: Tree, scale: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    tree.write_lists(scale=scale)
    tables = tree.load(normalize_scores=False)
    assert tables.annotations["final_score"].tolist() == [21.6, 62.1, 102.6, 14.585, 16.67]
    assert tables.notes["kind"].tolist() == ["score_in_hundredths"] * (5 if scale == 100 else 0)
    assert ("hundredths of points" in caplog.text) == (scale == 100)


def test_a_short_performance_is_noted(tree: Tree) -> None:
    tree.write_lists()
    write_video(tree.root / "diving/002.avi", num_frames=90)
    tables = tree.load(normalize_scores=False)
    assert tables.annotations["end_frame"].tolist() == [103, 90, 103, 103, 103]
    assert tables.notes.to_dict("records") == [
        {"sample_id": "diving_002", "kind": "fewer_frames", "detail": "90 frames, expected 103"}
    ]


def test_missing_videos_are_all_named_or_left_out(tree: Tree) -> None:
    tree.write_lists()
    (tree.root / "diving/001.avi").unlink()
    (tree.root / "gym_vault/003.avi").write_bytes(b"no video")
    with pytest.raises(DownloadError, match=r"(?s)2 of 5 videos .*diving_001: .*gym_vault_003: "):
        tree.load()
    assert not list(tree.target.iterdir())
    tables = tree.load(allow_missing=True)
    assert tables.annotations["sample_id"].tolist() == NAMES[1:4]
    assert tables.missing_videos["video_id"].tolist() == ["diving_001", "gym_vault_003"]


def test_all_faults_of_the_lists_at_once(tree: Tree) -> None:
    tree.write_lists(
        train=[*TRAIN, (7, 1, 50), (1, 2.5, 50), (1, 9, float("nan")), (2, 1, 13)],
        test=[*TEST, (1, 1, 21.6), (3, 4, 50.5)],
    )
    message = tree.refusal()
    for fault in (
        "row 4: class 7; expected 1 to 6",
        "row 5: sample 2.5; expected a whole number from 1",
        "row 6: score nan; expected a number",
        "gym_vault_001 is listed twice in train",
        "diving_001 is in both splits",
        "ski_big_air_004, test: score 50.5 is not in the range of its class, 8 to 50",
    ):
        assert fault in message
    assert "6 problem(s)" in message


def test_missing_and_damaged_lists(tree: Tree) -> None:
    message = tree.refusal()
    assert "no split_4_train_list.mat and no consolidated_train_list.mat" in message
    assert "no split_4_test_list.mat" in message
    tree.write_lists()
    (tree.root / "Split_4/split_4_train_list.mat").write_bytes(b"\x80\x04 a pickle, not a list")
    savemat(tree.root / "Split_4/split_4_test_list.mat", {"a": [[1.0, 2.0]], "b": ["text"]})
    message = tree.refusal()
    assert "split_4_train_list.mat: no readable .mat file" in message
    assert "split_4_test_list.mat: expected one array of rows (class, sample, score)" in message
    assert "datasets.aqa7.annotations_dir: no folder" in tree.refusal(annotations_dir="nowhere")


def write_frames(root: Path, *, count: int = 104) -> None:
    image = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    for name in NAMES:
        sport, number = name.rsplit("_", 1)
        folder = root / "frames" / f"{sport}-out" / number
        folder.mkdir(parents=True)
        for frame in range(1, count + 1):
            (folder / f"img_{frame:05d}.jpg").write_bytes(image)


def test_frames_go_before_videos(tree: Tree) -> None:
    tree.write_lists()
    write_frames(tree.root)
    (tree.root / "frames/diving-out/002/img_00001.jpg").unlink()
    tables = tree.load(frames_dir=str(tree.root / "frames"), videos_dir="nowhere")
    table = tables.annotations.set_index("sample_id")
    assert set(table["start_frame"]) == {0}
    assert set(table["end_frame"]) == {103}
    lists = sorted(path.name for path in tree.target.iterdir())
    assert lists == [f"{name}.frames.csv" for name in NAMES]
    first = [read_frame_list(tree.target / name) for name in lists]
    assert [min(images) for images in first] == [0, 1, 0, 0, 0], "the missing one shifts nothing"


def test_missing_folders_of_frames_are_named_or_left_out(tree: Tree) -> None:
    tree.write_lists()
    write_frames(tree.root, count=90)
    shutil.rmtree(tree.root / "frames/diving-out/001")
    frames_dir = str(tree.root / "frames")
    with pytest.raises(
        DownloadError, match=r"1 of 5 folders are missing:\n.*diving_001: no folder"
    ):
        tree.load(frames_dir=frames_dir)
    tables = tree.load(frames_dir=frames_dir, allow_missing=True)
    assert list(tables.annotations["sample_id"]) == NAMES[1:]
    assert set(tables.annotations["end_frame"]) == {90}
    assert (tables.notes["kind"] == "fewer_frames").sum() == 4


def test_the_published_lists(shared_dir: Path) -> None:
    rows, hundredths = read_lists(shared_dir / "annotations/aqa-7")
    assert hundredths
    table = pd.DataFrame([(row.sport, row.split, row.score) for row in rows])
    counts = table.groupby([0, 1]).size().unstack()
    assert {sport: tuple(counts.loc[sport, ["train", "test"]]) for sport in RANGES} == {
        "diving": (300, 70),
        "gym_vault": (120, 56),
        "ski_big_air": (120, 55),
        "snowboard_big_air": (140, 66),
        "sync_diving_3m": (60, 28),
        "sync_diving_10m": (63, 28),
    }
    for sport, values in table.groupby(0)[2]:
        scaled = [normalized(value, sport=sport) for value in (values.min(), values.max())]
        assert scaled == pytest.approx([0, 100])
