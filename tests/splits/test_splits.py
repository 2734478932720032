"""Splits: disjoint, complete, balanced, repeatable, and independent of each other's draws."""

from __future__ import annotations

import runpy
import shutil

import numpy as np
import pandas as pd
import pytest

from dae_aqa.errors import SplitError
from dae_aqa.splits.make import (
    check_splits,
    make_splits,
    part_names,
    read_splits,
    rows_of_part,
    write_splits,
)
from dae_aqa.splits.options import SplitOptions
from dae_aqa.tables.annotations import write_annotations
from dae_aqa.tables.parts import Part

OPTIONS = {
    "source": "random",
    "test_fraction": 0.25,
    "val_fraction": 0.2,
    "group_by": "sample",
    "num_folds": 5,
    "num_repeats": 1,
    "folds_below": 0,
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
            "task": "",
            "fold": "",
            "group": "",
        }
    )


def splits(
    rows: pd.DataFrame, *, is_users_own: bool = False, seed: int = 0, **changes: object
) -> pd.DataFrame:
    options = SplitOptions(**(OPTIONS | changes))
    return make_splits(rows, options=options, is_users_own=is_users_own, seed=seed)


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
    rows = annotations()
    if "source" not in changes:  # auto draws, and lets fractions be 0 or 1
        rows, changes = rows.assign(split=""), changes | {"source": "auto"}
    with pytest.raises(SplitError, match=rf"no sample in {empty} \(of 100 samples\)\. .*{advice}"):
        splits(rows, **changes)


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


def in_groups(num_samples: int, num_groups: int) -> pd.DataFrame:
    """Rows without a split of their own, whose groups differ in size and in their scores."""
    rows = annotations(num_samples).assign(split="")
    rng = np.random.default_rng(num_samples)
    drawn = rng.integers(num_groups, size=num_samples)
    drawn[:num_groups] = np.arange(num_groups)
    return rows.assign(
        group=[f"athlete {number}" for number in drawn],
        final_score=rows["final_score"] / 2 + 5 * drawn,
    )


@pytest.mark.parametrize(("num_samples", "num_groups"), [(9, 5), (30, 7), (120, 20)])
@pytest.mark.parametrize("num_repeats", [1, 3])
def test_folds_test_every_sample_once_and_divide_no_group(num_samples, num_groups, num_repeats):
    rows = in_groups(num_samples, num_groups)
    table = splits(rows, source="folds", group_by="group", num_repeats=num_repeats)
    tested = table[table["split"] == "test"]
    assert tested["sample_id"].value_counts().to_dict() == dict.fromkeys(
        rows["sample_id"], num_repeats
    )
    group = table["sample_id"].map(rows.set_index("sample_id")["group"])
    assert (table.groupby(["part", group])["split"].nunique() == 1).all()
    assert table.groupby("part")["split"].nunique().eq(3).all()
    repeats = [f"repeat{number}-" for number in range(1, num_repeats + 1)]
    expected = [
        f"{repeat}fold{fold}"
        for repeat in (repeats if num_repeats > 1 else [""])
        for fold in range(1, 6)
    ]
    assert part_names(table) == expected


def test_folds_are_balanced_over_the_score_and_equal_in_size():
    rows = annotations(100).assign(split="")
    table = splits(rows, source="folds").merge(rows, on="sample_id")
    rank = rows.set_index("sample_id")["final_score"].rank().astype(int) - 1
    for name in part_names(table):
        of_part = table[(table["part"] == name) & (table["split_x"] == "test")]
        assert len(of_part) == 20
        assert sorted(rank[of_part["sample_id"]] // 5) == list(range(20))


def test_repeats_draw_other_folds_and_seeds_too():
    rows = annotations(60).assign(split="")
    table = splits(rows, source="folds", num_repeats=2)

    def first_fold(table: pd.DataFrame, part: str) -> set[str]:
        return ids(rows_of_part(table, part), "test")

    assert first_fold(table, "repeat1-fold1") != first_fold(table, "repeat2-fold1")
    other = splits(rows, source="folds", seed=1)
    assert first_fold(splits(rows, source="folds"), "fold1") != first_fold(other, "fold1")
    pd.testing.assert_frame_equal(splits(rows, source="folds", num_repeats=2), table)


def test_each_task_is_a_part_and_each_published_fold():
    rows = annotations(60).assign(
        task=["knots"] * 30 + ["needles"] * 30, fold=[str(row % 3 + 1) for row in range(60)]
    )
    table = splits(rows, source="official")
    assert part_names(table) == [
        f"{task}-fold{fold}" for task in ("knots", "needles") for fold in (1, 2, 3)
    ]
    by_id = rows.set_index("sample_id")
    for name in part_names(table):
        part, of_part = Part.parse(name), rows_of_part(table, name)
        assert set(of_part["sample_id"]) == set(by_id.index[by_id["task"] == part.task])
        assert set(by_id.loc[list(ids(of_part, "test")), "fold"]) == {part.fold}


def test_each_task_has_its_own_test_samples():
    rows = annotations(60).assign(task=["a"] * 20 + ["b"] * 40)
    table = splits(rows, source="official")
    assert part_names(table) == ["a", "b"]
    own = set(rows.loc[rows["split"] == "test", "sample_id"])
    assert ids(table, "test") == own


@pytest.mark.parametrize(("num_samples", "parts"), [(199, 5), (200, 1)])
def test_auto_draws_folds_below_a_size(num_samples, parts):
    table = splits(annotations(num_samples).assign(split=""), source="auto", folds_below=200)
    assert len(part_names(table)) == parts


def test_auto_keeps_a_filled_split_however_few_samples():
    table = splits(annotations(20), source="auto", folds_below=200)
    assert part_names(table) == [""]
    assert ids(table, "test") == {f"s{row:03d}" for row in range(0, 20, 4)}


def test_auto_draws_as_many_folds_as_there_are_groups(caplog):
    rows = in_groups(12, 3)
    table = splits(rows, source="auto", folds_below=200, group_by="group")
    assert part_names(table) == ["fold1", "fold2", "fold3"]
    assert "12 samples lie in 3 groups that nothing may divide: 3 folds are drawn" in caplog.text


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (in_groups(30, 4), {}, "num_folds is 5, but the 30 samples lie in 4 groups .*Lower"),
        (in_groups(30, 2), {"num_folds": 2}, "lie in 2 groups .*at least 3 are needed"),
        (
            in_groups(30, 6).assign(group=lambda rows: rows["group"].where(rows.index > 1, "")),
            {},
            r"2 of 30 samples have no group of their own \(s000, s001\)",
        ),
        (annotations(30).assign(split="", fold=["1"] * 29 + [""]), {}, "no fold of their own"),
    ],
)
def test_what_no_folds_can_be_drawn_from(rows, changes, message):
    with pytest.raises(SplitError, match=message):
        splits(rows, source="folds", group_by="group", **changes)


def test_samples_without_any_group_are_drawn_one_by_one(caplog):
    caplog.set_level("INFO")
    rows = annotations(30).assign(split="")
    table = splits(rows, source="folds", group_by="group")
    assert "no sample has a group" in caplog.text
    pd.testing.assert_frame_equal(table, splits(rows, source="folds", group_by="sample"))


def test_a_users_own_split_is_never_drawn_over_by_folds():
    with pytest.raises(SplitError, match="source is folds, but your table's column 'split' names"):
        splits(annotations(), source="folds", is_users_own=True)


def test_two_parts_may_not_test_one_sample():
    rows = annotations(30).assign(split="")
    table = splits(rows, source="folds")
    shared = table.loc[(table["part"] == "fold1") & (table["split"] == "test"), "sample_id"].iloc[0]
    table.loc[(table["part"] == "fold2") & (table["sample_id"] == shared), "split"] = "test"
    with pytest.raises(SplitError, match=rf"tested in two parts.*: {shared} in fold1 and fold2"):
        check_splits(table, source="table")


def test_a_part_that_lacks_a_split_is_named():
    table = splits(annotations(30).assign(split=""), source="folds")
    table = table[~((table["part"] == "fold3") & (table["split"] == "val"))]
    with pytest.raises(SplitError, match=r"table, part fold3: no sample in val"):
        check_splits(table, source="table")


def test_parts_are_written_and_read(tmp_path):
    table = splits(annotations(30).assign(split=""), source="folds")
    write_splits(table, tmp_path / "splits.csv")
    pd.testing.assert_frame_equal(read_splits(tmp_path / "splits.csv"), table)
