from __future__ import annotations

import json
import re
import subprocess
import time

import numpy as np
import pytest
import tracking_workers
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from dae_aqa.tracking import NullTracker, Tracker, start_training_run


def _train(processes, root, first, last, ending):
    worker = processes.Process(
        target=tracking_workers.train, args=(root, first, last, ending), daemon=True
    )
    worker.start()
    return worker


def _points(root, run):
    client = MlflowClient(f"sqlite:///{root}/.mlflow/mlflow.db")
    history = client.get_metric_history(run.info.run_id, "loss")
    return sorted((point.step, point.value) for point in history)


def test_killed_training_continues_its_run_without_doubled_points(root, processes, runs_of):
    killed = _train(processes, root, 0, 4, "kill")
    killed.join(300)
    assert killed.exitcode == -9
    (run,) = runs_of(root)
    assert run.info.status == "RUNNING"

    # the last checkpoint was that of epoch 1: epochs 2 and 3 are trained again
    resumed = _train(processes, root, 2, 6, "finish")
    resumed.join(300)
    assert resumed.exitcode == 0
    (again,) = runs_of(root)
    assert again.info.run_id == run.info.run_id
    assert again.info.status == "FINISHED"
    assert _points(root, again) == [(epoch, epoch / 4) for epoch in range(6)]

    # trained once more from the start, on purpose: that is another run
    repeated = _train(processes, root, 0, 2, "finish")
    repeated.join(300)
    assert len(runs_of(root)) == 2


def test_live_run_is_not_taken_over(root, processes, runs_of):
    holder = _train(processes, root, 0, 2, "hold")
    deadline = time.monotonic() + 300
    while not (root / "holding").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    other = _train(processes, root, 0, 3, "finish")
    other.join(300)
    holder.kill()
    holder.join(300)
    held, finished = runs_of(root)
    assert (held.info.status, finished.info.status) == ("RUNNING", "FINISHED")
    assert _points(root, held) == [(0, 0.0), (1, 0.25)]


def test_killed_run_is_marked_by_the_next_one_and_continued_all_the_same(root, processes, runs_of):
    killed = _train(processes, root, 0, 2, "kill")
    killed.join(300)
    (run,) = runs_of(root)
    assert run.info.status == "RUNNING"
    with start_training_run(root=root, experiment="e", resume_key="x", params={}, tags={}):
        marked, _ = runs_of(root)
    client = MlflowClient(f"sqlite:///{root}/.mlflow/mlflow.db")
    last = client.get_metric_history(run.info.run_id, "loss")[-1].timestamp
    assert (marked.info.status, marked.info.end_time) == ("KILLED", last)
    assert "ended without a word" in marked.data.tags["dae_aqa.error"]

    resumed = _train(processes, root, 1, 3, "finish")
    resumed.join(300)
    continued = client.get_run(run.info.run_id)
    assert continued.info.status == "FINISHED"
    assert "dae_aqa.error" not in continued.data.tags
    assert len(runs_of(root)) == 2


def test_run_of_another_machine_is_left_alone(root, runs_of):
    client = MlflowClient(f"sqlite:///{root}/.mlflow/mlflow.db")
    tags = {"dae_aqa.lock": f"elsewhere:{root}/free.lock"}
    client.create_run("0", tags=tags)
    client.create_run("0")
    with start_training_run(root=root, experiment="e", resume_key="x", params={}, tags={}):
        pass
    assert [run.info.status for run in runs_of(root)] == ["RUNNING", "RUNNING", "FINISHED"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("the loss is not finite"), "FAILED"),
        (SystemExit(1), "FAILED"),
        (SystemExit(0), "FINISHED"),
        (KeyboardInterrupt(), "KILLED"),
    ],
)
def test_run_ends_as_the_training_did(root, runs_of, error, status):
    tracker = start_training_run(
        root=root, experiment="e", resume_key="k", run_name="r", params={}, tags={}
    )
    with pytest.raises(type(error), match=f"^{re.escape(str(error))}$"), tracker:
        raise error
    (run,) = runs_of(root)
    assert run.info.status == status
    assert run.data.tags["dae_aqa.error"] == f"{type(error).__name__}: {error}"


def test_failed_training_continues_its_run(root, runs_of):
    def start():
        return start_training_run(
            root=root, experiment="e", resume_key="k", run_name="r", params={}, tags={}
        )

    with pytest.raises(ValueError, match="once"), start():
        raise ValueError("once")
    with start():
        pass
    (run,) = runs_of(root)
    assert run.info.status == "FINISHED"
    assert "dae_aqa.error" not in run.data.tags


def test_run_holds_what_was_trained(root, runs_of, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "tall-ruse")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0123456789")
    subprocess.run(["git", "init", "-q", root], check=True)
    for name in ("params.yaml", "train.py"):
        (root / name).write_text("1")
    git = ["git", "-C", str(root), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run([*git, "add", "--all", ":!.mlflow"], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    (root / "params.yaml").write_text("2")  # what `dvc exp run -S` does

    params = {
        "lr": 3e-4,
        "model": "dae_mt",
        "train": {"clips": {"starts": [0, 10]}, "weights": None},
        "many": {f"key{n}": n for n in range(150)},
        "long": "x" * 9000,
    }
    with start_training_run(
        root=root,
        experiment="e",
        resume_key=None,
        run_name="r",
        params=params,
        tags={"dataset": "simdive"},
    ) as tracker:
        tracker.log_dataset(name="frames", digest=f"{'0' * 32}.dir", source="data/frames")
        tracker.log_metrics(
            {"a": np.float32(0.5), "b": np.int64(3), "undefined": None, "reason": "constant"},
            step=7,
        )
        tracker.log_params({"lr": 3e-4, "added": True})
    (run,) = runs_of(root)
    assert run.info.run_name == "r"
    assert run.data.params["lr"] == "0.0003"
    assert run.data.params["model"] == "dae_mt"
    assert json.loads(run.data.params["train.clips.starts"]) == [0, 10]
    assert run.data.params["train.weights"] == "null"
    assert run.data.params["many.key149"] == "149"
    assert run.data.params["added"] == "true"
    assert set(run.data.params["long"]) == {"x"}
    assert run.data.metrics == {"a": 0.5, "b": 3.0}
    assert run.data.tags["dataset"] == "simdive"
    assert run.data.tags["dvc.exp_name"] == "tall-ruse"
    assert run.data.tags["dvc.exp_baseline_rev"] == "0123456789"
    assert run.data.tags["mlflow.source.git.commit"] == head.stdout.strip()
    assert run.data.tags["git.dirty"] == "false"
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.digest == f"{'0' * 32}.dir"
    assert dataset.dataset.source == "data/frames"


def test_dirty_code_is_marked(root, runs_of):
    subprocess.run(["git", "init", "-q", root], check=True)
    git = ["git", "-C", str(root), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    (root / "train.py").write_text("1")
    subprocess.run([*git, "add", "--all", ":!.mlflow"], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    (root / "train.py").write_text("2")
    with start_training_run(
        root=root, experiment="e", resume_key=None, run_name="r", params={}, tags={}
    ):
        pass
    (run,) = runs_of(root)
    assert run.data.tags["git.dirty"] == "true"


def test_system_metrics_are_recorded_and_come_after_the_first_figure(root, runs_of, monkeypatch):
    monkeypatch.setattr("dae_aqa.tracking.mlflow_run._SYSTEM_INTERVAL_SECONDS", 0.2)
    with start_training_run(
        root=root, experiment="e", resume_key=None, run_name="r", params={}, tags={}
    ) as tracker:
        tracker.log_metrics({"val/spearman": 0.1, "train/loss": 0.2}, step=0)
        time.sleep(1.0)
    (run,) = runs_of(root)
    # MLflow's compare page opens on the metric that comes first
    assert next(iter(run.data.metrics)) == "val/spearman"
    assert 0 <= run.data.metrics["system/cpu_utilization_percentage"] <= 100
    assert run.data.metrics["system/system_memory_usage_megabytes"] > 0


def test_fault_of_the_store_does_not_end_the_training(root, runs_of, monkeypatch, caplog):
    monkeypatch.setattr("dae_aqa.tracking.store._RETRY_SECONDS", (0.0,))
    with start_training_run(
        root=root, experiment="e", resume_key=None, run_name="r", params={}, tags={}
    ) as tracker:
        with monkeypatch.context() as broken:

            def fail(*_arguments: object, **_options: object) -> None:
                raise MlflowException("database is locked")

            broken.setattr(MlflowClient, "log_batch", fail)
            tracker.log_metrics({"loss": 1.0}, step=0)
        assert "training goes on, but its MLflow run lacks metrics" in caplog.text
        assert "database is locked" in caplog.text
        tracker.log_metrics({"loss": 2.0}, step=1)
    (run,) = runs_of(root)
    assert _points(root, run) == [(0, 1.0), (1, 2.0)]


def test_null_tracker_takes_all_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with NullTracker() as tracker:
        assert isinstance(tracker, Tracker)
        tracker.log_params({"lr": 1})
        tracker.log_metrics({"loss": 1.0}, step=0)
        tracker.log_artifact(tmp_path / "absent", artifact_dir="")
    assert list(tmp_path.iterdir()) == []
