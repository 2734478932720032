"""The annotations table: written and read without loss, every bad row named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dae_aqa.errors import AnnotationError
from dae_aqa.tables.annotations import (
    COLUMNS,
    OPTIONAL_COLUMNS,
    check_annotations,
    execution_scores,
    format_judge_scores,
    parse_judge_scores,
    read_annotations,
    write_annotations,
)


def table(num_rows: int = 3, **columns: list[object]) -> pd.DataFrame:
    rows = range(num_rows)
    content: dict[str, list[object]] = {
        "sample_id": [f"01_{row:02d}" for row in rows],
        "video_id": ["01" for _ in rows],
        "start_frame": [100 * row for row in rows],
        "end_frame": [100 * row + 50 for row in rows],
        "final_score": [100.7, 64.0, 0.0][:num_rows],
        "difficulty": [3.8, 3.2, 1.0][:num_rows],
        "judge_scores": ["9;8.5;9;8;9;8.5;9", "", "0;0;0;0;0;0;0"][:num_rows],
        "action_class": ["5337D", "", "NA"][:num_rows],
        "split": ["train", "test", ""][:num_rows],
    }
    return pd.DataFrame(content | columns)


def refuse(annotations: pd.DataFrame) -> str:
    with pytest.raises(AnnotationError, match=r"^table: \d+ problem\(s\)") as caught:
        check_annotations(annotations, source="table")
    return str(caught.value)


def test_columns_are_ordered_and_typed():
    shuffled = table(task=["a", "b", "a"], fold=["1", "2", "1"], group=["x", "y y", ""])
    shuffled = shuffled.loc[:, list(reversed(COLUMNS))].astype({"start_frame": str})
    checked = check_annotations(shuffled, source="table")
    assert tuple(checked.columns) == COLUMNS
    assert checked["start_frame"].dtype == np.int64
    assert checked["end_frame"].tolist() == [50, 150, 250]


def test_input_is_left_alone():
    given = table()
    before = given.copy(deep=True)
    check_annotations(given, source="table")
    pd.testing.assert_frame_equal(given, before)


def test_written_and_read_without_loss(tmp_path):
    """Texts that look like numbers or like 'missing' stay what they are."""
    rng = np.random.default_rng(0)
    given = table(
        sample_id=["007", "1e5", "NA"],
        video_id=["01", "nan", "null"],
        action_class=["", "NA", "1.0"],
        final_score=rng.uniform(0, 110, 3).tolist(),
        difficulty=[1 / 3, 0.1 + 0.2, 3.8],
    )
    write_annotations(given, tmp_path / "new" / "annotations.csv")
    read = read_annotations(tmp_path / "new" / "annotations.csv").set_index("sample_id")
    silent = dict.fromkeys(OPTIONAL_COLUMNS, "")
    for row in given.to_dict("records"):
        assert read.loc[row.pop("sample_id")].to_dict() == row | silent


def test_optional_columns_that_say_nothing_are_left_out_of_the_file(tmp_path):
    given = table(group=["007", "", "NA"])
    write_annotations(given, tmp_path / "annotations.csv")
    header = (tmp_path / "annotations.csv").read_text().splitlines()[0]
    assert header == ",".join([*(name for name in COLUMNS if name not in ("task", "fold"))])
    read = read_annotations(tmp_path / "annotations.csv")
    assert read["group"].tolist() == ["007", "", "NA"]
    assert read["task"].tolist() == read["fold"].tolist() == ["", "", ""]


@pytest.mark.parametrize("column", ["task", "fold"])
@pytest.mark.parametrize("word", ["a-b", "a b", "é", "x" * 61])
def test_tasks_and_folds_name_files(column, word):
    assert f"{column} may hold at most 60 letters, digits and '_'" in refuse(
        table(1, **{column: [word]})
    )


def test_scores_come_back_to_the_last_bit(tmp_path):
    """'The official score, never recomputed' holds for every float, not for round ones alone."""
    rng = np.random.default_rng(1)
    scores = rng.uniform(0, 110, 500)
    given = pd.concat([table(1)] * 500, ignore_index=True).assign(
        sample_id=[f"{row:03d}" for row in range(500)], final_score=scores
    )
    write_annotations(given, tmp_path / "annotations.csv")
    read = read_annotations(tmp_path / "annotations.csv")
    np.testing.assert_array_equal(read["final_score"], scores)


def test_equal_tables_give_equal_bytes(tmp_path):
    write_annotations(table(), tmp_path / "a.csv")
    write_annotations(table().iloc[::-1], tmp_path / "b.csv")
    content = (tmp_path / "a.csv").read_bytes()
    assert content == (tmp_path / "b.csv").read_bytes()
    write_annotations(read_annotations(tmp_path / "a.csv"), tmp_path / "c.csv")
    assert content == (tmp_path / "c.csv").read_bytes()
    assert b"\r" not in content


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("sample_id", "a/../../b", "sample_id may hold letters"),
        ("sample_id", "", "sample_id may hold letters"),
        ("sample_id", "a b", "sample_id may hold letters"),
        ("sample_id", "a\n", "sample_id may hold letters"),
        ("sample_id", ".hidden", "and not start with '.'"),
        ("sample_id", "a" * 151, "sample_id has more than 150 characters"),
        ("video_id", "", "video_id is empty"),
        ("start_frame", -1, "start_frame must be a whole number >= 0"),
        ("start_frame", 1.5, "start_frame must be a whole number >= 0"),
        ("end_frame", 0, "end_frame must be a whole number > start_frame"),
        ("end_frame", "x", "end_frame must be a whole number > start_frame"),
        ("end_frame", np.inf, "end_frame must be a whole number > start_frame"),
        ("final_score", np.nan, "final_score must be a finite number"),
        ("final_score", "9,5", "final_score must be a finite number"),
        ("difficulty", 0, "difficulty must be a finite number > 0"),
        ("difficulty", -1.0, "difficulty must be a finite number > 0"),
        ("difficulty", np.inf, "difficulty must be a finite number > 0"),
        ("judge_scores", "9,8", "judge_scores must be numbers joined by ';'"),
        ("judge_scores", "9;;8", "judge_scores must be numbers joined by ';'"),
        ("judge_scores", "9;nan", "judge_scores must be numbers joined by ';'"),
        ("split", "val", "split must be 'train', 'test' or empty"),
    ],
)
def test_bad_row_is_named_with_its_line(column, value, told):
    rows = table().astype({column: object})
    rows.at[0, column] = value
    message = refuse(rows)
    sample_id = value if column == "sample_id" else "01_00"
    assert f"1 problem(s) in the annotations table:\n  line 2 (sample_id {sample_id!r})" in message
    assert told in message
    assert "nothing was written" in message


def test_sample_ids_are_unique():
    message = refuse(table(sample_id=["a", "b", "a"]))
    assert "line 2 (sample_id 'a'): sample_id is not unique" in message
    assert "line 4 (sample_id 'a'): sample_id is not unique" in message


def test_all_bad_rows_are_named_and_a_flood_is_cut():
    many = pd.concat([table(1)] * 50, ignore_index=True)
    many = many.assign(sample_id=[f"{row:02d}" for row in range(50)], difficulty=0.0)
    message = refuse(many)
    assert message.startswith("table: 50 problem(s)")
    assert "line 21 (" in message
    assert "line 22 (" not in message
    assert "… and 30 more" in message


def test_bad_table_is_not_written(tmp_path):
    with pytest.raises(AnnotationError, match=r"annotations\.csv: 1 problem"):
        write_annotations(table(split=["val", "", ""]), tmp_path / "annotations.csv")
    assert list(tmp_path.iterdir()) == []


def test_columns_must_be_exact():
    rows = table().drop(columns="split").assign(Score=1.0)
    with pytest.raises(AnnotationError, match=r"missing: split; unknown: Score\."):
        check_annotations(rows, source="table")


@pytest.mark.parametrize("content", [b"", b'a,b\n"1', b"\xff\xfe\x00\x01"])
def test_file_that_is_no_table(tmp_path, content):
    path = tmp_path / "annotations.csv"
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match=r"annotations\.csv: not a readable CSV table"):
        read_annotations(path)


def test_missing_file_names_the_stage(tmp_path):
    with pytest.raises(AnnotationError, match=r"no annotations table.*dvc repro download"):
        read_annotations(tmp_path / "annotations.csv")


def test_judge_scores_there_and_back():
    assert format_judge_scores((9.0, 8.5, 10)) == "9;8.5;10"
    assert parse_judge_scores("9;8.5;10") == (9.0, 8.5, 10.0)
    assert parse_judge_scores("") == ()


@pytest.mark.parametrize("text", ["9;", "a", "inf", "nan"])
def test_judge_scores_are_finite_numbers(text):
    with pytest.raises(ValueError, match=r"could not convert|not finite"):
        parse_judge_scores(text)


def test_execution_scores():
    executed = execution_scores(check_annotations(table(), source="table"))
    assert executed.tolist() == pytest.approx([26.5, 20.0, 0.0])  # 9.0 + 9.0 + 8.5 is 26.5
    assert executed.name == "execution_score"


def test_table_of_a_release_reads_as_it_is(tmp_path):
    """A file with a byte-order mark, as spreadsheets write it, is no reason to fail."""
    write_annotations(table(), tmp_path / "annotations.csv")
    content = (tmp_path / "annotations.csv").read_bytes()
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbf" + content)
    assert len(read_annotations(tmp_path / "bom.csv")) == 3
