"""The user's own files: recorded by content, compared, and what follows from a change."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.edit_params import edit_params

from dae_aqa.cli.refresh import refresh
from dae_aqa.datasets import DATASETS
from dae_aqa.params import load_params
from dae_aqa.params.check import warn_of_changed_sources
from dae_aqa.tables import sources
from dae_aqa.tables.sources import changed_sources, write_sources

TABLE = Path("data/sources.csv")
CSV = "sample_id,video,score\na_1,a.mp4,10\na_2,a.mp4,20\nb_1,b.mp4,30\n"


def own_files() -> list[Path]:
    params = load_params()
    return DATASETS[params.dataset].own_files(params.dataset_options)


@pytest.fixture(autouse=True)
def root(repo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose download has read a table and two videos."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(repo_root / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    edit_params({"dataset": "csv"})
    for folder in ("data", "my_videos"):
        Path(folder).mkdir()
    Path("my_videos/annotations.csv").write_text(CSV)
    for name in ("a.mp4", "b.mp4", "unused.mp4"):
        Path("my_videos", name).write_bytes(name.encode() * 100)
    root = tmp_path.resolve()
    write_sources(own_files(), TABLE, root=root)
    return root


def test_the_table(root):
    rows = []
    for name in ("a.mp4", "annotations.csv", "b.mp4"):
        content = (root / "my_videos" / name).read_bytes()
        rows.append(f"my_videos/{name},{len(content)},{hashlib.sha256(content).hexdigest()}\n")
    assert TABLE.read_text() == "path,size_bytes,sha256\n" + "".join(rows)


def test_files_elsewhere_keep_their_whole_path(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "c.csv"
    elsewhere.write_text("x")
    write_sources([elsewhere], TABLE, root=root)
    assert TABLE.read_text().splitlines()[1].startswith(f"{elsewhere.resolve()},1,")
    assert changed_sources(TABLE, root=root, read_all=True) == []


def test_simdive_reads_no_file_of_the_users():
    edit_params({"dataset": "simdive"})
    assert own_files() == []


def test_mtl_aqa_reads_what_is_named(root):
    Path("release/Raw").mkdir(parents=True)
    Path("release/Raw/1.xlsx").write_text("x")
    Path("urls.csv").write_text("video_id,url\n")
    Path("my_videos/notes.txt").write_text("x")
    edit_params({"dataset": "mtl_aqa", "datasets.mtl_aqa.videos_dir": "my_videos"})
    videos = {root / "my_videos" / name for name in ("a.mp4", "b.mp4", "unused.mp4")}
    assert set(own_files()) == videos
    edit_params(
        {
            "datasets.mtl_aqa.annotations_source": "release",
            "datasets.mtl_aqa.video_list": "urls.csv",
            "datasets.mtl_aqa.videos_dir": None,
        }
    )
    named = {root / "release/Raw/1.xlsx", root / "urls.csv"}
    assert set(own_files()) == named


@pytest.mark.parametrize("read_all", [True, False])
def test_changes(root, read_all):
    def changes() -> list[str]:
        return changed_sources(TABLE, root=root, read_all=read_all)

    assert changes() == []
    Path("my_videos/unused.mp4").write_bytes(b"other")
    assert changes() == []
    Path("my_videos/annotations.csv").write_text(CSV.replace("10", "11"))  # of the same size
    assert changes() == ["my_videos/annotations.csv has changed"]
    Path("my_videos/b.mp4").unlink()
    assert changes() == ["my_videos/b.mp4 is gone", "my_videos/annotations.csv has changed"]


def test_results_from_elsewhere_are_not_doubted(root):
    """A colleague has pulled them, and has none of the files."""
    shutil.rmtree("my_videos")
    assert changed_sources(TABLE, root=root, read_all=True) == []
    TABLE.unlink()
    assert changed_sources(TABLE, root=root, read_all=True) == []


def test_large_files_are_read_where_they_are_newer(root, monkeypatch):
    monkeypatch.setattr(sources, "_ALWAYS_READ_BYTES", 300)  # the videos have 500 bytes
    read: list[str] = []
    real = sources.file_sha256
    monkeypatch.setattr(sources, "file_sha256", lambda path: read.append(path.name) or real(path))
    later = time.time() + 100
    os.utime(TABLE, (later, later))
    assert changed_sources(TABLE, root=root, read_all=False) == []
    assert read == ["annotations.csv"]
    read.clear()
    assert changed_sources(TABLE, root=root, read_all=True) == []
    assert sorted(read) == ["a.mp4", "annotations.csv", "b.mp4"]
    Path("my_videos/a.mp4").write_bytes(b"a" * 501)  # of another size
    assert changed_sources(TABLE, root=root, read_all=False) == ["my_videos/a.mp4 has changed"]
    Path("my_videos/a.mp4").write_bytes(b"a.mp4" * 100)
    earlier = time.time() - 100
    os.utime(TABLE, (earlier, earlier))
    Path("my_videos/b.mp4").write_bytes(b"B.MP4" * 100)
    os.utime("my_videos/b.mp4", (0, 0))  # as a copy that keeps the time of an old file
    assert changed_sources(TABLE, root=root, read_all=False) == ["my_videos/b.mp4 has changed"]


def test_check_warns_of_a_change(root, caplog):
    with caplog.at_level(logging.WARNING, logger="dae_aqa"):
        warn_of_changed_sources(root=root)
        assert not caplog.messages
        Path("my_videos/annotations.csv").write_text(CSV + "b_2,b.mp4,40\n")
        warn_of_changed_sources(root=root)
    (message,) = caplog.messages
    assert message.startswith("my_videos/annotations.csv has changed since download: run `dae-aqa")


class FakeDvc:
    """Notes the commands in place of running them."""

    def __init__(self, codes: list[int]) -> None:
        self.codes = iter(codes)
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], **_: object) -> subprocess.CompletedProcess:
        self.commands.append(command)
        return subprocess.CompletedProcess(command, next(self.codes))


FORCE = [sys.executable, "-m", "dvc", "repro", "--force", "download"]
REPRO = [sys.executable, "-m", "dvc", "repro"]


@pytest.fixture
def dvc(monkeypatch):
    def make(*codes: int) -> FakeDvc:
        fake = FakeDvc(list(codes))
        monkeypatch.setattr(subprocess, "run", fake)
        return fake

    return make


def test_refresh_of_nothing_runs_nothing(root, dvc):
    fake = dvc()
    assert refresh(root=root, force=False) == 0
    assert fake.commands == []


@pytest.mark.parametrize("change", ["csv", "video", "force", "new", "no table"])
def test_refresh_runs_download_and_what_follows(root, dvc, change):
    if change == "csv":
        Path("my_videos/annotations.csv").write_text(CSV.replace("10", "11"))
    elif change == "video":
        Path("my_videos/b.mp4").write_bytes(b"B.MP4" * 100)
    elif change == "new":
        edit_params({"datasets.csv.annotations_csv": "other.csv"})
        Path("other.csv").write_text(CSV)
    elif change == "no table":
        TABLE.unlink()
    fake = dvc(0, 0)
    assert refresh(root=root, force=change == "force") == 0
    assert fake.commands == [FORCE, REPRO]


def test_refresh_gives_dvcs_exit_code(root, dvc):
    fake = dvc(7)
    assert refresh(root=root, force=True) == 7
    assert fake.commands == [FORCE]
    dvc(0, 9)
    assert refresh(root=root, force=True) == 9
