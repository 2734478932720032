"""Whole files: what is written aside, when it appears, what stays behind."""

from __future__ import annotations

import ast
import os
import socket
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.half_written import killed_process

from dae_aqa.errors import OutputError
from dae_aqa.files import whole
from dae_aqa.files.whole import copy_file, remove_leftovers, written_whole

SRC = Path(__file__).resolve().parents[2] / "src"
# what these rename is no file that they wrote aside: what a folder holds, the generation of
# checkpoints before, a download that the next run resumes where this one breaks off
OTHER_RENAMES = {
    "dae_aqa/files/whole.py": 1,
    "dae_aqa/files/outputs.py": 1,
    "dae_aqa/training/checkpoint.py": 1,
    "dae_aqa/datasets/video_fetch.py": 1,
}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.txt"
    with written_whole(path) as part:
        part.write_text("half")
        assert not path.exists()
        part.write_text("whole")
    assert path.read_text() == "whole"
    assert names_in(path.parent) == ["a.txt"]


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    with written_whole(tmp_path / "release") as part:
        part.mkdir()
        (part / "a").write_text("A")
        assert not (tmp_path / "release").exists()
    assert names_in(tmp_path) == ["release"]
    assert (tmp_path / "release/a").read_text() == "A"


@pytest.mark.parametrize("error", [ValueError("stop"), KeyboardInterrupt("stop")])
@pytest.mark.parametrize("is_folder", [False, True])
def test_an_error_leaves_what_was_there(
    tmp_path: Path, error: BaseException, is_folder: bool
) -> None:
    path = tmp_path / "a"
    path.write_text("earlier")

    def fail() -> None:
        with written_whole(path) as part:
            if is_folder:
                part.mkdir()
                (part / "b").write_text("half")
            else:
                part.write_text("half")
            raise error

    with pytest.raises(type(error), match="stop"):
        fail()
    assert path.read_text() == "earlier"
    assert names_in(tmp_path) == ["a"]


def test_what_fails_the_last_step_does_not_appear(tmp_path: Path) -> None:
    seen = []

    def refuse(part: Path) -> None:
        seen.append(part.read_text())
        raise ValueError("damaged")

    with (
        pytest.raises(ValueError, match="damaged"),
        written_whole(tmp_path / "a", last_step=refuse) as part,
    ):
        part.write_text("whole")
    assert seen == ["whole"]
    assert names_in(tmp_path) == []


def test_a_synced_file_is_on_the_disk_before_the_last_step_and_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    sync, replace = os.fsync, Path.replace

    def record_sync(descriptor: int) -> None:
        events.append(f"sync {os.fstat(descriptor).st_size}")
        sync(descriptor)

    def record_rename(self: Path, target: Path) -> Path:
        events.append(f"rename to {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(Path, "replace", record_rename)
    with written_whole(
        tmp_path / "a",
        synced=True,
        last_step=lambda part: events.append(f"check {part.read_text()}"),
    ) as part:
        part.write_text("whole")
    assert events == ["sync 5", "check whole", "rename to a"]
    with written_whole(tmp_path / "b") as part:
        part.write_text("whole")
    assert events[3:] == ["rename to b"]


def test_rights_are_those_of_any_new_file(tmp_path: Path) -> None:
    """Not those of the file before: DVC makes its outputs read-only."""
    path = tmp_path / "a"
    path.touch()
    path.chmod(0o444)
    (tmp_path / "plain").touch()
    with written_whole(path, synced=True) as part:
        part.write_text("new")
    expected = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) == expected


def test_what_a_link_leads_to_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "cached").write_text("cached")
    os.link(tmp_path / "cached", tmp_path / "hard")
    (tmp_path / "soft").symlink_to(tmp_path / "cached")
    for name in ("hard", "soft"):
        with written_whole(tmp_path / name) as part:
            part.write_text("new")
        assert (tmp_path / name).read_text() == "new"
    assert (tmp_path / "cached").read_text() == "cached"


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with written_whole(path) as one, written_whole(path) as two:
        one.write_text("one")
        two.write_text("two")
        assert one != two
    assert path.read_text() == "one"  # which was complete last
    assert names_in(tmp_path) == ["a"]


@pytest.mark.parametrize(
    "name", ["a" * 255, "ä" * 127 + ".", "€" * 85], ids=["ascii", "umlauts", "euros"]
)
def test_the_longest_names_can_be_written_on_any_host(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "h" * 64)
    monkeypatch.setattr(os, "getpid", lambda: 2**22)
    with written_whole(tmp_path / name) as part:
        part.write_text("whole")
    assert names_in(tmp_path) == [name]


def test_leftovers_of_killed_processes_alone_are_removed(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path\n"
        "from dae_aqa.files.whole import written_whole\n"
        "with written_whole(Path(sys.argv[1])) as part:\n"
        "    part.mkdir() if part.match('*folder*') else part.touch()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    for name in ("file", "folder"):
        command = [sys.executable, "-c", script, str(tmp_path / name)]
        subprocess.run(command, check=False, env={"PYTHONPATH": str(SRC)})
    assert len(names_in(tmp_path)) == 2
    kept = [
        f".a.elsewhere-{killed_process()}-00000000.part",  # another machine
        f".a.{socket.gethostname()}-{os.getpid()}-00000000.part",  # alive
        ".a.part",
        "film.mp4.part",  # somebody else's
    ]
    for name in kept:
        (tmp_path / name).touch()
    with written_whole(tmp_path / "mine") as part:
        part.write_text("whole")
        remove_leftovers(tmp_path)
    assert names_in(tmp_path) == sorted([*kept, "mine"])
    remove_leftovers(tmp_path / "no such folder")


def test_a_copy_shares_nothing_that_dvc_changes(tmp_path: Path) -> None:
    source, target = tmp_path / "own.mp4", tmp_path / "videos" / "01.mp4"
    source.write_bytes(b"frames")
    source.chmod(0o444)
    copy_file(source=source, target=target)
    assert target.read_bytes() == b"frames"
    assert not target.is_symlink()
    assert target.stat().st_ino != source.stat().st_ino
    target.write_bytes(b"changed")
    assert source.read_bytes() == b"frames"
    assert names_in(target.parent) == ["01.mp4"]


def test_a_copy_without_reflinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "_reflinked", lambda *_: False)
    (tmp_path / "a").write_bytes(b"frames")
    copy_file(source=tmp_path / "a", target=tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"frames"


def test_a_failed_copy_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "01.mp4"
    target.write_bytes(b"earlier")
    with pytest.raises(OutputError, match=r"none\.mp4: cannot be copied to .*01\.mp4 \(No such"):
        copy_file(source=tmp_path / "none.mp4", target=target)
    assert target.read_bytes() == b"earlier"
    assert names_in(tmp_path) == ["01.mp4"]


def renames(source: str) -> int:
    """How often a source renames a file: `a.replace(b)`, `a.rename(b)`, `os.replace(a, b)` …"""
    found = 0
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner, name = node.func.value, node.func.attr
        if isinstance(owner, ast.Name) and owner.id in ("os", "shutil"):
            found += name in ("replace", "rename", "renames", "move", "link")
        elif name in ("replace", "rename", "hardlink_to"):
            # a text's `replace` takes two arguments, a table's `rename` a name or keywords
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
            is_text = any(isinstance(value, ast.Constant | ast.Dict) for value in values)
            found += len(values) == 1 and not is_text
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("part.replace(path)", 1),
        ("part.rename(path)", 1),
        ("part.rename(target=path)", 1),
        ("os.replace(a, b); shutil.move(a, b); os.link(a, b)", 3),
        ("text.replace('a', 'b'); key.replace(theirs, ours)", 0),
        ("series.rename('score'); table.rename(columns={'a': 'b'})", 0),
    ],
)
def test_a_rename_is_seen(source: str, expected: int) -> None:
    assert renames(source) == expected


def test_one_function_renames_what_was_written_aside() -> None:
    found = Counter(
        {
            path.relative_to(SRC).as_posix(): renames(path.read_text(encoding="utf-8"))
            for path in SRC.rglob("*.py")
        }
    )
    assert +found == OTHER_RENAMES
