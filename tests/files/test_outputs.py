"""Outputs of the pipeline: what is foreign there, how they are replaced and restored."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
import yaml
from dvc.config import Config

from dae_aqa.errors import OutputError
from dae_aqa.files.outputs import (
    cache_folder,
    foreign_files,
    refuse_foreign_files,
    replaced_folder,
    restore,
    stage_outputs,
)

CACHE = Path(".dvc/cache/files/md5")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


def cached(content: bytes, *, suffix: str = "", cache: Path = CACHE) -> tuple[str, Path]:
    """Put `content` into the cache as DVC 3 does; return its hash and its file."""
    md5 = hashlib.md5(content).hexdigest() + suffix
    path = cache / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5, path


def lock(outs: dict[str, str]) -> None:
    entries = [{"path": path, "hash": "md5", "md5": md5} for path, md5 in outs.items()]
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"cut": {"outs": entries}}}))


def test_outputs_of_the_pipeline(repo_root):
    outputs = stage_outputs(repo_root)
    paths = {output.path.as_posix() for stage in outputs.values() for output in stage}
    assert {"data/videos", "data/frames", "models", "reports/metrics.json"} <= paths
    persistent = {o.path.as_posix() for stage in outputs.values() for o in stage if o.is_persistent}
    assert "data/videos" in persistent
    assert "data/frames" not in persistent


def test_no_pipeline_has_no_outputs(root):
    assert stage_outputs(root) == {}


@pytest.mark.parametrize(
    "named_in", [(), ("user",), ("repo",), ("user", "repo"), ("repo", "local")]
)
@pytest.mark.parametrize("folder", ["elsewhere", "../else where", '"{root}/else"', "~/else"])
def test_cache_is_where_dvc_has_it(root, monkeypatch, named_in, folder):
    monkeypatch.setenv("HOME", str(root / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(root / "home/.config"))
    files = {"user": "home/.config/dvc/config", "repo": ".dvc/config", "local": ".dvc/config.local"}
    for number, (level, path) in enumerate(files.items()):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        text = "[core]\n    autostage = true\n"
        if level in named_in:
            text += f"[cache]\n    dir = {folder.format(root=root)}\n".replace("else", f"{number}")
        (root / path).write_text(text)
    expected = Config(str(root / ".dvc"))["cache"].get("dir", root / ".dvc/cache")
    assert cache_folder(root).resolve() == Path(expected, "files/md5").resolve()


def test_foreign_is_what_the_cache_lacks(root):
    videos = root / "data/videos"
    videos.mkdir(parents=True)
    _, source = cached(b"rendered")
    os.link(source, videos / "01.mp4")
    (videos / "02.mp4").write_bytes(b"rendered")  # a copy of it
    assert foreign_files(videos, root=root) == []
    refuse_foreign_files(videos, root=root)

    (videos / "01.mp4").unlink()
    (videos / "01.mp4").write_bytes(b"my own!!")  # of the same name and size
    (videos / "anna").mkdir()
    (videos / "anna/13.mp4").write_bytes(b"mine")
    assert foreign_files(videos, root=root) == [videos / "01.mp4", videos / "anna/13.mp4"]
    with pytest.raises(OutputError, match=r"videos: 01\.mp4, anna/13\.mp4 would be lost.*Move"):
        refuse_foreign_files(videos, root=root)


def test_many_foreign_files_are_counted(root):
    videos = root / "data/videos"
    videos.mkdir(parents=True)
    for number in range(8):
        (videos / f"{number}.mp4").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"0\.mp4, .*4\.mp4 and 3 more would be lost"):
        refuse_foreign_files(videos, root=root)


def test_no_folder_has_no_foreign_files(root):
    refuse_foreign_files(root / "data/videos", root=root)


def test_folder_is_replaced_as_a_whole(root):
    folder = root / "videos"
    folder.mkdir()
    (folder / "old.mp4").write_bytes(b"old")
    (folder / "both.mp4").write_bytes(b"old")
    os.link(folder / "both.mp4", root / "in_cache")
    with replaced_folder(folder) as new:
        (new / "both.mp4").write_bytes(b"new")
        assert (folder / "both.mp4").read_bytes() == b"old"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"both.mp4": b"new"}
    assert (root / "in_cache").read_bytes() == b"old"


def test_folder_is_as_it_was_after_an_error(root):
    folder = root / "videos"
    folder.mkdir()
    (folder / "old.mp4").write_bytes(b"old")

    def fail() -> None:
        with replaced_folder(folder) as new:
            (new / "new.mp4").write_bytes(b"new")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert [path.name for path in folder.iterdir()] == ["old.mp4"]


def test_what_a_kill_left_is_no_part_of_the_new(root):
    folder = root / "videos"
    (folder / ".new").mkdir(parents=True)
    (folder / ".new/half.mp4").write_bytes(b"half")
    assert foreign_files(folder, root=root) == []
    with replaced_folder(folder) as new:
        (new / "a.mp4").write_bytes(b"a")
    assert [path.name for path in folder.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("kind", ["symlink", "hardlink"])
def test_nothing_is_restored_through_a_link(root, monkeypatch, kind):
    """A link that stands where a file belongs may lead into the cache or to the user's files."""
    md5, _ = cached(b"good")
    lock({"data/table.csv": md5})
    (root / "precious").write_bytes(b"precious")
    Path("data").mkdir()
    if kind == "symlink":
        Path("data/table.csv").symlink_to(root / "precious")
    else:
        os.link(root / "precious", "data/table.csv")
    restore("cut", root=root)
    assert Path("data/table.csv").read_bytes() == b"good"
    assert (root / "precious").read_bytes() == b"precious"


def test_nothing_is_restored_through_a_linked_folder(root):
    md5, _ = cached(b"good")
    listing, _ = cached(json.dumps([{"md5": md5, "relpath": "a.zip"}]).encode(), suffix=".dir")
    lock({"frames": listing})
    (root / "precious").mkdir()
    (root / "precious/a.zip").write_bytes(b"precious")
    Path("frames").symlink_to(root / "precious")
    restore("cut", root=root)
    assert Path("frames/a.zip").read_bytes() == b"good"
    assert (root / "precious/a.zip").read_bytes() == b"precious"


def test_restored_from_a_cache_elsewhere(root):
    (root / ".dvc").mkdir()
    (root / ".dvc/config.local").write_text(f"[cache]\n    dir = {root}/big disk\n")
    md5, _ = cached(b"good", cache=root / "big disk/files/md5")
    lock({"data/table.csv": md5})
    restore("cut", root=root)
    assert Path("data/table.csv").read_bytes() == b"good"


def test_nothing_in_the_cache_is_changed_through_what_was_restored(root):
    md5, source = cached(b"good")
    listing, _ = cached(json.dumps([{"md5": md5, "relpath": "a.zip"}]).encode(), suffix=".dir")
    source.chmod(0o444)  # as DVC keeps it
    lock({"data/table.csv": md5, "frames": listing})
    restore("cut", root=root)
    for path in (Path("data/table.csv"), Path("frames/a.zip")):
        assert not path.is_symlink()
        path.write_bytes(b"bad")
    assert source.read_bytes() == b"good"


def test_persistent_folder_is_left_alone(root):
    """DVC left it in place, and it may hold files of the user's."""
    md5, _ = cached(b"good")
    listing, _ = cached(json.dumps([{"md5": md5, "relpath": "a.mp4"}]).encode(), suffix=".dir")
    lock({"videos": listing})
    Path("dvc.yaml").write_text("stages: {cut: {cmd: x, outs: [{videos: {persist: true}}]}}")
    Path("videos").mkdir()
    Path("videos/mine.mp4").write_bytes(b"mine")
    restore("cut", root=root)
    assert [path.name for path in Path("videos").iterdir()] == ["mine.mp4"]
