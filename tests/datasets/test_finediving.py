"""FineDiving: a small copy of generated images, the published pickles, bad input."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mtl_release import write_pickle

from dae_aqa import scoring
from dae_aqa.datasets import DATASETS
from dae_aqa.datasets.finediving.options import FineDivingOptions
from dae_aqa.datasets.finediving.release import COARSE, FINE, SPLITS, read_release
from dae_aqa.datasets.options import DownloadOptions
from dae_aqa.errors import AnnotationError, DownloadError, ParamsError
from dae_aqa.options import parse_options

SYNCHRO, FINAL = ("Men10mSynchronised_r4", 1), ("Women3m_final_r3", 0)
SEVEN = [8.0, 8.5, 8.0, 7.5, 8.0, 8.5, 7.0]


class Copy:
    """Three dives: seven marks of an MTL-AQA dive, five of a synchronised one, three of a final."""

    def __init__(self, root: Path) -> None:
        self.root, self.videos = root, root / "videos"
        self.videos.mkdir()
        labels = [1] * 20
        self.fine: dict[Any, Any] = {
            ("01", 1): ["407c", 76.8, 3.2, [2, 10], labels],
            SYNCHRO: ["207c", 81.18, 3.3, [2, 10], labels],
            FINAL: ["107b", 70.5, 3.0, [2, 10], labels],
        }
        marks = {("01", 1): SEVEN, SYNCHRO: [7.5, 9.0, 8.0, 8.0, 8.5], FINAL: [8.0, 7.5, 8.0]}
        self.coarse: dict[Any, Any] = {
            key: {
                "action_type": number,
                "start_frame": 489,
                "end_frame": 508,
                "dive_score": score,
                "difficulty": difficulty,
                "judge_scores": marks[key],
            }
            for key, (number, score, difficulty, *_) in self.fine.items()
        }
        self.splits: dict[str, list[Any]] = {"train": [("01", 1), SYNCHRO], "test": [FINAL]}
        image = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
        for event, number in self.fine:
            folder = root / "FINADiving_MTL_256s" / event / str(number)
            folder.mkdir(parents=True)
            for frame in range(489, 509):
                (folder / f"{frame:05d}.jpg").write_bytes(image)

    def load(self, *, allow_missing: bool = False, **changes: object) -> Any:
        write_pickle(self.root / FINE, self.fine)
        write_pickle(self.root / COARSE, self.coarse)
        for split, name in SPLITS.items():
            write_pickle(self.root / name, self.splits[split])
        values = {
            "annotations_dir": str(self.root),
            "frames_dir": str(self.root),
            "frame_numbering": "decoded",
            "scoring_rule": "counted_marks",
        }
        options = parse_options(FineDivingOptions, values | changes, source="datasets.finediving")
        fetching = DownloadOptions(
            num_workers=1, num_retries=0, timeout_seconds=5.0, allow_missing=allow_missing
        )
        return DATASETS["finediving"].load(options, fetching, self.videos, self.root / "cache")

    def refusal(self) -> str:
        with pytest.raises(AnnotationError, match=r"FineDiving: ") as caught:
            self.load()
        assert not list(self.videos.iterdir()), "nothing may be written"
        return str(caught.value)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_the_table(copy: Copy) -> None:
    tables = copy.load()
    table = tables.annotations.set_index("sample_id")
    assert list(table.index) == ["01_001", "Men10mSynchronised_r4_001", "Women3m_final_r3_000"]
    assert table.loc["01_001"].to_dict() == {
        "video_id": "01",
        "start_frame": 489,
        "end_frame": 509,
        "final_score": 76.8,
        "difficulty": 3.2,
        "judge_scores": "8;8.5;8;7.5;8;8.5;7",
        "action_class": "407C",
        "split": "train",
        "task": "",
        "fold": "",
        "group": "",
    }
    assert list(table["split"]) == ["train", "train", "test"]
    assert tables.notes.empty  # the marks give every score
    lists = sorted(path.name for path in copy.videos.iterdir())
    assert lists == [f"{name}.sample_frames.csv" for name in table.index]


def test_marks_scores_and_labels_that_disagree_are_noted(copy: Copy) -> None:
    copy.coarse[FINAL]["judge_scores"] = [8.0, 55.5, 8.0]
    copy.coarse[SYNCHRO]["difficulty"] = 3.4
    copy.fine["01", 1][1] = 80.0
    copy.fine["01", 1][4] = [1] * 19
    tables = copy.load()
    assert {(note.sample_id, note.kind) for note in tables.notes.itertuples()} == {
        ("Women3m_final_r3_000", "no_marks"),
        ("Men10mSynchronised_r4_001", "difficulty_differs"),
        ("01_001", "dive_score_differs"),
        ("01_001", "score_differs_from_rule"),
        ("01_001", "images_differ_from_labels"),
    }
    table = tables.annotations.set_index("sample_id")
    assert table.loc["Women3m_final_r3_000", "judge_scores"] == ""
    assert table.loc["01_001", "final_score"] == 80.0


def test_missing_dives_are_named_or_left_out(copy: Copy) -> None:
    for path in (copy.root / "FINADiving_MTL_256s/01/1").iterdir():
        path.unlink()
    with pytest.raises(DownloadError, match=r"1 of 3 dives are missing:\n.*01_001: no images of"):
        copy.load()
    tables = copy.load(allow_missing=True)
    assert len(tables.annotations) == 2
    assert list(tables.missing_videos["video_id"]) == ["01_001"]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        (("01", 1), ["407c", 76.8, 0.0, [], []], "expected a difficulty above 0, got 0.0"),
        (("01", 1), ["407c", -1.0, 3.2, [], []], "expected a score of 0 or more, got -1.0"),
        (("01", 1), ["407c", 76.8], "expected a list of five"),
        ("01", ["407c", 76.8, 3.2, [], []], "expected a key (event, number)"),
    ],
)
def test_bad_entries_are_named(copy: Copy, key: Any, value: Any, told: str) -> None:
    copy.fine[key] = value
    assert told in copy.refusal()


def test_all_faults_are_named_at_once(copy: Copy) -> None:
    del copy.coarse[FINAL]
    copy.splits = {"train": [("01", 1), ("09", 9)], "test": [("01", 1)]}
    message = copy.refusal()
    for told in (
        "train_split.pkl: ('09', 9) is not a dive of",
        "test_split.pkl: ('01', 1) is listed twice",
        "('Women3m_final_r3', 0) is in neither split",
        "lacks ('Women3m_final_r3', 0)",
    ):
        assert told in message


def test_missing_and_malicious_files_are_refused(copy: Copy) -> None:
    copy.load()
    (copy.root / COARSE).unlink()
    (copy.root / FINE).write_bytes(pickle.dumps(print))
    with pytest.raises(AnnotationError, match=rf"(?s)no {COARSE}.*asks for builtins.print"):
        read_release(copy.root)


def test_frames_must_be_named() -> None:
    with pytest.raises(ParamsError, match="frames_dir"):
        parse_options(
            FineDivingOptions,
            {
                "annotations_dir": "x",
                "frames_dir": None,
                "frame_numbering": "decoded",
                "scoring_rule": "counted_marks",
            },
            source="datasets.finediving",
        )


def test_the_published_pickles(shared_dir: Path) -> None:
    """Source: FIELD, counted from the release."""
    dives, notes = read_release(shared_dir / "annotations/finediving")
    splits = [dive.split for dive in dives]
    assert (splits.count("train"), splits.count("test")) == (2251, 749)
    test_scores = [dive.final_score for dive in dives if dive.split == "test"]
    assert (min(test_scores), max(test_scores)) == (0, 104.4)
    assert {(note.sample_id, note.kind) for note in notes} == {
        ("17_164", "difficulty_differs"),
        ("04_049", "no_marks"),
        ("FINAWorldChampionships2019_Women3m_final_r3_001", "no_marks"),
    }
    right = {}
    for num_marks in (3, 5, 7):
        marked = [dive for dive in dives if len(dive.marks) == num_marks]
        differs = scoring.disagrees_with_rule(
            official=[dive.final_score for dive in marked],
            judge_scores=[dive.marks for dive in marked],
            difficulty=[dive.difficulty for dive in marked],
            rule="counted_marks",
        )
        right[num_marks] = (len(marked) - int(differs.sum()), len(marked))
    assert right == {7: (1269, 1368), 3: (1011, 1023), 5: (599, 607)}
