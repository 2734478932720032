from __future__ import annotations

import errno
import os
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import tracking_workers
from mlflow import MlflowClient
from tests.half_written import half_written

from dae_aqa.errors import TrackingError
from dae_aqa.tracking import log_evaluation, start_training_run, store_uri
from dae_aqa.tracking.store import (
    chart_addresses,
    experiment_id,
    explained,
    open_existing_store,
    open_store,
)

NUM_WORKERS = 4


def test_store_lies_at_the_real_root(tmp_path, monkeypatch):
    copy = tmp_path / "repo" / ".dvc" / "tmp" / "exps" / "tmpabc"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert store_uri(root=copy) == f"sqlite:///{copy}/.mlflow/mlflow.db"
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "repo"))
    assert store_uri(root=copy) == f"sqlite:///{tmp_path}/repo/.mlflow/mlflow.db"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("sqlite:///runs/all.db", "sqlite:///{root}/runs/all.db"),
        ("sqlite:////srv/team/all.db", "sqlite:////srv/team/all.db"),
        ("http://tracking.example:5000", "http://tracking.example:5000"),
    ],
)
def test_environment_names_another_store(tmp_path, monkeypatch, given, expected):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    monkeypatch.chdir("/")
    assert store_uri(root=Path("/")) == expected.format(root=tmp_path)


def test_crowd_on_stores_that_do_not_exist_yet(tmp_path, processes, runs_of):
    roots = [tmp_path / f"store {number} 100%" for number in range(2)]
    barrier = processes.Barrier(NUM_WORKERS)
    crowd = [
        processes.Process(target=tracking_workers.start_in_a_crowd, args=(n, roots, barrier))
        for n in range(NUM_WORKERS)
    ]
    for worker in crowd:
        worker.start()
    for worker in crowd:
        worker.join(timeout=300)
    assert [worker.exitcode for worker in crowd] == [0] * NUM_WORKERS

    for root in roots:
        client = MlflowClient(f"sqlite:///{root}/.mlflow/mlflow.db")
        artifacts = root / ".mlflow" / "artifacts"
        location = client.get_experiment_by_name("crowd").artifact_location
        assert location == artifacts.as_uri()
        runs = runs_of(root)
        assert sorted(run.data.params["n"] for run in runs) == ["0", "1", "2", "3"]
        for run in runs:
            assert run.info.status == "FINISHED"
            history = client.get_metric_history(run.info.run_id, "loss")
            offset = int(run.data.params["n"]) / 10
            assert sorted((point.step, point.value) for point in history) == [
                (epoch, epoch + offset) for epoch in range(tracking_workers.NUM_EPOCHS)
            ]
            note = artifacts / run.info.run_id / "artifacts" / "note.txt"
            assert note.read_text() == f"worker {run.data.params['n']}"
            assert urlsplit(run.info.artifact_uri).path.startswith("/")
        assert not list(root.rglob("mlruns"))
        assert {path.name for path in (root / ".mlflow").iterdir()} <= {
            *("mlflow.db", "artifacts", "init.lock", "locks")
        }


def test_half_built_store_of_a_killed_process_is_built_again(tmp_path):
    folder = tmp_path / ".mlflow"
    folder.mkdir()
    left = half_written(folder / "mlflow.db")
    left.unlink()
    with sqlite3.connect(left) as half:
        half.execute("CREATE TABLE experiments (n INTEGER)")
    (folder / "mlflow.db").touch()  # what SQLite leaves when a process only looked
    store = open_store(root=tmp_path)
    assert [found.name for found in store.client.search_experiments()] == ["Default"]
    assert not left.exists()


def test_deleted_experiment_comes_back(root):
    store = open_store(root=root)
    first = experiment_id(store, name="e")
    store.client.delete_experiment(first)
    assert experiment_id(store, name="e") == first
    assert store.client.get_experiment(first).lifecycle_stage == "active"


def _start(root: Path) -> None:
    start_training_run(root=root, experiment="e", resume_key="k", run_name="r", params={}, tags={})


def test_unreachable_server_is_named_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(TrackingError, match=r"http://127\.0\.0\.1:9 .*no server.*train\.tracking"):
        _start(tmp_path)
    assert time.monotonic() - started < 5
    with pytest.raises(TrackingError, match="no server answers") as raised:
        open_existing_store(root=tmp_path)
    assert "secret" not in str(raised.value)


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / ".mlflow").write_text("a file where the folder should be")
    with pytest.raises(TrackingError, match=re.escape(f"{tmp_path}/.mlflow/mlflow.db cannot")):
        _start(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path):
    (tmp_path / ".mlflow").mkdir(mode=0o555)
    with pytest.raises(TrackingError, match=r"Permission denied.*Make its folder writable"):
        _start(tmp_path)


def _write_text(path: Path) -> None:
    path.write_text("annotations, by mistake" * 100)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _scribble(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:2000] + b"\xa5" * (len(data) - 2000))


@pytest.mark.parametrize("damage", [_write_text, _cut, _scribble])
def test_damaged_store_is_called_damaged(root, damage):
    path = root / ".mlflow" / "mlflow.db"
    damage(path)
    with pytest.raises(TrackingError, match=r"damaged, or no SQLite database") as raised:
        _start(root)
    assert f"mv '{path}' '{path}.damaged'" in str(raised.value)
    assert "writable" not in str(raised.value)
    if damage is not _scribble:  # there, MLflow keeps its connection as long as the process lives
        path.rename(f"{path}.damaged")  # as told
        _start(root)


def test_locked_store_is_called_locked(root, monkeypatch):
    monkeypatch.setattr("dae_aqa.tracking.store._BUSY_TIMEOUT_SECONDS", 0.1)
    with closing(sqlite3.connect(root / ".mlflow" / "mlflow.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TrackingError, match=r"database is locked\. Wait until the process"):
            _start(root)


def test_store_of_another_mlflow_is_called_so(root):
    with closing(sqlite3.connect(root / ".mlflow" / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        database.commit()
    with pytest.raises(TrackingError, match=r"Another version of MLflow made it.*a newer one"):
        _start(root)


@pytest.mark.parametrize(
    ("reason", "step"),
    [
        (OSError(errno.EROFS, "Read-only file system"), "Make its folder writable"),
        (OSError(errno.ENOSPC, "No space left on device"), "Make room on its disk"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "Make its folder"),
        (sqlite3.OperationalError("database or disk is full"), "Make room on its disk"),
    ],
)
def test_faults_of_the_disk_have_their_next_step(reason, step):
    with pytest.raises(TrackingError, match=step), explained("sqlite:////srv/all.db"):
        raise reason


def test_experiment_opens_under_model_training_also_where_it_was_made_without_a_kind(root):
    client = MlflowClient(f"sqlite:///{root}/.mlflow/mlflow.db")
    plain = client.create_experiment("plain")
    chosen = client.create_experiment("chosen", tags={"mlflow.experimentKind": "forecasting"})
    store = open_store(root=root)
    assert experiment_id(store, name="plain") == plain
    assert experiment_id(store, name="chosen") == chosen
    kinds = [
        client.get_experiment(found).tags["mlflow.experimentKind"]
        for found in (plain, chosen, experiment_id(store, name="new"))
    ]
    assert kinds == ["custom_model_development", "forecasting", "custom_model_development"]


def test_evaluation_outlives_an_unreachable_store(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    added = log_evaluation(
        root=tmp_path, experiment="e", model_sha256="0" * 64, metrics={"rho": 0.5}, artifacts=[]
    )
    assert not added
    assert "reports only" in caplog.text
    assert "127.0.0.1:9" in caplog.text


def test_the_ui_is_opened_on_the_charts_of_model_training(root):
    store = open_store(root=root)
    ids = {name: experiment_id(store, name=name) for name in ("b", "a")}
    assert chart_addresses(store, server="http://127.0.0.1:5000") == {
        name: f"http://127.0.0.1:5000/#/experiments/{ids[name]}/runs"
        "?workflowType=machine_learning&compareRunsMode=CHART"
        for name in ("a", "b")
    }
