"""JIGSAWS: ratings and folds as people hold them, a small tree of generated videos, bad input."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from test_csv_table import write_video

from dae_aqa.datasets.jigsaws.adapter import load
from dae_aqa.datasets.jigsaws.options import JigsawsOptions
from dae_aqa.datasets.jigsaws.ratings import TASKS, Trial, read_ratings
from dae_aqa.errors import AnnotationError, DownloadError
from dae_aqa.options import parse_options
from dae_aqa.splits.make import make_splits, part_names, rows_of_part
from dae_aqa.splits.options import SplitOptions

ELEMENTS = {
    "Suturing_B001": (1, 2, 3, 4, 5, 1),
    "Suturing_B002": (2, 2, 2, 2, 2, 2),
    "Suturing_C001": (5, 5, 5, 5, 5, 5),
    "Suturing_D001": (3, 3, 3, 3, 3, 4),
    "Knot_Tying_B001": (1, 1, 1, 1, 1, 1),
    "Knot_Tying_C003": (4, 4, 4, 4, 4, 4),
}
FOLDS = {
    "Suturing": [["Suturing_B001"], ["Suturing_B002"], ["Suturing_C001"], ["Suturing_D001"]],
    "Knot_Tying": [["Knot_Tying_B001"], ["Knot_Tying_C003"]],
}


class Tree:
    """A copy of JIGSAWS with tiny videos, and the pipeline's folder of videos."""

    def __init__(self, folder: Path) -> None:
        self.root, self.target = folder / "jigsaws", folder / "videos"
        self.target.mkdir()
        for number, name in enumerate(ELEMENTS):
            trial = Trial.parse(name)
            assert trial is not None
            path = self.root / trial.task / "video" / f"{name}_capture1.avi"
            write_video(path, num_frames=10 + number)

    def write_meta(self, task: str = "Suturing", **totals: int) -> None:
        """Write the task's meta file as published: tabs, with empty columns among them."""
        lines = [
            f"{name}\tN\t\t{totals.get(name, sum(each))}\t\t" + "\t".join(map(str, each)) + "\t\n"
            for name, each in ELEMENTS.items()
            if name.startswith(task)
        ]
        (self.root / task / f"meta_file_{task}.txt").write_text("".join(lines) + "\n")

    def write_pickles(self, labels: Any = None, splits: Any = None) -> None:
        content = {name: list(each) for name, each in ELEMENTS.items()}
        (self.root / "label.pkl").write_bytes(pickle.dumps(content if labels is None else labels))
        (self.root / "splits.pkl").write_bytes(pickle.dumps(FOLDS if splits is None else splits))

    def load(self, *, allow_missing: bool = False, **changes: object) -> Any:
        values = {
            "annotations_dir": str(self.root),
            "videos_dir": str(self.root),
            "frames_dir": None,
            "camera": "capture1",
            "folds": "musdl",
            "frame_numbering": "decoded",
            "scoring_rule": "sum_of_elements",
        }
        options = parse_options(JigsawsOptions, values | changes, source="datasets.jigsaws")
        return load(options, self.target, allow_missing=allow_missing)

    def refusal(self, **changes: object) -> str:
        with pytest.raises(AnnotationError) as caught:
            self.load(**changes)
        assert not list(self.target.iterdir()), "nothing may be written"
        return str(caught.value)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_musdls_files(tree: Tree) -> None:
    tree.write_pickles()
    tables = tree.load()
    table = tables.annotations.set_index("sample_id")
    assert table.loc["Suturing_B001"].to_dict() == {
        "video_id": "Suturing_B001_capture1",
        "start_frame": 0,
        "end_frame": 10,
        "final_score": 16.0,
        "difficulty": 1.0,
        "judge_scores": "1;2;3;4;5;1",
        "action_class": "Suturing",
        "split": "",
        "task": "Suturing",
        "fold": "1",
        "group": "B",
    }
    assert table["end_frame"].tolist() == [14, 15, 10, 11, 12, 13]  # by name
    assert tables.notes.empty
    assert sorted(path.stem for path in tree.target.iterdir()) == sorted(table["video_id"])


def test_frames_of_musdl_go_before_videos(tree: Tree) -> None:
    """Each trial has its own length; numbers count from 1, and from 0 in no folder."""
    tree.write_pickles()
    places = tree.root / "JIGSAWS_frames"
    for length, trial in enumerate(ELEMENTS, start=200):
        folder = places / f"{trial}_capture1"
        folder.mkdir(parents=True)
        for number in range(1, length + 1):
            (folder / f"{number:05d}.jpg").write_bytes(b"not looked at yet")
    tables = tree.load(frames_dir=str(places), videos_dir="nowhere")
    ends = dict(zip(tables.annotations["sample_id"], tables.annotations["end_frame"], strict=True))
    assert ends == {trial: length for length, trial in enumerate(ELEMENTS, start=200)}
    lists = {path.name for path in tree.target.iterdir()}
    assert lists == {f"{trial}_capture1.frames.csv" for trial in ELEMENTS}
    with pytest.raises(DownloadError, match="folders are missing"):
        tree.load(frames_dir=str(places), camera="capture2")


def test_the_official_tree_without_pickles(tree: Tree) -> None:
    tree.write_meta("Suturing", Suturing_B001=17)
    tree.write_meta("Knot_Tying")
    tables = tree.load(folds="user_out")
    table = tables.annotations.set_index("sample_id")
    assert table["fold"].to_dict() == {name: name[-4] for name in sorted(ELEMENTS)}
    (note,) = tables.notes.to_dict("records")
    assert note["sample_id"] == "Suturing_B001"
    assert note["kind"] == "total_differs"
    assert "total 17, but its elements sum to 16" in note["detail"]
    by_repetition = tree.load(folds="super_trial_out").annotations
    assert by_repetition["fold"].tolist() == [str(int(name[-3:])) for name in sorted(ELEMENTS)]


def test_pickles_are_kept_beside_a_tree_that_says_otherwise(tree: Tree) -> None:
    tree.write_meta()
    labels = {name: list(each) for name, each in ELEMENTS.items()}
    tree.write_pickles(labels | {"Suturing_B002": [3, 2, 2, 2, 2, 2]})
    tables = tree.load()
    table = tables.annotations.set_index("sample_id")
    assert table.at["Suturing_B002", "final_score"] == 13.0
    assert tables.notes["kind"].tolist() == ["elements_differ"]


def test_published_folds_need_their_file(tree: Tree) -> None:
    tree.write_meta()
    assert "no splits.pkl, but datasets.jigsaws.folds is musdl" in tree.refusal()


def test_nothing_to_read(tree: Tree) -> None:
    assert "no rating of any trial" in tree.refusal()
    message = tree.refusal(annotations_dir="nowhere")
    assert "datasets.jigsaws.annotations_dir: no folder" in message


def test_all_faults_of_the_files_at_once(tree: Tree) -> None:
    path = tree.root / "Suturing/meta_file_Suturing.txt"
    path.write_text(
        "Knot_Tying_B001 N 6 1 1 1 1 1 1\n"
        "Suturing_B001 N 16 1 2 3 4 5\n"
        "Suturing_B002 N 17 7 2 2 2 2 2\n"
        "Suturing_X1 N 6 1 1 1 1 1 1\n"
    )
    labels = {"Suturing_C001": [1, 2, 3], "Suturing_D001": [5, 5, 5, 5, 5, 5]}
    splits = {
        "Suturing": [["Suturing_D001", "Suturing_E005"], ["Suturing_D001"], ["Suturing_C002"] * 2]
    }
    labels["Suturing_C002"] = [1, 1, 1, 1, 1, 1]
    tree.write_pickles(labels, splits)
    message = tree.refusal()
    for fault in (
        "line 1: Knot_Tying_B001 is a trial of another task than Suturing",
        "line 2: Suturing_B001 has 6 numbers, expected a total and 6",
        "line 3: Suturing_B002: expected 6 elements from 1 to 5",
        "line 4: 'Suturing_X1' is no name of a trial",
        "label.pkl: Suturing_C001: expected 6 elements",
        "splits.pkl, Suturing, fold 1: Suturing_E005 has no rating",
        "splits.pkl, Suturing, fold 2: Suturing_D001 is in fold 1 too",
        "splits.pkl, Suturing, fold 3: Suturing_C002 is in fold 3 too",
    ):
        assert fault in message


def test_damaged_pickles_hide_no_other_fault(tree: Tree) -> None:
    (tree.root / "Suturing/meta_file_Suturing.txt").write_text("Suturing_B001 N 16 1 2 3\n")
    for name in ("label.pkl", "splits.pkl"):
        (tree.root / name).write_bytes(b"no pickle")
    message = tree.refusal()
    for fault in ("label.pkl: not a pickle", "splits.pkl: not a pickle", "Suturing_B001 has 4 num"):
        assert fault in message


def test_a_trial_that_the_labels_lack_is_kept_and_noted(tree: Tree) -> None:
    tree.write_meta()
    tree.write_meta("Knot_Tying")
    labels = {name: list(each) for name, each in ELEMENTS.items() if name != "Suturing_D001"}
    (tree.root / "label.pkl").write_bytes(pickle.dumps(labels))
    tables = tree.load(folds="user_out")
    assert len(tables.annotations) == len(ELEMENTS)
    assert tables.notes[["sample_id", "kind"]].values.tolist() == [
        ["Suturing_D001", "only_in_meta_file"]
    ]


def test_a_pickle_with_code_is_not_run(tree: Tree, tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "it_ran",)

    tree.write_pickles(labels=Code())
    assert "Nothing in it was run" in tree.refusal()
    assert not (tmp_path / "it_ran").exists()


def test_missing_videos_are_all_named_or_left_out(tree: Tree) -> None:
    tree.write_pickles()
    (tree.root / "Suturing/video/Suturing_B001_capture1.avi").unlink()
    (tree.root / "Suturing/video/Suturing_C001_capture1.avi").write_bytes(b"no video")
    with pytest.raises(DownloadError, match=r"(?s)2 of 6 videos .*B001_capture1: .*C001_capture1"):
        tree.load()
    assert not list(tree.target.iterdir())
    tables = tree.load(allow_missing=True)
    assert len(tables.annotations) == 4
    assert tables.missing_videos["video_id"].tolist() == [
        "Suturing_B001_capture1",
        "Suturing_C001_capture1",
    ]
    assert tables.notes["kind"].tolist() == ["excluded_video_missing"] * 2


@pytest.fixture
def published(shared_dir: Path) -> dict[str, Path]:
    """The files that papers compare on."""
    folder = shared_dir / "annotations/jigsaws"
    return {name: folder / name for name in ("label.pkl", "splits.pkl")}


def test_the_published_counts(published: dict[str, Path]) -> None:
    ratings = read_ratings(meta_files={}, pickles=published)
    counts = pd.Series(ratings.folds).groupby(lambda name: name[:-5]).value_counts()
    of_tasks = {task: sorted(counts[task].tolist()) for task in TASKS}
    assert of_tasks == {
        "Suturing": [9, 10, 10, 10],
        "Needle_Passing": [7] * 4,
        "Knot_Tying": [9] * 4,
    }
    assert len(ratings.elements) == 103


def test_no_surgeon_is_on_both_sides_where_users_are_left_out(published: dict[str, Path]) -> None:
    ratings = read_ratings(meta_files={}, pickles=published)
    trials = {name: Trial.parse(name) for name in ratings.elements}
    table = pd.DataFrame(
        [
            {
                "sample_id": name,
                "video_id": name,
                "final_score": float(sum(ratings.elements[name])),
                "split": "",
                "task": trial.task,
                "fold": trial.surgeon,
                "group": trial.surgeon,
            }
            for name, trial in trials.items()
            if trial is not None
        ]
    )
    options = SplitOptions(
        source="official",
        test_fraction=0.0,
        val_fraction=0.2,
        group_by="group",
        num_folds=5,
        num_repeats=1,
        folds_below=0,
    )
    splits = make_splits(table, options=options, is_users_own=False, seed=0)
    surgeon = table.set_index("sample_id")["group"]
    for name in part_names(splits):
        rows = rows_of_part(splits, name)
        assert rows.groupby(rows["sample_id"].map(surgeon))["split"].nunique().max() == 1
