"""Splits: disjoint, complete, balanced, repeatable, and independent of each other's draws."""

from __future__ import annotations

import runpy
import shutil

import numpy as np
import pandas as pd
import pytest

from dae_aqa.errors import SplitError
from dae_aqa.splits.make import check_splits, make_splits, read_splits, write_splits
from dae_aqa.tables.annotations import write_annotations

OPTIONS = {
    "source": "random",
    "is_users_own": False,
    "test_fraction": 0.25,
    "val_fraction": 0.2,
    "group_by": "sample",
    "seed": 0,
}


def annotations(num_samples: int = 100, samples_per_video: int = 10) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    rows = np.arange(num_samples)
    return pd.DataFrame(
        {
            "sample_id": [f"s{row:03d}" for row in rows],
            "video_id": [f"v{row // samples_per_video:02d}" for row in rows],
            "final_score": rng.uniform(0, 100, num_samples),
            "split": np.where(rows % 4 == 0, "test", "train"),
        }
    )


def splits(rows: pd.DataFrame, **changes: object) -> pd.DataFrame:
    return make_splits(rows, **(OPTIONS | changes))


def ids(table: pd.DataFrame, split: str) -> set[str]:
    return set(table.loc[table["split"] == split, "sample_id"])


def test_every_sample_once_in_order():
    table = splits(annotations())
    assert table["sample_id"].tolist() == sorted(annotations()["sample_id"])
    assert tuple(table.columns) == ("sample_id", "split", "part")
    assert set(table["part"]) == {""}


def test_fractions():
    counts = splits(annotations())["split"].value_counts()
    assert counts["test"] == 25
    assert counts["val"] == 15  # a fifth of the 75 that are left
    assert counts["train"] == 60


def test_official_test_samples_are_kept():
    rows = annotations()
    table = splits(rows, source="official", seed=7)
    assert ids(table, "test") == set(rows.loc[rows["split"] == "test", "sample_id"])
    assert len(ids(table, "val")) == 15


def test_same_seed_same_splits_whatever_the_order_of_rows():
    rows = annotations()
    shuffled = rows.sample(frac=1.0, random_state=1)
    pd.testing.assert_frame_equal(splits(rows), splits(shuffled))


def test_another_seed_draws_others():
    assert ids(splits(annotations()), "test") != ids(splits(annotations(), seed=1), "test")


def test_draws_do_not_shift_each_other():
    """The test samples stay the same when another share validates."""
    narrow, wide = (splits(annotations(), val_fraction=share) for share in (0.1, 0.4))
    assert ids(narrow, "test") == ids(wide, "test")


def test_draw_is_balanced_over_the_score():
    """One from each stratum of neighbours: the drawn ranks are spread, with no gap beyond two."""
    rows = annotations()
    rank = rows.set_index("sample_id")["final_score"].rank().astype(int) - 1
    drawn = sorted(rank[list(ids(splits(rows), "test"))])
    assert [position // 4 for position in drawn] == list(range(25))


def test_videos_are_kept_together():
    rows = annotations()
    table = splits(rows, group_by="video", test_fraction=0.3)
    joined = rows.drop(columns="split").merge(table, on="sample_id")
    assert (joined.groupby("video_id")["split"].nunique() == 1).all()
    assert set(joined["split"]) == {"train", "val", "test"}
    assert len(ids(table, "test")) == 30


def test_auto_keeps_the_test_samples_that_the_dataset_names():
    rows = annotations()
    table = splits(rows, source="auto", is_users_own=True)
    assert ids(table, "test") == set(rows.loc[rows["split"] == "test", "sample_id"])
    assert len(ids(table, "val")) == 15
    pd.testing.assert_frame_equal(table, splits(rows, source="official"))


def test_auto_draws_where_the_dataset_names_none():
    rows = annotations().assign(split="")
    pd.testing.assert_frame_equal(splits(rows, source="auto"), splits(rows, source="random"))
    assert len(ids(splits(rows, source="auto"), "test")) == 25


@pytest.mark.parametrize("source", ["auto", "official", "random"])
@pytest.mark.parametrize("is_users_own", [True, False])
def test_a_split_that_is_half_filled_is_refused_by_its_samples(source, is_users_own):
    rows = annotations()
    rows.loc[[5, 7], "split"] = ""
    with pytest.raises(
        SplitError, match=r"2 of 100 samples have no split of their own \(s005, s007\).*Fill the"
    ):
        splits(rows, source=source, is_users_own=is_users_own)


def test_official_needs_a_split():
    with pytest.raises(SplitError, match=r"source is official, but the dataset has no split.*auto"):
        splits(annotations().assign(split=""), source="official")


def test_no_draw_ignores_a_split_that_the_user_wrote():
    with pytest.raises(SplitError, match=r"source is random, but .* 25 test and 75 training sam"):
        splits(annotations(), is_users_own=True)
    splits(annotations().assign(split=""), is_users_own=True)  # an empty column says nothing


def test_a_draw_over_the_split_of_a_dataset_is_said(caplog):
    rows = annotations()
    table = splits(rows)
    assert ids(table, "test") != set(rows.loc[rows["split"] == "test", "sample_id"])
    assert "the dataset's own 25 are not kept apart" in caplog.text


@pytest.mark.parametrize(
    ("changes", "empty", "advice"),
    [
        ({"test_fraction": 0.0}, "test", "Change make_splits.val_fraction and test_fraction"),
        ({"val_fraction": 0.001}, "val", "Change make_splits.val_fraction and test_fraction"),
        ({"test_fraction": 1.0}, "train, val", "so that each split gets samples"),
        (
            {"source": "official", "val_fraction": 0.001},
            "val",
            "Change make_splits.val_fraction so that each split gets samples",
        ),
        (
            {"group_by": "video", "test_fraction": 0.01},
            "test",
            "so that each split gets videos, or add some videos",
        ),
    ],
)
def test_no_split_may_be_empty(changes, empty, advice):
    with pytest.raises(SplitError, match=rf"no sample in {empty} \(of 100 samples\)\. .*{advice}"):
        splits(annotations(), **changes)


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (annotations(samples_per_video=100), {}, r"100 samples .* lie in one video.* 3 would be"),
        (
            annotations(samples_per_video=50),
            {},
            r"lie in 2 videos.*Set make_splits.group_by to sam",
        ),
        (
            annotations(samples_per_video=100),
            {"source": "official"},
            r"75 samples .* lie in one video.* 2 would be needed",
        ),
        (annotations(num_samples=2), {"group_by": "sample"}, r"At least 3 samples are needed"),
        (annotations().assign(split="train"), {"source": "auto"}, r"names no sample for test"),
        (annotations().assign(split="test"), {"source": "auto"}, r"names every sample for test"),
    ],
)
def test_what_to_change_where_a_split_is_empty_fits_the_reason(rows, changes, message):
    changes = {"group_by": "video", "test_fraction": 0.1} | changes
    if "source" not in changes:
        rows = rows.assign(split="")
    with pytest.raises(SplitError, match=rf"make_splits: no sample in .*{message}"):
        splits(rows, **changes)


@pytest.mark.parametrize("num", [3, 9, 12, 30])
def test_few_samples_are_divided(num):
    changes = {"val_fraction": 0.5} if num == 3 else {}
    table = splits(annotations(num_samples=num).assign(split=""), source="auto", **changes)
    assert set(table["split"]) == {"train", "val", "test"}


def test_no_samples_at_all():
    with pytest.raises(SplitError, match=r"no sample in train, val, test .*data/excluded\.csv"):
        splits(annotations().iloc[:0])


def test_check_refuses_a_sample_listed_twice():
    rows = [("a", "train"), ("b", "val"), ("c", "test"), ("a", "test")]
    table = pd.DataFrame(rows, columns=["sample_id", "split"]).assign(part="")
    with pytest.raises(SplitError, match=r"in more than one split: a\."):
        check_splits(table, source="table")


def test_check_refuses_unknown_splits_and_columns():
    table = pd.DataFrame([("a", "dev", "")], columns=["sample_id", "split", "part"])
    with pytest.raises(SplitError, match=r"unknown split\(s\) \['dev'\]"):
        check_splits(table, source="table")
    with pytest.raises(SplitError, match=r"expected the columns"):
        check_splits(table.rename(columns={"split": "fold"}), source="table")


def test_written_table_reads_back(tmp_path):
    table = splits(annotations().assign(sample_id=[f"{row:03d}" for row in range(100)]))
    write_splits(table, tmp_path / "splits.csv")
    assert (tmp_path / "splits.csv").read_text().startswith("sample_id,split\n")
    pd.testing.assert_frame_equal(read_splits(tmp_path / "splits.csv"), table)


def test_missing_file_names_the_stage(tmp_path):
    with pytest.raises(SplitError, match=r"no split table.*dvc repro make_splits"):
        read_splits(tmp_path / "splits.csv")


@pytest.mark.parametrize("content", [b"", b'sample_id,split\n"a', b"\xff\xfe\x00"])
def test_file_that_is_no_table(tmp_path, content):
    (tmp_path / "splits.csv").write_bytes(content)
    with pytest.raises(SplitError, match=r"splits\.csv: not a readable CSV table"):
        read_splits(tmp_path / "splits.csv")


def test_excluded_samples_leave_before_the_draw(tmp_path, monkeypatch, repo_root):
    """A fifth of the training samples that are left validates, not a fifth of all with gaps."""
    rows = annotations(80).assign(
        start_frame=0, end_frame=100, difficulty=1.0, judge_scores="", action_class=""
    )
    excluded = rows.loc[(rows.index % 4 != 0) & (rows.index % 8 < 4), "sample_id"]
    assert len(excluded) == 30
    (tmp_path / "data").mkdir()
    shutil.copy(repo_root / "params.yaml", tmp_path)
    write_annotations(rows, tmp_path / "data/annotations.csv")
    excluded.to_frame().assign(reason="damaged").to_csv(tmp_path / "data/excluded.csv", index=False)
    params = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(params.replace("group_by: video", "group_by: sample"))
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(repo_root / "stages/make_splits.py"))["main"]()
    table = read_splits(tmp_path / "data/splits.csv")
    assert set(table["sample_id"]) == set(rows["sample_id"]) - set(excluded)
    assert table["split"].value_counts().to_dict() == {"train": 24, "test": 20, "val": 6}
    # balanced over the score: one of each five neighbours among those that are left
    left = rows[rows["split"].eq("train") & ~rows["sample_id"].isin(excluded)]
    rank = left.set_index("sample_id")["final_score"].rank().astype(int) - 1
    assert sorted(rank[list(ids(table, "val"))] // 5) == list(range(6))
