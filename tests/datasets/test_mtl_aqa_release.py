import pickle
import re
from collections.abc import Callable
from pathlib import Path

import mtl_release
import openpyxl
import pandas as pd
import pytest
from mtl_release import MARKS, dive, dives, row, write_pickle, write_release, write_workbook

from dae_aqa.datasets.mtl_aqa.release import dive_code, read_release
from dae_aqa.datasets.mtl_aqa.workbooks import (
    WorkbookDive,
    read_mark,
    read_video_list,
    read_workbook,
)
from dae_aqa.errors import AnnotationError
from dae_aqa.tables.annotations import COLUMNS, parse_judge_scores
from dae_aqa.tables.dataset import Note

DICTIONARY = f"{mtl_release.READY}/final_annotations_dict.pkl"


@pytest.fixture(scope="module")
def official_dir(shared_dir: Path) -> Path:
    return shared_dir / "annotations" / "mtl-aqa"


@pytest.fixture(scope="module")
def official(official_dir: Path) -> tuple[pd.DataFrame, list[Note]]:
    return read_release(release_dir=official_dir, scoring_rule="diving")


@pytest.fixture(scope="module")
def augmented(official_dir: Path) -> dict[str, dict]:
    """The dictionary with judge scores that other projects use, by our sample_id: the oracle."""
    content = pickle.loads((official_dir / "augmented_final_annotations_dict.pkl").read_bytes())
    return {f"{key[0]:02d}_{key[1]:03d}": entry for key, entry in content.items()}


def samples_with(notes: list[Note], kind: str) -> list[str]:
    return [note.sample_id for note in notes if note.kind == kind]


class TestOfficialRelease:
    def test_samples_and_split(self, official: tuple, official_dir: Path) -> None:
        annotations, _ = official
        assert tuple(annotations.columns) == COLUMNS
        assert len(annotations) == 1412
        assert annotations["video_id"].nunique() == 15
        assert annotations["split"].value_counts().to_dict() == {"train": 1059, "test": 353}
        assert annotations["sample_id"].is_monotonic_increasing
        for split in ("train", "test"):
            path = official_dir / mtl_release.READY / f"{split}_split_0.pkl"
            expected = {f"{a:02d}_{b:03d}" for a, b in pickle.loads(path.read_bytes())}
            assert set(annotations.loc[annotations["split"] == split, "sample_id"]) == expected

    def test_values_equal_the_dictionary(self, official: tuple, augmented: dict) -> None:
        annotations, _ = official
        assert set(annotations["sample_id"]) == set(augmented)
        for sample in annotations.itertuples():
            entry = augmented[sample.sample_id]
            assert sample.start_frame == entry["start_frame"] - 1
            assert sample.end_frame == entry["end_frame"]
            assert sample.final_score == entry["final_score"]
            assert sample.difficulty == entry["difficulty"]

    def test_judge_scores_equal_the_augmented_dictionary_but_for_one_typing_error(
        self, official: tuple, augmented: dict
    ) -> None:
        annotations, _ = official
        different = {
            sample_id: (parse_judge_scores(text), tuple(augmented[sample_id]["judge_scores"]))
            for sample_id, text in zip(
                annotations["sample_id"], annotations["judge_scores"], strict=True
            )
            if parse_judge_scores(text) != tuple(augmented[sample_id]["judge_scores"])
        }
        # no mark is above 10: the workbook's `45` is a forgotten decimal point
        assert different == {
            "04_049": ((2.5, 4, 4, 4.5, 3.5, 5, 4), (2.5, 4, 4, 45, 3.5, 5, 4)),
        }

    def test_every_oddity_is_noted(self, official: tuple) -> None:
        _, notes = official
        assert samples_with(notes, "mark_mended") == ["04_049", "04_100"]
        assert samples_with(notes, "only_in_workbook") == ["01_064", "17_072", "17_149", "26_092"]
        assert samples_with(notes, "score_rounded") == ["13_017", "13_025", "14_048"]
        assert len(notes) == 2 + 4 + 3 + 27

    def test_scores_that_differ_from_the_rule(self, official: tuple, augmented: dict) -> None:
        _, notes = official
        expected = []
        for sample_id, entry in sorted(augmented.items()):
            middle = sorted(entry["judge_scores"])[2:5]
            if abs(sum(middle) * entry["difficulty"] - entry["final_score"]) > 0.0501:
                expected.append(sample_id)
        assert len(expected) == 27
        assert samples_with(notes, "score_differs_from_rule") == expected

    def test_videos(self, official: tuple, official_dir: Path) -> None:
        annotations, _ = official
        addresses = read_video_list(official_dir / "Video_List.xlsx")
        assert {f"{number:02d}" for number in addresses} == set(annotations["video_id"])
        assert addresses[26] == "https://www.youtube.com/watch?v=BlHLFLNGG8A"

    def test_every_workbook_is_read_whatever_its_header(self, official_dir: Path) -> None:
        paths = sorted((official_dir / "Raw_Annotations").glob("*.xlsx"))
        headers = {
            tuple(
                next(
                    openpyxl.load_workbook(path, read_only=True)
                    .worksheets[0]
                    .iter_rows(values_only=True)
                )
            )
            for path in paths
        }
        assert len(headers) > 8
        assert sum(len(read_workbook(path)) for path in paths) == 1412 + 4


@pytest.mark.parametrize(
    ("name", "mended"),
    [
        ("augmented_final_annotations_dict.pkl", ["04_049"]),
        ("final_annotations_dict_with_dive_number.pkl", []),  # it has 4.5 there
    ],
)
def test_the_pickles_alone_say_what_the_official_release_says(
    tmp_path: Path, official: tuple, official_dir: Path, name: str, mended: list
) -> None:
    (tmp_path / name).write_bytes((official_dir / name).read_bytes())
    for split in ("train", "test"):
        file = f"{split}_split_0.pkl"
        (tmp_path / file).write_bytes((official_dir / mtl_release.READY / file).read_bytes())
    annotations, notes = read_release(release_dir=tmp_path, scoring_rule="diving")
    pd.testing.assert_frame_equal(annotations, official[0])
    assert samples_with(notes, "mark_mended") == mended
    assert samples_with(notes, "dive_number_differs") == []


def test_a_dive_number_that_its_codes_contradict_is_noted(tmp_path: Path) -> None:
    entries = {key: entry | {"dive_number": "407C"} for key, entry in dives().items()}
    entries[1, 2]["dive_number"] = "107B"
    write_pickle(tmp_path / "final_annotations_dict_with_dive_number.pkl", entries)
    write_pickle(tmp_path / "train_split_0.pkl", [key for key in entries if key[1] == 1])
    write_pickle(tmp_path / "test_split_0.pkl", [key for key in entries if key[1] == 2])
    _, notes = read_release(release_dir=tmp_path, scoring_rule="diving")
    assert [note.sample_id for note in notes] == ["01_002"]
    assert "dive_number '107B', but its codes mean 407C" in notes[0].detail


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (dive(), "407C"),
        (dive(rotation_type=1, position=1), "107B"),
        (dive(rotation_type=1, position=1, ss_no=5, tw_no=6), "5156B"),
        (dive(rotation_type=0, position=1, ss_no=5, tw_no=3), "5253B"),
        (dive(rotation_type=0, position=0, ss_no=4, tw_no=3, armstand=1), "6243D"),
        (dive(rotation_type=3, ss_no=6, armstand=1), "636C"),
        (dive(rotation_type=3, position=0, ss_no=0), "300D"),
    ],
)
def test_dive_code(entry: dict, code: str) -> None:
    assert dive_code(entry) == code


@pytest.mark.parametrize(
    ("cell", "mark"),
    [
        *((8, 8.0), (8.5, 8.5), (0, 0.0), (10, 10.0), ("7.5", 7.5)),
        *(("7..5", 7.5), ("7,5", 7.5), (45, 4.5), (100, 10.0), ("45", 4.5)),
        *((8.3, None), (-1, None), (46, None), (1000, None), ("x", None), ("", None)),
        *((None, None), (True, None), (float("nan"), None)),
    ],
)
def test_read_mark(cell: object, mark: float | None) -> None:
    assert read_mark(cell) == mark


def test_small_release(tmp_path: Path) -> None:
    annotations, notes = read_release(release_dir=write_release(tmp_path), scoring_rule="diving")
    assert list(annotations["sample_id"]) == ["01_001", "01_002", "02_001", "02_002"]
    assert list(annotations["split"]) == ["train", "test"] * 2
    first = annotations.iloc[0]
    assert (first["start_frame"], first["end_frame"]) == (100, 180)
    assert parse_judge_scores(first["judge_scores"]) == tuple(MARKS)
    assert notes == []


def rewrite(folder: Path, *rows: list) -> None:
    write_workbook(folder / "Raw_Annotations" / "01.xlsx", list(rows))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row(1, dives()[1, 1])], [("01_002", "no_marks", "01.xlsx has no row for it")]),
        (
            [row(1, dives()[1, 1]), row(2, dives()[1, 2]), row(9, dive())],
            [("01_009", "only_in_workbook", "01.xlsx row 6, view 'S', score 76.8: not in")],
        ),
        (
            [row(1, dives()[1, 1], End_Frame=7), row(2, dives()[1, 2], Difficulty=3.1)],
            [
                ("01_001", "end_frame_differs", "01.xlsx row 2 has 7, .* 180; the latter is kept"),
                ("01_002", "difficulty_differs", "01.xlsx row 4 has 3.1, .* 3.2; the latter"),
            ],
        ),
        (
            [row(1, dives()[1, 1], Judge_3="?"), row(2, dives()[1, 2], Judge_7=None)],
            [
                ("01_001", "no_marks", "row 2: expected marks from 0 to 10 by half points, got"),
                ("01_002", "no_marks", r"row 4: expected marks .* 8.5, None\]"),
            ],
        ),
        (
            [row(1, dives()[1, 1], Judge_1=80), row(2, dives()[1, 2], Judge_7="1,0")],
            [
                ("01_001", "mark_mended", "judge 1: 80 read as 8; this gives the official score"),
                ("01_002", "mark_mended", "judge 7: '1,0' read as 1; this gives the official"),
            ],
        ),
        (
            [row(1, dives()[1, 1], Judge_4="7..5"), row(2, dives()[1, 2], Judge_7=45)],
            [
                ("01_001", "mark_mended", r"judge 4: '7\.\.5' read as 7\.5; this gives the off"),
                ("01_002", "mark_mended", r"judge 7: 45 read as 4\.5; this gives the official"),
            ],
        ),
        (
            [row(1, dives()[1, 1]), row(2, dives()[1, 2], marks=[50, 5, 5, 5, 5, 5, 5])],
            [("01_002", "no_marks", "judge 1: 50 read as 5 does not give the official score")],
        ),
    ],
    ids=[
        "no row",
        "more rows",
        "other values",
        "unreadable",
        "mended",
        "as published",
        "mended wrongly",
    ],
)
def test_what_disagrees_is_noted(tmp_path: Path, rows: list, expected: list) -> None:
    write_release(tmp_path)
    rewrite(tmp_path, *rows)
    annotations, notes = read_release(release_dir=tmp_path, scoring_rule="diving")
    assert len(annotations) == 4
    assert [note[:2] for note in notes] == [note[:2] for note in expected]
    for note, (_, _, pattern) in zip(notes, expected, strict=True):
        assert re.search(pattern, note.detail)
    without_marks = set(annotations.loc[annotations["judge_scores"] == "", "sample_id"])
    assert without_marks == set(samples_with(notes, "no_marks"))


@pytest.mark.parametrize(
    "names",
    [
        {"Dive No.": "sr. no", "Start Frame": "start frame", "Judge 1": "scores"},
        {
            "Dive No.": "Sr. No.",
            "Start Frame": "Start_frame",
            "Judge 1": "Individual judges scores",
        },
        {"View": "Camera Angle", "Difficulty": "Difficulty ", "Final Score": "Final_score"},
        {
            "View": "Angle",
            "Start Frame": "Start ",
            "End Frame": "End",
            "Final Score": "Total Score",
        },
    ],
)
def test_columns_are_found_by_any_name_of_the_published_workbooks(
    names: dict[str, str], tmp_path: Path
) -> None:
    header: list = [names.get(name, name) for name in mtl_release.HEADER]
    if "Judge 1" in names:  # one name above all seven columns
        header[13:] = [None] * 6
    entry = dive(101, 180)
    write_workbook(tmp_path / "01.xlsx", [row(3, entry, Judge_7="7,0")], header=[*header, None])
    assert read_workbook(tmp_path / "01.xlsx") == {
        3: WorkbookDive(
            row=2,
            view="S",
            start_frame=101,
            end_frame=180,
            difficulty=3.2,
            final_score=76.8,
            marks=(*MARKS[:6], "7,0"),
        )
    }


def test_the_official_score_is_kept_where_it_differs_from_the_rule(tmp_path: Path) -> None:
    write_release(tmp_path)
    entries = dives() | {(1, 1): dive(101, 180, final_score=70.0)}
    entries[1, 2] = dive(201, 280, final_score=76.75)
    write_pickle(tmp_path / DICTIONARY, entries)
    rewrite(tmp_path, row(1, entries[1, 1]), row(2, entries[1, 2]))
    annotations, notes = read_release(release_dir=tmp_path, scoring_rule="diving")
    assert list(annotations["final_score"][:2]) == [70.0, 76.75]
    assert samples_with(notes, "score_differs_from_rule") == ["01_001"]
    assert samples_with(notes, "score_rounded") == ["01_002"]
    assert "give 76.8 with difficulty 3.2" in notes[0].detail


def damage_dictionary(content: object) -> Callable[[Path], None]:
    return lambda folder: write_pickle(folder / DICTIONARY, content)


def damage_split(content: object) -> Callable[[Path], None]:
    return lambda folder: write_pickle(folder / mtl_release.READY / "test_split_0.pkl", content)


def header_without_difficulty(folder: Path) -> None:
    header = ["DD" if name == "Difficulty" else name for name in mtl_release.HEADER]
    write_workbook(folder / "Raw_Annotations" / "01.xlsx", [], header=header)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / DICTIONARY).unlink(), r"final_annotations_dict\.pkl: cannot be read"),
        (damage_dictionary([1]), r"expected a dictionary of dives, got \[1\]"),
        (damage_dictionary({}), r"expected a dictionary of dives, got \{\}"),
        (damage_dictionary({"a": 1}), r"entry 'a': expected a key \(video number, dive number\)"),
        (damage_dictionary({(0, 1): dive()}), "video and dive number must be above 0"),
        (damage_dictionary({(1, 1): 5}), r"entry \(1, 1\): expected a dictionary, got 5"),
        (damage_dictionary({(1, 1): dive(difficulty="3")}), "expected a number in 'difficulty'"),
        (damage_dictionary({(1, 1): dive(40, 11)}), "start_frame <= end_frame, got 40, 11"),
        (damage_dictionary({(1, 1): dive(0, 11)}), "start_frame <= end_frame, got 0, 11"),
        (damage_dictionary({(1, 1): dive(1.5, 11)}), "whole 1 <= start_frame"),
        (damage_dictionary({(1, 1): dive(position=7)}), "unknown position 7"),
        (damage_split({(1, 2): 1}), "expected a list of sample keys"),
        (damage_split([(1, 2), (2, 9)]), r"\(2, 9\) is not a dive of"),
        (damage_split([(1, 2), "x"]), "'x' is not a dive of"),
        (damage_split([(1, 2), (1, 1)]), r"\(1, 1\) is listed twice; splits may not overlap"),
        (damage_split([(1, 2)]), r"1 dive\(s\) of .* are in neither split: \(2, 2\)"),
        (
            lambda d: (d / "Raw_Annotations" / "02.xlsx").unlink(),
            r"02\.xlsx: no such file\. The release needs it",
        ),
        (
            lambda d: (d / "Raw_Annotations" / "02.xlsx").write_bytes(b"PK\x03\x04 not a zip"),
            r"02\.xlsx: not a readable \.xlsx workbook",
        ),
        (header_without_difficulty, r"01\.xlsx, row 1: expected one column named 'difficulty'"),
        (
            lambda d: rewrite(d, row(1, dive()), row(1, dive())),
            r"01\.xlsx, row 4: expected a dive number that is whole and occurs once, got 1",
        ),
        (
            lambda d: rewrite(d, row("one", dive())),
            r"01\.xlsx, row 2: expected a dive number that is whole .* got 'one'",
        ),
    ],
)
def test_damage_names_the_file_and_the_fault(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    write_release(tmp_path)
    damage(tmp_path)
    with pytest.raises(AnnotationError, match=message):
        read_release(release_dir=tmp_path, scoring_rule="diving")
