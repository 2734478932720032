"""What is asked of DVC and Git, and how the workspace comes back after a kill."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dvc.utils.hydra import to_hydra_overrides

from dae_aqa.cli.experiments import (
    count_workers,
    finished_experiments,
    guarded_workspace,
    parse_queue_status,
    restore_workspace,
    set_text,
    untracked,
)

STATUS = """\
Task     Name                   Created    Status
2b36584  table-dae-s0-1a2b3c4d  08:37 PM   Running
dd69e18  table-mlp-s0-1a2b3c4d  08:40 PM   Queued
45f984b  table-mlp-s0-1a2b3c4d  08:35 PM   Failed
8eb65eb  tall-ruse              Nov 30, 2026  Success

Worker status: 1 active, 2 idle
"""


def test_queue_status_is_read_as_dvc_prints_it():
    queue = parse_queue_status(STATUS)
    assert queue.states == {
        "table-dae-s0-1a2b3c4d": "Running",
        "table-mlp-s0-1a2b3c4d": "Queued",
        "tall-ruse": "Success",
    }
    assert queue.tasks["table-mlp-s0-1a2b3c4d"] == "dd69e18"


def test_an_empty_queue_has_no_tasks():
    queue = parse_queue_status(
        "No experiment tasks in the queue.\n\nWorker status: 0 active, 0 idle"
    )
    assert queue.states == {}


def test_workers_are_counted_by_the_system(tmp_path):
    """DVC's own count is 0 where the machine is too busy for its workers to answer."""
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)", "exp", "queue-worker", "w-1"]
    (tmp_path / "other").mkdir()
    assert count_workers(root=tmp_path) == 0
    workers = [subprocess.Popen(sleeping, cwd=tmp_path) for _ in range(2)]
    workers.append(subprocess.Popen(sleeping, cwd=tmp_path / "other"))
    try:
        assert count_workers(root=tmp_path) == 2
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert count_workers(root=tmp_path) == 0


@pytest.mark.parametrize(
    "value",
    [
        *(1, -2, 0.002, 1e-05, True, False, None, "dae_mt", "weights/a.pth", "true", "null", "1e3"),
        *([0, 10], [], ["a b", "c"], "a, b", "it's", "a\\", "bestvideo[vcodec^=avc1]/best", "x=y"),
    ],
)
def test_values_reach_dvc_as_they_are(value):
    """Hydra's own parser, which DVC reads `-S` with, is the oracle."""
    (override,) = to_hydra_overrides([f"key={set_text(value)}"])
    assert override.value() == value
    assert type(override.value()) is type(value)


@pytest.fixture
def repository(tmp_path: Path):
    root = tmp_path / "repository"
    root.mkdir()

    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org", *arguments]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    git("init", "--quiet", "--initial-branch", "main")
    for key, value in (("user.name", "Test"), ("user.email", "test@example.org")):
        git("config", key, value)
    for name in ("params.yaml", "code.py"):
        (root / name).write_text("committed\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "Start")
    return root, git


class KilledError(Exception):
    """Stands for a kill: nothing after it is run."""


@pytest.mark.parametrize("moment", ["changes are stashed", "head is detached", "params are set"])
def test_a_kill_while_dvc_holds_the_workspace_loses_nothing(repository, tmp_path, moment):
    root, git = repository
    (root / "code.py").write_text("my change\n")
    note, said = tmp_path / "note.json", []

    def kill_dvc_midway() -> None:
        git("stash", "push", "--quiet")
        if moment != "changes are stashed":
            git("checkout", "--quiet", "--detach")
        if moment == "params are set":
            (root / "params.yaml").write_text("of an experiment\n")
        raise KilledError("killed")

    with pytest.raises(KilledError, match="killed"), guarded_workspace(note, root=root):
        kill_dvc_midway()
    restore_workspace(note, root=root, say=said.append)
    assert (root / "code.py").read_text() == "my change\n"
    assert (root / "params.yaml").read_text() == "committed\n"
    assert git("symbolic-ref", "HEAD") == "refs/heads/main"
    assert len(said) == 1
    assert not note.exists()


def test_a_kill_that_left_the_workspace_alone_changes_nothing_in_it(repository, tmp_path):
    root, git = repository
    note = tmp_path / "note.json"
    (root / "code.py").write_text("my change\n")
    with pytest.raises(KilledError, match="killed"), guarded_workspace(note, root=root):
        raise KilledError("killed")
    (root / "code.py").write_text("a later change\n")
    restore_workspace(note, root=root, say=pytest.fail)
    assert (root / "code.py").read_text() == "a later change\n"
    assert git("stash", "list") == ""


def test_no_note_is_left_where_all_went_well(repository, tmp_path):
    root, _ = repository
    note = tmp_path / "note.json"
    with guarded_workspace(note, root=root):
        assert note.is_file()
    assert not note.exists()


def test_finished_experiments_are_refs_of_git(repository):
    root, git = repository
    commit = git("rev-parse", "HEAD")
    git("update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/table-a-s0-12345678", commit)
    git("update-ref", "refs/exps/exec/EXEC_BASELINE", commit)
    assert finished_experiments(root=root) == {"table-a-s0-12345678": commit}


def test_new_code_that_git_does_not_know_is_found(repository):
    root, git = repository
    (root / "src").mkdir()
    (root / "src/new.py").write_text("")
    assert untracked(["src", "stages"], root=root) == ["src/new.py"]
    git("add", "src")
    assert untracked(["src", "stages"], root=root) == []
