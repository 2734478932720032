"""What every stage shares: the real root, the cache, the log, the exit code, restored outputs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
import yaml

from dae_aqa.errors import OutputError
from dae_aqa.files.outputs import restore
from dae_aqa.running.places import cache_dir, check_outputs, project_root, user_path

CTRL_C = "signal.raise_signal(signal.SIGINT)"


@pytest.fixture
def in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    return root.resolve()


def run_stage_script(body: str, *, root: Path, **environment: str) -> subprocess.CompletedProcess:
    script = (
        "from dae_aqa.errors import VideoError\nfrom dae_aqa.running.runtime import run_stage\n"
    )
    script += "import logging\nlog = logging.getLogger('dae_aqa.frames')\n"
    script += textwrap.dedent(body) + "\nrun_stage('cut', main)\n"
    source = Path(__file__).resolve().parents[2] / "src"
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(source), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class FakeDvc:
    """A lock file and a cache, laid out as DVC 3 does."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.outs: list[dict[str, object]] = []

    def add_file(self, path: str, content: bytes) -> Path:
        self.outs.append({"path": path, "hash": "md5", "md5": self._store(content)})
        return self._write_lock()

    def add_folder(self, path: str, files: dict[str, bytes]) -> Path:
        entries = [
            {"md5": self._store(content), "relpath": name} for name, content in files.items()
        ]
        md5 = self._store(json.dumps(entries).encode(), suffix=".dir")
        self.outs.append({"path": path, "hash": "md5", "md5": md5})
        return self._write_lock()

    def add_unhashed(self, path: str) -> None:
        self.outs.append({"path": path})
        self._write_lock()

    def cached(self, content: bytes) -> Path:
        md5 = hashlib.md5(content).hexdigest()
        return self.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]

    def _store(self, content: bytes, suffix: str = "") -> str:
        path = self.cached(content)
        path = path.with_name(path.name + suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path.parent.name + path.name

    def _write_lock(self) -> Path:
        stages = {"cut": {"outs": self.outs}, "other": {"cmd": "true"}}
        path = Path("dvc.lock")
        path.write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
        return path


def test_root_is_where_the_command_runs(in_project):
    assert project_root() == in_project


def test_root_in_a_queued_experiment_is_the_real_one(in_project, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "real"))
    assert project_root() == (tmp_path / "real").resolve()


def test_a_users_path_starts_at_the_real_root(in_project, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert user_path("my_videos/a.csv") == in_project / "my_videos/a.csv"
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "real"))
    assert user_path("my_videos/a.csv") == (tmp_path / "real/my_videos/a.csv").resolve()
    assert user_path(str(tmp_path / "b.csv")) == tmp_path / "b.csv"
    assert user_path("~/c.csv") == tmp_path / "home/c.csv"


def test_cache_lies_in_the_real_root(in_project, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "real"))
    assert cache_dir("trainings") == (tmp_path / "real/.cache/trainings").resolve()
    assert cache_dir("trainings").is_dir()
    assert list(in_project.iterdir()) == []


def test_cache_may_be_elsewhere(in_project, tmp_path, monkeypatch):
    monkeypatch.setenv("DAE_AQA_CACHE", str(tmp_path / "big_disk"))
    assert cache_dir("frames") == (tmp_path / "big_disk/frames").resolve()
    assert (tmp_path / "big_disk/frames").is_dir()


def test_cache_that_cannot_be_made(in_project, monkeypatch):
    (in_project / "file").touch()
    monkeypatch.setenv("DAE_AQA_CACHE", str(in_project / "file"))
    with pytest.raises(OutputError, match=r"file/frames: cannot be made .*DAE_AQA_CACHE"):
        cache_dir("frames")


def test_log_that_cannot_be_written(in_project):
    (in_project / "logs").touch()
    failed = run_stage_script("def main(): print('worked')", root=in_project)
    assert failed.returncode == 1
    assert "logs/workspace/cut.log: the log cannot be written" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "worked" not in failed.stdout


def test_good_stage(in_project):
    done = run_stage_script("def main(): log.info('worked'); log.debug('detail')", root=in_project)
    assert done.returncode == 0
    assert "worked" in done.stderr
    assert "cut done in" in done.stderr
    assert "detail" not in done.stderr
    log = (in_project / "logs/workspace/cut.log").read_text()
    assert "INFO dae_aqa.frames: worked" in log
    assert "DEBUG dae_aqa.frames: detail" in log


def test_logs_are_appended_and_experiments_have_their_own(in_project):
    for _ in range(2):
        run_stage_script("def main(): log.info('worked')", root=in_project, DVC_EXP_NAME="odd-jay")
    log = (in_project / "logs/odd-jay/cut.log").read_text()
    assert log.count("worked") == 2
    assert not (in_project / "logs/workspace").exists()


def test_expected_error_is_a_message_without_traceback(in_project):
    failed = run_stage_script("def main(): raise VideoError('07.mp4: cut short')", root=in_project)
    assert failed.returncode == 1
    assert "cut failed.\n07.mp4: cut short" in failed.stderr
    assert "logs/workspace/cut.log" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "07.mp4: cut short" in (in_project / "logs/workspace/cut.log").read_text()


def test_unexpected_error_keeps_its_traceback(in_project):
    failed = run_stage_script("def main(): {}['key']", root=in_project)
    assert failed.returncode == 1
    assert "cut failed unexpectedly" in failed.stderr
    log = (in_project / "logs/workspace/cut.log").read_text()
    assert "Traceback" in log
    assert "KeyError: 'key'" in log


def test_ctrl_c(in_project):
    stopped = run_stage_script(f"import signal\ndef main(): {CTRL_C}", root=in_project)
    assert stopped.returncode == 130
    assert "cut interrupted (SIGINT); finished work is kept, run it again" in stopped.stderr
    assert "Traceback" not in stopped.stderr


@pytest.mark.parametrize(
    ("ending", "code"), [("raise VideoError('x')", 1), (CTRL_C, 130), ("raise OSError('x')", 1)]
)
def test_failed_stage_gets_its_last_results_back(in_project, ending, code):
    FakeDvc(in_project).add_file("data/table.csv", b"good")
    failed = run_stage_script(
        f"""
        import signal
        from pathlib import Path
        def main():
            Path('data').mkdir()
            Path('data/table.csv').write_text('half')
            {ending}
        """,
        root=in_project,
    )
    assert failed.returncode == code
    assert (in_project / "data/table.csv").read_bytes() == b"good"


def test_of_several_processes_the_first_alone_restores(in_project):
    FakeDvc(in_project).add_file("data/table.csv", b"good")
    body = "def main(): raise VideoError('07.mp4: cut short')"
    assert run_stage_script(body, root=in_project, RANK="1").returncode == 1
    assert not (in_project / "data").exists()
    assert run_stage_script(body, root=in_project, RANK="0").returncode == 1
    assert (in_project / "data/table.csv").read_bytes() == b"good"


def test_outputs_are_tried_before_the_work(in_project):
    check_outputs(Path("models/model.pt"), Path("reports/training.csv"))
    assert sorted(path.name for path in in_project.rglob("*")) == ["models", "reports"]
    Path("file").touch()
    with pytest.raises(OutputError, match=r"file: the results of this stage cannot be written"):
        check_outputs(Path("models/model.pt"), Path("file/model.pt"))


def test_folder_that_cannot_be_written_is_refused(in_project, monkeypatch):
    def read_only(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    with pytest.raises(OutputError, match=r"models: .* \(Read-only file system\)\. Make"):
        check_outputs(Path("models/model.pt"))


def test_terminal_that_is_gone_ends_no_stage(in_project):
    """Its output is a pipe that nobody reads; the log file has it all."""
    script = "def main():\n for _ in range(3): log.info('worked')"
    done = run_stage_script(
        f"import os, sys\nread, write = os.pipe()\nos.close(read)\nos.dup2(write, 2)\n{script}",
        root=in_project,
    )
    assert (in_project / "logs/workspace/cut.log").read_text().count("worked") == 3
    assert "cut done in" in (in_project / "logs/workspace/cut.log").read_text()
    assert done.returncode in (0, 120)  # 120: Python could not flush


def test_damaged_lock_does_not_hide_the_stages_error(in_project):
    (in_project / "dvc.lock").write_text("stages: [")
    failed = run_stage_script("def main(): raise VideoError('07.mp4: cut short')", root=in_project)
    assert failed.returncode == 1
    assert "cut failed.\n07.mp4: cut short" in failed.stderr
    assert "earlier outputs could not be put back" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_files_and_folders_are_restored(in_project):
    dvc = FakeDvc(in_project)
    dvc.add_file("data/table.csv", b"rows")
    dvc.add_folder("data/frames", {"a.zip": b"A", "sub/b.zip": b"B"})
    Path("data/frames").mkdir(parents=True)
    Path("data/frames/of_the_failed_run.zip").write_bytes(b"C")
    restore("cut", root=project_root())
    assert not Path("data/frames/of_the_failed_run.zip").exists()
    assert Path("data/table.csv").read_bytes() == b"rows"
    assert Path("data/frames/a.zip").read_bytes() == b"A"
    assert Path("data/frames/sub/b.zip").read_bytes() == b"B"


def test_other_stages_are_left_alone(in_project):
    FakeDvc(in_project).add_file("data/table.csv", b"rows")
    restore("other", root=project_root())
    restore("unheard-of", root=project_root())
    assert not Path("data").exists()


def test_nothing_to_restore(in_project):
    restore("cut", root=project_root())
    (in_project / "dvc.lock").write_text("")
    restore("cut", root=project_root())
    assert [path.name for path in in_project.iterdir()] == ["dvc.lock"]


def test_what_the_cache_lacks_is_left_as_it_is(in_project):
    dvc = FakeDvc(in_project)
    dvc.add_file("data/table.csv", b"rows")
    dvc.add_folder("data/frames", {"a.zip": b"A", "b.zip": b"B"})
    dvc.cached(b"rows").unlink()
    dvc.cached(b"A").unlink()
    Path("data").mkdir()
    Path("data/table.csv").write_text("new")
    restore("cut", root=project_root())
    assert Path("data/table.csv").read_text() == "new"
    assert [path.name for path in Path("data/frames").iterdir()] == ["b.zip"]


def test_output_without_a_hash_is_left_as_it_is(in_project):
    dvc = FakeDvc(in_project)
    dvc.add_file("data/table.csv", b"rows")
    dvc.add_unhashed("data/notes.csv")
    Path("data").mkdir()
    Path("data/notes.csv").write_text("notes")
    restore("cut", root=project_root())
    assert Path("data/notes.csv").read_text() == "notes"
    assert Path("data/table.csv").read_bytes() == b"rows"


def test_queued_experiment_restores_from_the_real_roots_cache(in_project, tmp_path, monkeypatch):
    FakeDvc(in_project).add_file("data/table.csv", b"rows")
    copy = tmp_path / "exp"
    copy.mkdir()
    shutil.copy("dvc.lock", copy)
    monkeypatch.setenv("DVC_ROOT", str(in_project))
    monkeypatch.chdir(copy)
    restore("cut", root=project_root())
    assert (copy / "data/table.csv").read_bytes() == b"rows"
    assert not (in_project / "data").exists()


def test_what_is_written_into_a_restored_file_never_reaches_the_cache(in_project):
    dvc = FakeDvc(in_project)
    dvc.add_file("data/table.csv", b"rows")
    cached = dvc.cached(b"rows")
    cached.chmod(0o444)  # as DVC keeps it
    restore("cut", root=project_root())
    with Path("data/table.csv").open("r+b") as file:
        file.write(b"X")
    assert cached.read_bytes() == b"rows"


def test_copy_that_cannot_be_restored_does_not_hide_the_stages_error(in_project):
    FakeDvc(in_project).add_file("data/table.csv", b"rows")
    failed = run_stage_script(
        """
        from pathlib import Path
        def main():
            Path('data').write_text('a file where the folder was')
            raise VideoError('07.mp4: cut short')
        """,
        root=in_project,
    )
    assert failed.returncode == 1
    assert "cut failed.\n07.mp4: cut short" in failed.stderr
    assert "earlier outputs could not be put back (" in failed.stderr
    assert "Traceback" not in failed.stderr
