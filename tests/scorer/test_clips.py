"""Which clips a shell command means: videos, folders, tables; and files below a folder alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from dae_aqa.errors import ScoreInputError
from dae_aqa.scorer import Clip, Stretch, file_below
from dae_aqa.scorer.clips import find_clips

LIKE = Clip(video=Path(), stretch=Stretch(last_frames=50), difficulty=2.0, action_class="x")


def test_videos_folders_and_tables_are_found_in_order(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.MOV", "notes.txt", "c.gif"):
        (tmp_path / name).touch()
    table = tmp_path / "sub/clips.csv"
    table.parent.mkdir()
    table.write_text(
        "video,name,start_seconds,end_frame,difficulty,action_class\n"
        "one.mp4,first,1.5,90,3.2,\n"
        "../b.mp4,,,,,pike\n"
    )
    clips = find_clips([tmp_path / "one.avi", tmp_path, table], like=LIKE)
    assert [clip.video for clip in clips] == [
        tmp_path / "one.avi",
        *(tmp_path / name for name in ("a.MOV", "b.mp4", "c.gif")),
        tmp_path / "sub/one.mp4",
        tmp_path / "sub/../b.mp4",
    ]
    assert all(clip.stretch == LIKE.stretch and clip.difficulty == 2.0 for clip in clips[:4])
    assert clips[4].stretch == Stretch(start_seconds=1.5, end_frame=90)
    assert (clips[4].difficulty, clips[4].shown_name, clips[4].action_class) == (3.2, "first", "x")
    assert (clips[5].stretch, clips[5].difficulty) == (LIKE.stretch, 2.0)
    assert (clips[5].shown_name, clips[5].action_class) == ("b.mp4", "pike")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip\na.mp4\n", r"needs the column video .*unknown: 'clip'"),
        ("video,dificulty\na.mp4,3\n", r"'dificulty' \(did you mean 'difficulty'\?\)"),
        ("video\n", "the table has no rows"),
        (
            "video,end_frame\na,1.5\n,3\nb,4\n",
            r"2 problem\(s\):\n  line 2: end_frame must be",
        ),
        ("video,difficulty\na,hard\n", "difficulty must be a number, got 'hard'"),
        ("video,start_frame,last_frames\na,1,2\n", "beginning of a clip is said more than once"),
        ("video\n\xff\xfe\x00", "unknown|not a readable|no rows|line"),
    ],
)
def test_a_table_that_is_none_is_refused_with_all_its_rows(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "clips.csv").write_text(text, encoding="latin-1")
    with pytest.raises(ScoreInputError, match=message):
        find_clips([tmp_path / "clips.csv"], like=LIKE)


def test_a_folder_without_videos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScoreInputError, match="no video in this folder"):
        find_clips([tmp_path], like=LIKE)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "clips"
    (root / "a").mkdir(parents=True)
    for path in (root / "a/in.mp4", tmp_path / "out.mp4", root / "list.m3u8"):
        path.touch()
    (root / "inside.mp4").symlink_to(root / "a/in.mp4")
    (root / "outside.mp4").symlink_to(tmp_path / "out.mp4")
    (root / "loop.mp4").symlink_to(root / "loop.mp4")
    (root / "up").symlink_to(tmp_path)
    return root


def test_files_below_the_folder_are_found(root: Path) -> None:
    for name in ("a/in.mp4", "inside.mp4", str(root / "a/in.mp4")):
        assert file_below(root, name) == (root / "a/in.mp4").resolve()


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "a", "a/../a/in.mp4", "../out.mp4", "outside.mp4", "up/out.mp4", "loop.mp4"),
        *("none.mp4", "list.m3u8", "http://127.0.0.1/a.mp4", "file:///etc/passwd", "/etc/passwd"),
        *("a\0.mp4", "concat:a/in.mp4|a/in.mp4", "a/in.mp4/b.mp4", "x" * 5000),
    ],
)
def test_everything_else_is_refused_in_the_same_words(name: str, root: Path) -> None:
    with pytest.raises(
        ScoreInputError, match="is no video in the folder that this scorer may read"
    ):
        file_below(root, name) if name != "a/in.mp4/" else file_below(root, "a/in.mp4/x.mp4")
