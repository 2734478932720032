"""`dae-aqa doctor`: each line says what is, and what to do next."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from tests.edit_params import edit_params

from dae_aqa.cli import doctor
from dae_aqa.cli import main as cli
from dae_aqa.cli.doctor import Finding, diagnose
from dae_aqa.tables.sources import write_sources

GB = 10**9


@pytest.fixture(autouse=True)
def root(repo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in which nothing has run yet; `dvc status` says what `status` holds."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(repo_root / name, tmp_path)
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


@pytest.fixture(autouse=True)
def dvc_says(monkeypatch):
    """Let `dvc status` answer without running it."""
    real = subprocess.run

    def say(text: str, *, code: int = 0, error: str = "") -> None:
        def run(command, **options):
            if command[1:3] == ["-m", "dvc"]:
                assert command[3:] == ["status", "--json"]
                return subprocess.CompletedProcess(command, code, text, error)
            return real(command, **options)

        monkeypatch.setattr(doctor.subprocess, "run", run)

    say("{}")
    return say


def finding(root: Path, name: str) -> Finding:
    machine, repository = dict(doctor._MACHINE), dict(doctor._REPOSITORY)
    return (machine | repository)[name](root)


def test_fresh_clone_has_no_problem(root, capsys):
    assert cli.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split(":")[0].split(maxsplit=1)[1] for line in lines]
    assert names == [
        *("disk", "memory", "device", "ffmpeg", "params", "own files", "splits", "MLflow store"),
        *("unfinished", "processes", "next run"),
    ]
    assert not any(line.startswith("problem") for line in lines)
    assert not (root / ".mlflow").exists()


def test_outside_a_repository(root, capsys):
    (root / "dvc.yaml").unlink()
    assert cli.main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"problem  repository: no dvc.yaml in {root}")
    assert len(lines) == 5


def test_one_problem_makes_the_exit_code_and_hides_no_other_line(root, capsys):
    edit_params({"lr": -1})
    (root / "data/splits.csv").write_text("sample_id\na\n")
    assert cli.main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "problem  params: params.yaml: 1 problem(s):" in lines
    assert "problem  splits: 'split'" in lines
    assert "ok       next run: everything is up to date" in lines


@pytest.mark.parametrize(("free", "level"), [(6, "ok"), (4, "warning"), (0.4, "problem")])
def test_disk(root, monkeypatch, free, level):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage(9e9, 0, int(free * GB)))
    assert finding(root, "disk").level == level
    assert f"{free:.1f} GB free" in finding(root, "disk").text


@pytest.mark.parametrize(("available", "level"), [(3, "ok"), (1, "warning")])
def test_memory(root, monkeypatch, available, level):
    memory = namedtuple("memory", "total available")
    monkeypatch.setattr(doctor.psutil, "virtual_memory", lambda: memory(8 * GB, available * GB))
    assert finding(root, "memory") == Finding(level, finding(root, "memory").text)
    assert f"{available}.0 of 8.0 GB available" in finding(root, "memory").text


def test_ffmpeg_that_is_on_the_path(root, monkeypatch):
    script = root / "bin/ffmpeg"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\necho ffmpeg version 5.1.6-0+deb12u1 Copyright\n")
    script.chmod(0o755)
    monkeypatch.setattr("dae_aqa.video.ffmpeg.find_ffmpeg", lambda: str(script))
    assert finding(root, "ffmpeg") == Finding("ok", f"ffmpeg version 5.1.6-0+deb12u1 at {script}")
    script.write_text("#!/bin/sh\nexit 1\n")
    assert finding(root, "ffmpeg").level == "problem"


def test_own_files(root):
    videos = root / "my_videos"
    videos.mkdir()
    (videos / "annotations.csv").write_text("sample_id,video,score\na,a.mp4,1\n")
    (videos / "a.mp4").write_bytes(b"a")
    edit_params({"dataset": "csv"})
    assert finding(root, "own files") == Finding("ok", "none read yet")
    files = [videos / "annotations.csv", videos / "a.mp4"]
    write_sources(files, root / "data/sources.csv", root=root)
    assert finding(root, "own files") == Finding("ok", "2 files, as download read them")
    (videos / "a.mp4").write_bytes(b"b")
    found = finding(root, "own files")
    assert found.level == "warning"
    assert found.text.startswith("my_videos/a.mp4 has changed; run `dae-aqa refresh`")
    (videos / "a.mp4").write_bytes(b"a")
    (videos / "b.mp4").write_bytes(b"b")
    edit_params({"datasets.csv.annotations_csv": "other.csv"})
    (root / "other.csv").write_text("sample_id,video,score\na,a.mp4,1\nb,b.mp4,1\n")
    text = finding(root, "own files").text
    assert f"{videos / 'b.mp4'} is new" in text
    assert f"{root / 'other.csv'} is new" in text


def test_own_files_of_a_colleague(root):
    (root / "data/sources.csv").write_text("path,size_bytes,sha256\nelsewhere.csv,1,00\n")
    edit_params({"dataset": "csv"})
    assert finding(root, "own files").level == "ok"


def test_counts_of_the_splits(root):
    rows = ["train"] * 5 + ["val"] * 2 + ["test"]
    lines = [f"s{number},{split}" for number, split in enumerate(rows)]
    (root / "data/splits.csv").write_text("sample_id,split\n" + "\n".join(lines) + "\n")
    assert finding(root, "splits") == Finding("ok", "train 5, val 2, test 1")


def test_store_that_is_damaged(root):
    (root / ".mlflow").mkdir()
    (root / ".mlflow/mlflow.db").write_bytes(b"no database" * 100)
    levels = dict(diagnose(root=root))
    assert levels["MLflow store"].level == "problem"
    assert "cannot be used" in levels["MLflow store"].text


def test_unfinished_work(root):
    (root / ".cache/trainings/abc123").mkdir(parents=True)
    (root / ".cache/trainings/abc123/checkpoint.pt").write_bytes(b"x")
    found = finding(root, "unfinished")
    assert found.level == "warning"
    assert "1 unfinished training(s)" in found.text
    assert "abc123" in found.text


@pytest.mark.parametrize("left", [".cache/frames/x.part", "data/videos/.new/a.mp4"])
def test_what_a_kill_left(root, left):
    (root / left).parent.mkdir(parents=True)
    (root / left).touch()
    found = finding(root, "unfinished")
    assert found.level == "warning"
    assert "left by a kill" in found.text


@pytest.mark.parametrize("parent", ["dvc", "sh"])
def test_stage_that_runs(root, parent):
    (root / "stages").mkdir()
    (root / "stages/train.py").write_text("print(flush=True)\nimport time; time.sleep(60)")
    starter = root / parent
    starter.write_text(
        "import subprocess, sys\nsubprocess.run([sys.executable, 'stages/train.py'], check=False)"
    )
    with subprocess.Popen(
        [sys.executable, str(starter)], stdout=subprocess.PIPE, cwd=root, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = finding(root, "processes")
        for child in doctor.psutil.Process(process.pid).children():
            child.kill()
    assert "stages/train.py (process " in found.text
    if parent == "dvc":
        assert found.level == "ok"
    else:
        assert found.level == "warning"
        assert "no dvc waits for" in found.text
    assert finding(root, "processes") == Finding("ok", "no stage is running")


def test_what_runs_next(root, dvc_says):
    dvc_says(json.dumps({"train": [], "check": [], "other.dvc": []}))
    assert finding(root, "next run").text.startswith("`dvc repro` runs check, train and what")
    dvc_says("", code=255, error="ERROR: Unable to acquire lock\nmore")
    assert finding(root, "next run") == Finding(
        "problem", "dvc status: ERROR: Unable to acquire lock"
    )
