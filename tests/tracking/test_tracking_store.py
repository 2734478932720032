from __future__ import annotations

import os
import re
import sqlite3
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import tracking_workers
from mlflow import MlflowClient

from dae_aqa.errors import TrackingError
from dae_aqa.tracking import find_run_by_model, log_evaluation, start_training_run, store_uri
from dae_aqa.tracking.store import experiment_id, open_store

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
    with sqlite3.connect(folder / "mlflow.new") as half:
        half.execute("CREATE TABLE experiments (n INTEGER)")
    (folder / "mlflow.db").touch()  # what SQLite leaves when a process only looked
    store = open_store(root=tmp_path)
    assert [found.name for found in store.client.search_experiments()] == ["Default"]
    assert not (folder / "mlflow.new").exists()


def test_deleted_experiment_comes_back(root):
    store = open_store(root=root)
    first = experiment_id(store, name="e")
    store.client.delete_experiment(first)
    assert experiment_id(store, name="e") == first
    assert store.client.get_experiment(first).lifecycle_stage == "active"


def _start(root: Path) -> None:
    start_training_run(root=root, experiment="e", resume_key="k", params={}, tags={})


def test_unreachable_server_is_named_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(TrackingError, match=r"http://127\.0\.0\.1:9 .*no server.*train\.tracking"):
        _start(tmp_path)
    assert time.monotonic() - started < 5
    with pytest.raises(TrackingError) as raised:
        find_run_by_model(root=tmp_path, experiment="e", model_sha256="0" * 64)
    assert "secret" not in str(raised.value)


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / ".mlflow").write_text("a file where the folder should be")
    with pytest.raises(TrackingError, match=re.escape(f"{tmp_path}/.mlflow/mlflow.db cannot")):
        _start(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path):
    (tmp_path / ".mlflow").mkdir(mode=0o555)
    with pytest.raises(TrackingError, match="Permission denied"):
        _start(tmp_path)


def test_file_that_is_no_database(tmp_path):
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "mlflow.db").write_text("annotations, by mistake" * 100)
    with pytest.raises(TrackingError, match="file is not a database"):
        _start(tmp_path)


def test_evaluation_outlives_an_unreachable_store(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    added = log_evaluation(
        root=tmp_path, experiment="e", model_sha256="0" * 64, metrics={"rho": 0.5}, artifacts=[]
    )
    assert not added
    assert "reports only" in caplog.text
    assert "127.0.0.1:9" in caplog.text
