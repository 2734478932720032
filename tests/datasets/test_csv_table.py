import re
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import openpyxl
import pytest

from dae_aqa.datasets.csv.options import CsvOptions
from dae_aqa.datasets.csv.rows import read_rows
from dae_aqa.datasets.csv.table import check_rows, load
from dae_aqa.errors import AnnotationError
from dae_aqa.options import parse_options
from dae_aqa.tables.annotations import COLUMNS, OPTIONAL_COLUMNS
from dae_aqa.tables.dataset import DatasetTables

HEADER = "sample_id,video,start_frame,end_frame,start_seconds,end_seconds,score,difficulty"
NUM_FRAMES, FPS = 60, 10

SILENT = [""] * len(OPTIONAL_COLUMNS)


def write_video(path: Path, *, num_frames: int = NUM_FRAMES, fps: int = FPS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for index in range(num_frames):
            picture = np.full((32, 32, 3), 4 * index % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    write_video(folder / "final.mp4")
    write_video(folder / "cleo.mp4", num_frames=17)
    (folder / "broken.mp4").write_bytes(b"no video at all")
    return folder


class Table:
    """A CSV file and how it is read."""

    def __init__(self, folder: Path, videos: Path) -> None:
        self.path, self.videos, self.target = folder / "scores.csv", videos, folder / "videos"

    def write(self, *lines: str, encoding: str = "utf-8") -> "Table":
        self.path.write_text("\n".join(lines) + "\n", encoding=encoding)
        return self

    def options(self, **changes: object) -> CsvOptions:
        values = {
            "annotations_csv": str(self.path),
            "videos_dir": str(self.videos),
            "frames_dir": None,
            "min_score": 0.0,
            "max_score": 110.0,
            "frame_numbering": "decoded",
            "scoring_rule": None,
        }
        return parse_options(CsvOptions, values | changes, source="datasets.csv")

    def read(self, **changes: object) -> list[tuple]:
        table, _ = check_rows(read_rows(self.path), self.options(**changes))
        assert tuple(table.columns) == COLUMNS
        return list(table.itertuples(index=False, name=None))

    def import_all(self, **changes: object) -> DatasetTables:
        return load(self.options(**changes), self.target)

    def problems(self, **changes: object) -> list[str]:
        """Return the lines of the error that name a row."""
        with pytest.raises(AnnotationError, match=r"row\(s\) are bad") as caught:
            self.import_all(**changes)
        assert not self.target.exists(), "nothing may be written when a row is bad"
        return [line.strip() for line in str(caught.value).splitlines() if "  line " in line]


@pytest.fixture
def table(tmp_path: Path, videos: Path) -> Table:
    return Table(tmp_path, videos)


def readme_blocks(repo_root: Path, language: str) -> list[str]:
    text = (repo_root / "src/dae_aqa/datasets/csv/README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [content for name, content in blocks if name == language]


def test_the_worked_example_of_the_data_page(table: Table, repo_root: Path) -> None:
    (example,) = readme_blocks(repo_root, "csv")
    table.write(example.rstrip())
    assert table.read(scoring_rule="diving") == [
        ("final_anna", "final", 10, 25, 76.8, 3.2, "8;8;8.5;8;7.5", "407C", "train", *SILENT),
        (
            "final_bea",
            "final",
            35,
            50,
            67.2,
            2.8,
            "8;8;8;8.5;7.5",
            "back, 2½ somersaults",
            "train",
            *SILENT,
        ),
        ("training_cleo", "cleo", 0, 17, 42.5, 1.0, "", "", "test", *SILENT),
    ]
    tables = table.import_all(scoring_rule="diving")
    assert len(tables.notes) == 0
    assert sorted(path.name for path in table.target.iterdir()) == ["cleo.mp4", "final.mp4"]


def test_the_error_on_the_data_page_is_the_real_one(table: Table, repo_root: Path) -> None:
    (example,) = readme_blocks(repo_root, "csv")
    wrong = example.replace(",10,25,", ",10,900,").replace(",3.5,5.0,", ",3.5,3.0,")
    wrong = wrong.replace("cleo.mp4", "clea.mp4").replace("42.50", "425")
    (shown,) = readme_blocks(repo_root, "")
    expected = [line.strip() for line in shown.splitlines() if "  line " in line]
    real = [
        problem.replace(str(table.videos), "my_data/videos").replace("clea", "cleo")
        for problem in table.write(wrong.rstrip()).problems()
    ]
    assert real == expected


def test_columns_stand_in_any_order_and_may_be_left_out(table: Table) -> None:
    table.write("score,video,sample_id", "50,final.mp4,a", "", "60.5, cleo.mp4 ,b")
    assert table.read() == [
        ("a", "final", 0, 60, 50.0, 1.0, "", "", "", *SILENT),
        ("b", "cleo", 0, 17, 60.5, 1.0, "", "", "", *SILENT),
    ]


def test_a_table_from_excel_with_a_byte_order_mark(table: Table) -> None:
    table.write("sample_id,video,score", "a,final.mp4,50", encoding="utf-8-sig")
    assert table.read()[0][0] == "a"


def test_the_bounds_of_the_score_are_allowed(table: Table) -> None:
    table.write("sample_id,video,score", "a,final.mp4,12.5", "b,final.mp4,37.5")
    rows = table.read(min_score=12.5, max_score=37.5)
    assert [row[4] for row in rows] == [12.5, 37.5]
    problems = table.write("sample_id,video,score", "a,final.mp4,12.49").problems(min_score=12.5)
    assert "score 12.49 is out of range; datasets.csv allows 12.5 to 110" in problems[0]


@pytest.mark.parametrize(
    ("bounds", "mark", "allowed"),
    [
        # within 0 to 100, and as far as the score itself may go
        ((0.0, 10.0), 0.0, True),
        ((0.0, 10.0), 100.0, True),
        ((40.0, 110.0), 110.0, True),
        ((-5.0, 10.0), -5.0, True),
        ((0.0, 110.0), -7.0, False),
        ((-5.0, 110.0), -5.5, False),
        ((0.0, 10.0), 100.5, False),
        ((0.0, 110.0), 1e9, False),
    ],
)
@pytest.mark.parametrize("rule", [None, "sum_of_elements"])
def test_marks_out_of_every_judges_range(
    table: Table, bounds: tuple[float, float], mark: float, allowed: bool, rule: str | None
) -> None:
    table.write("sample_id,video,score,judge_1,judge_2", f"a,final.mp4,{bounds[1]},5,{mark:.1f}")
    changes = {"min_score": bounds[0], "max_score": bounds[1], "scoring_rule": rule}
    if allowed:
        assert float(table.read(**changes)[0][6].split(";")[1]) == mark
    else:
        (problem,) = table.problems(**changes)
        assert f"judge_2 {mark:g} is out of range; a mark lies within" in problem


def test_the_longest_sample_id_names_its_files(table: Table) -> None:
    """`.<id>.zip.<host>-<pid>-<8 characters>.part` must fit into 255 bytes on any host (64)."""
    longest = "a" * 150
    assert len(f".{longest}.zip.{'h' * 64}-{2**22}-{'f' * 8}.part") <= 255
    table.write("sample_id,video,score", f"{longest},final.mp4,50")
    assert table.read()[0][0] == longest


def as_workbook(path: Path, rows: list[list[object]]) -> None:
    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.active.append(row)
    workbook.save(path)


@pytest.mark.parametrize("kind", ["Excel", "UTF-16", "semicolons", "tabs"])
def test_a_table_of_another_format_is_named_and_converted_as_told(table: Table, kind: str) -> None:
    """The command of the message is run; what it writes is a table that is read."""
    rows = [["sample_id", "video", "score", "judge_1"], ["007", "final.mp4", "50,5", "8,5"]]
    dots = [[cell.replace(",", ".") for cell in row] for row in rows]
    if kind == "Excel":
        as_workbook(table.path, [dots[0], ["007", "final.mp4", 50.5, 8.5]])
    elif kind == "UTF-16":
        table.write(*("\t".join(row) for row in dots), encoding="utf-16")
    elif kind == "semicolons":
        table.write(*(";".join(row) for row in rows))
    else:
        table.write(*("\t".join(row) for row in dots))
    with pytest.raises(AnnotationError, match=rf"scores\.csv: the table is .*{kind}") as caught:
        table.read()
    command = re.search(r'python -c "(.*)"', str(caught.value))
    assert command is not None
    converted = subprocess.run(
        [sys.executable, "-c", command[1]], cwd=table.path.parent, capture_output=True, text=True
    )
    if kind == "Excel":  # pandas goes by the suffix, which a workbook has
        assert "read_excel('scores.csv'" in command[1]
    assert converted.returncode == 0, converted.stderr
    table.path = table.path.with_name("scores_utf8.csv")
    assert table.read()[0] == ("007", "final", 0, 60, 50.5, 1.0, "8.5", "", "", *SILENT)


def test_old_excel_and_other_encodings_are_named(table: Table) -> None:
    table.path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(AnnotationError, match=r"a workbook of old Excel \(\.xls\); expected CSV"):
        table.read()
    table.write(
        "sample_id,video,score,action", "a,final.mp4,50,Sprung rückwärts", encoding="cp1252"
    )
    with pytest.raises(AnnotationError, match=r"not a CSV table in UTF-8.*Save it so"):
        table.read()


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, 6, (0, 60)), (0.1, 0.3, (1, 3)), (2.5, 2.6, (25, 26)), (5.9, 6.0, (59, 60))],
)
def test_seconds_become_frames(
    table: Table, start: float, end: float, expected: tuple[int, int]
) -> None:
    table.write(HEADER, f"a,final.mp4,,,{start},{end},50,")
    assert table.read()[0][2:4] == expected


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a,none.mp4,,,,,50,", r"no video 'none\.mp4' in"),
        ("a,,,,,,50,", "video is empty"),
        ("a,../final.mp4,,,,,50,", r"video must be a plain file name, got '\.\./final\.mp4'"),
        ("a,/etc/passwd,,,,,50,", "video must be a plain file name, got '/etc/passwd'"),
        ("a,x\\y.mp4,,,,,50,", "video must be a plain file name"),
        ("a,broken.mp4,,,,,50,", r"broken\.mp4"),
        ("a,final.mp4,30,20,,,50,", r"end_frame \(20\) must be above start_frame \(30\)"),
        ("a,final.mp4,20,20,,,50,", r"end_frame \(20\) must be above start_frame \(20\)"),
        ("a,final.mp4,,,3,2,50,", r"end_seconds \(2\) must be above start_seconds \(3\)"),
        ("a,final.mp4,-1,20,,,50,", "start_frame must be 0 or more, got -1"),
        ("a,final.mp4,,,-1,2,50,", "start_seconds must be 0 or more, got -1"),
        ("a,final.mp4,0,61,,,50,", r"end_frame 61 lies past the end of final\.mp4, .* 60 frames"),
        ("a,final.mp4,,,0,6.2,50,", r"end_seconds 6\.2 lies past the end of final\.mp4"),
        ("a,final.mp4,,,0.11,0.12,50,", "no frame lies between 0.11 and 0.12 seconds"),
        ("a,final.mp4,0,20.5,,,50,", "frames must be whole numbers, got 0 and 20.5"),
        ("a,final.mp4,1,,,,50,", "give both start_frame and end_frame, or both"),
        ("a,final.mp4,1,2,1,2,50,", "give both start_frame and end_frame, or both"),
        ("a,final.mp4,one,2,,,50,", "start_frame must be a number with a decimal point, got 'one'"),
        ("a,final.mp4,,,,,110.5,", r"score 110\.5 is out of range; datasets\.csv allows 0 to 110"),
        ("a,final.mp4,,,,,110.01,", r"score 110\.01 is out of range"),
        ("a,final.mp4,,,,,-0.5,", r"score -0\.5 is out of range"),
        (f"{'a' * 151},final.mp4,,,,,50,", "sample_id has 151 characters; 150 are allowed"),
        (f"a,{'v' * 147}.mp4,,,,,50,", "no video 'v"),
        ("a,final.mp4,,,,,nan,", "score must be a number with a decimal point, got 'nan'"),
        ('a,final.mp4,,,,,"50,5",', "score must be a number with a decimal point, got '50,5'"),
        ("a,final.mp4,,,,,,", "score is empty"),
        ("a,final.mp4,,,,,50,0", "difficulty must be above 0, got 0"),
        ("a,final.mp4,,,,,50,inf", "difficulty must be a number"),
        ("a/b,final.mp4,,,,,50,", "sample_id may hold letters"),
        ("..,final.mp4,,,,,50,", "sample_id may hold letters"),
        (",final.mp4,,,,,50,", "sample_id may hold letters"),
        ("a,final.mp4,,,,,50,1,9,9", "10 cells, but the header has 8"),
    ],
)
def test_each_fault_is_named(table: Table, row: str, problem: str) -> None:
    table.write(HEADER, "good,final.mp4,0,20,,,50,3.2", row)
    (found,) = table.problems()
    assert found.startswith("line 3 (sample_id ")
    assert re.search(problem, found)


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ("8,,8,8,8,train", "judge_2 empty before the last judge given"),
        ("8,x,8,8,8,train", "judge_2 must be a number"),
        ("8,8,8,8,,train", "scoring rule 'diving' takes 5 or 7 marks, got 4"),
        ("8,8,8,8,8,val", "split must be 'train', 'test' or empty, got 'val'"),
    ],
)
def test_faults_of_marks_and_split(table: Table, cells: str, problem: str) -> None:
    header = "sample_id,video,score,judge_1,judge_2,judge_3,judge_4,judge_5,split"
    table.write(header, f"a,final.mp4,50,{cells}")
    (found,) = table.problems(scoring_rule="diving")
    assert problem in found


def test_all_faults_of_all_rows_come_at_once(table: Table) -> None:
    table.write(
        HEADER,
        "a,none.mp4,0,20,,,50,",
        "b,final.mp4,30,20,,,500,-1",
        "good,final.mp4,0,20,,,50,",
        "c,final.mp4,0,20,,,50,",
        "c,cleo.mp4,0,18,,,50,",
    )
    first, second, third, fourth = table.problems()
    assert first.startswith("line 2 (sample_id 'a'): no video 'none.mp4'")
    assert second == (
        "line 3 (sample_id 'b'): end_frame (20) must be above start_frame (30); score 500 is out "
        "of range; datasets.csv allows 0 to 110; difficulty must be above 0, got -1"
    )
    assert third == "line 5 (sample_id 'c'): sample_id occurs 2 times"
    assert fourth.startswith("line 6 (sample_id 'c'): end_frame 18 lies past the end of cleo.mp4")
    assert fourth.endswith("sample_id occurs 2 times")


def test_two_videos_of_one_stem_are_no_choice(table: Table, tmp_path: Path) -> None:
    table.videos = tmp_path / "own"
    write_video(table.videos / "final.mp4")
    write_video(table.videos / "final.avi")
    table.write("sample_id,video,score", "a,final.mp4,50", "b,final.avi,50")
    problems = table.problems()
    assert len(problems) == 2
    assert all("final.avi and final.mp4 differ in their suffix alone" in p for p in problems)


def test_a_file_that_is_no_video_by_its_suffix(table: Table, tmp_path: Path) -> None:
    table.videos = tmp_path / "own"
    write_video(table.videos / "final.mp4").rename(table.videos / "final.dat")
    table.write("sample_id,video,score", "a,final.dat,50")
    assert "video 'final.dat' needs one of the suffixes .mp4" in table.problems()[0]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("sample_id,video", "column 'score' is missing"),
        ("sample_id,video,score,skore", r"unknown column 'skore' \(did you mean 'score'\?\)"),
        ("sample_id,video,score,score", "column 'score' occurs twice"),
        ("sample_id,video,score,judge_1,judge_3", "numbered judge_1 … without a gap"),
        ("sample_id,video,score,judge_0", "unknown column 'judge_0'"),
    ],
)
def test_faults_of_the_header(table: Table, header: str, message: str) -> None:
    table.write(header, "a,final.mp4,50,1,1")
    with pytest.raises(AnnotationError, match=rf"scores\.csv, line 1: .*{message}"):
        table.read()


def test_tables_that_are_none(table: Table) -> None:
    with pytest.raises(AnnotationError, match=r"scores\.csv: no such table\. Set datasets\.csv"):
        table.read()
    table.path.write_bytes(b"sample_id,video,score\n\xff\xfe,b,c\n")
    with pytest.raises(AnnotationError, match="not a CSV table in UTF-8"):
        table.read()
    table.write("sample_id,video,score", 'a,"final.mp4,50')
    with pytest.raises(AnnotationError, match="not a CSV table in UTF-8"):
        table.read()
    with pytest.raises(AnnotationError, match="has no rows below its header"):
        table.write("sample_id,video,score", "", ",,").read()
    table.write("sample_id,video,score", "a,final.mp4,50")
    with pytest.raises(AnnotationError, match="videos_dir: no folder '/none'"):
        table.read(videos_dir="/none")


def test_scores_that_differ_from_the_rule_are_kept_and_noted(table: Table) -> None:
    header = "sample_id,video,score,difficulty,judge_1,judge_2,judge_3,judge_4,judge_5"
    table.write(
        header, "a,final.mp4,70,3,8,8,8,8,8", "b,final.mp4,72,3,8,8,8,8,8", "c,cleo.mp4,1,,"
    )
    tables = table.import_all(scoring_rule="diving")
    assert list(tables.annotations["final_score"]) == [70.0, 72.0, 1.0]
    assert list(tables.notes["sample_id"]) == ["a"]
    assert "the marks 8;8;8;8;8 give 72 with difficulty 3" in tables.notes["detail"][0]


def test_videos_are_copied_not_linked(table: Table) -> None:
    table.write("sample_id,video,score", "a,final.mp4,50")
    table.import_all()
    copied, own = table.target / "final.mp4", table.videos / "final.mp4"
    assert copied.read_bytes() == own.read_bytes()
    assert copied.stat().st_ino != own.stat().st_ino
    assert not copied.is_symlink()


def test_the_example_broadcasts(table: Table, shared_dir: Path) -> None:
    """The numbers of frames were counted by decoding (see the frames' own tests)."""
    table.write(
        HEADER,
        "a,demo_h264.mp4,0,280,,,50,",
        "b,demo_h264.mp4,0,281,,,50,",
        "c,skiing_h264.mp4,,,,,50,",
    )
    (found,) = table.problems(videos_dir=str(shared_dir / "videos"))
    assert "line 3 (sample_id 'b'): end_frame 281 lies past the end of demo_h264.mp4" in found


@pytest.fixture
def frames(tmp_path: Path) -> str:
    """A folder of images numbered from 489, one from 1, and one without images."""
    image = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    for name, first in (("final", 489), ("heat.1", 1)):
        (tmp_path / "frames" / name).mkdir(parents=True)
        for number in range(first, first + 30):
            (tmp_path / "frames" / name / f"{number:06d}.jpg").write_bytes(image)
    (tmp_path / "frames" / "empty").mkdir()
    return str(tmp_path / "frames")


def test_folders_of_images_go_by_their_numbers(table: Table, frames: str) -> None:
    table.write(
        "sample_id,video,start_frame,end_frame,score",
        *("a,final,490,500,7", "b,final,500,519,8", "c,heat.1,,,9"),
    )
    tables = table.import_all(frames_dir=frames, videos_dir=None)
    columns = ["sample_id", "video_id", "start_frame", "end_frame"]
    assert tables.annotations[columns].to_numpy().tolist() == [
        ["a", "final", 490, 500],
        ["b", "final", 500, 519],
        ["c", "heat.1", 1, 31],
    ]
    lists = sorted(path.name for path in table.target.iterdir())
    assert lists == ["final.frames.csv", "heat.1.frames.csv"]


def test_bad_ranges_of_images_are_all_named(table: Table, frames: str) -> None:
    table.write(
        "sample_id,video,start_frame,end_frame,start_seconds,end_seconds,score",
        *("a,final,0,10,,,7", "b,final,500,520,,,8", "c,empty,,,,,9", "d,final,,,0,1,5"),
        "e,../final,,,,,5",
    )
    told = table.problems(frames_dir=frames)
    for line, text in zip(
        told,
        (
            "start_frame 0 lies before the first image of final, number 489",
            "end_frame 520 lies past the end of final, whose last image is number 518",
            "no folder 'empty' with numbered images in",
            "images have no seconds; give start_frame and end_frame",
            "video '../final' may hold letters",
        ),
        strict=True,
    ):
        assert text in line


def test_a_folder_of_frames_that_is_not_there(table: Table) -> None:
    table.write("sample_id,video,score", "a,final,7")
    with pytest.raises(AnnotationError, match=r"datasets.csv.frames_dir: no folder '.*nowhere'"):
        table.import_all(frames_dir="nowhere")
