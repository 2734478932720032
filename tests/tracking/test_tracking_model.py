from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import mlflow.pyfunc
import pandas as pd
import pytest
import tiny_model
from mlflow import MlflowClient

from dae_aqa.errors import TrackingError
from dae_aqa.files.hashing import file_sha256
from dae_aqa.tracking import log_evaluation, start_training_run
from dae_aqa.tracking.evaluation import fetch_evaluation
from dae_aqa.tracking.identity import MODEL_TAG, PARENT_TAG

HERE = Path(__file__).parent
# A process that reports each address it connects to, then runs the script that follows.
_LISTENER = """
import runpy, sys
def listen(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"):
        print("network:", event, args[-1] if event == "socket.connect" else args[0], flush=True)
sys.addaudithook(listen)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(autouse=True)
def _tiny_model(monkeypatch):
    monkeypatch.setattr("dae_aqa.tracking.model._LOADER_MODULE", "tiny_model")


def _run_alone(script: str, *arguments: str) -> str:
    """Run a script in a fresh interpreter whose surroundings do not say that this is a test."""
    telling = ("PYTEST", "MLFLOW", "CI", "GITHUB", "DO_NOT_TRACK", "BUILD", "JENKINS", "RUNBOT")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(telling)}
    done = subprocess.run(
        [sys.executable, "-c", _LISTENER, str(HERE / script), *arguments],
        env=environment | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def _log(root: Path, *, weight: float) -> Path:
    path = tiny_model.save(root / "models" / f"{weight}" / "model.pt", weight=weight)
    with start_training_run(
        root=root, experiment="e", resume_key=None, run_name="r", params={"weight": weight}, tags={}
    ) as tracker:
        tracker.log_metrics({"val_spearman": 0.7}, step=2)
        tracker.log_model(model_path=path, step=2)
    return path


def test_logged_in_silence_without_network_and_loaded_in_another_process(
    root, runs_of, monkeypatch
):
    assert _run_alone("train_alone.py", str(root)) == ""
    (run,) = runs_of(root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/.mlflow/mlflow.db")
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    scored = model.predict(pd.DataFrame({"video": [b"abc", b"abcde"]}))
    assert scored["mu"].tolist() == [6.0, 10.0]
    signature = model.metadata.signature
    assert signature.inputs.input_names() == [
        *("video", "path", "start_seconds", "end_seconds", "difficulty", "action_class"),
    ]
    assert not any(column.required for column in signature.inputs.inputs)
    assert signature.outputs.input_names()[:2] == ["mu", "sigma"]


def test_model_is_stored_once_and_unpickled_nowhere(root, runs_of):
    path = _log(root, weight=2.0)
    (run,) = runs_of(root)
    client = MlflowClient(f"sqlite:///{root}/.mlflow/mlflow.db")
    (logged,) = client.search_logged_models([run.info.experiment_id])
    assert logged.source_run_id == run.info.run_id
    assert str(logged.status) == "READY"
    assert [(out.model_id, out.step) for out in run.outputs.model_outputs] == [(logged.model_id, 2)]
    folder = root / ".mlflow" / "artifacts" / "models" / logged.model_id / "artifacts"
    assert (folder / "data" / "model.pt").read_bytes() == path.read_bytes()
    assert not list(folder.rglob("*.pkl"))
    assert not list(folder.glob("*input_example*"))
    required = (folder / "requirements.txt").read_text().split()
    assert [line.partition("==")[0] for line in required] == ["mlflow", "numpy", "pandas", "torch"]


def test_evaluation_joins_the_run_of_its_model(root, runs_of):
    first, second = _log(root, weight=1.0), _log(root, weight=2.0)
    report = root / "predictions.csv"
    report.write_text("sample_id,mu\n")
    metrics = {
        "spearman": 0.8,
        "spearman_ci95": [0.7, 0.90001],
        "spearman_ci95_low": 0.7,
        "spearman_ci95_high": 0.90001,
        "rl2_x100": 0.4,
        "rl2_score_min": 3.0,
        "nll": None,
        "nll_reason": "text",
        "nll_constant_sigma": 3.5,
        "crps": 2.5,
        "baseline_splash": 0.7,
        "num_test": 105,
    }
    for _ in range(2):  # the same evaluation again changes nothing
        assert log_evaluation(
            root=root,
            experiment="e",
            model_sha256=file_sha256(first),
            metrics=metrics,
            artifacts=[report],
        )
    one, two = runs_of(root)
    assert one.data.tags[MODEL_TAG] == file_sha256(first)
    assert two.data.tags[MODEL_TAG] == file_sha256(second)
    assert one.data.metrics == {
        "val_spearman": 0.7,
        "test/spearman": 0.8,
        "test/rl2_x100": 0.4,
        "test_crps": 2.5,
    }
    assert one.data.tags["test.spearman_ci95"] == "0.700 to 0.900"
    assert one.data.tags["test.num_samples"] == "105"
    assert two.data.metrics == {"val_spearman": 0.7}
    assert one.info.status == "FINISHED"
    client = MlflowClient(f"sqlite:///{root}/.mlflow/mlflow.db")
    assert [f.path for f in client.list_artifacts(one.info.run_id, "evaluation")] == [
        "evaluation/predictions.csv",
        "evaluation/predictions.json",
    ]
    assert len(client.get_metric_history(one.info.run_id, "test/spearman")) == 1

    log_evaluation(
        root=root,
        experiment="e",
        model_sha256=file_sha256(first),
        metrics={"spearman": 0.75},
        artifacts=[],
    )
    assert runs_of(root)[0].data.metrics["test/spearman"] == 0.75
    history = client.get_metric_history(one.info.run_id, "test/spearman")
    assert [(point.step, point.value) for point in history] == [(0, 0.8), (1, 0.75)]


def test_model_trained_again_to_the_same_bytes_is_its_latest_run(root, runs_of):
    path = _log(root, weight=1.0)
    _log(root, weight=1.0)
    arguments = {"model_sha256": file_sha256(path), "metrics": {"mae": 2.0}, "artifacts": []}
    assert log_evaluation(root=root, experiment="e", **arguments)
    earlier, latest = runs_of(root)
    assert "test/mae" not in earlier.data.metrics
    assert latest.data.metrics["test/mae"] == 2.0


def test_the_evaluation_of_a_run_is_fetched_by_its_id(root, runs_of, tmp_path_factory):
    evaluated, _ = _log(root, weight=1.0), _log(root, weight=2.0)
    artifacts = [root / "predictions.csv", root / "metrics.json"]
    for path in artifacts:
        path.write_text(path.name)
    log_evaluation(
        root=root,
        experiment="e",
        model_sha256=file_sha256(evaluated),
        metrics={},
        artifacts=artifacts,
    )
    one, two = (run.info.run_id for run in runs_of(root))
    folder = tmp_path_factory.mktemp("fetched")
    assert fetch_evaluation(one, folder, root=root)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        path.name: path.name for path in artifacts
    }
    message = rf"run {two}: no predictions.csv and no metrics.json .* run `dvc repro evaluate`"
    with pytest.raises(TrackingError, match=message):
        fetch_evaluation(two, folder, root=root)
    MlflowClient(f"sqlite:///{root}/.mlflow/mlflow.db").set_tag(two, PARENT_TAG, one)
    with pytest.raises(TrackingError, match=f"all parts lies in the run {one}"):
        fetch_evaluation(two, folder, root=root)
    assert not fetch_evaluation("0" * 32, folder, root=root)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert not fetch_evaluation(one, folder, root=elsewhere)
    assert list(elsewhere.iterdir()) == []


def test_predictions_are_a_table_that_the_next_evaluation_replaces(root, runs_of):
    path = _log(root, weight=1.0)
    report = root / "predictions.csv"
    rows = {"sample_id": ["a1", "a2"], "mu": [83.1236728, 0.00123456789], "protocol": "honest"}
    table = pd.DataFrame(rows)
    for number in (0.0, 1.0):
        table["mu"] += number
        table.to_csv(report, index=False)
        log_evaluation(
            root=root,
            experiment="e",
            model_sha256=file_sha256(path),
            metrics={},
            artifacts=[report],
        )
    (run,) = runs_of(root)
    client = MlflowClient(f"sqlite:///{root}/.mlflow/mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{root}/.mlflow/mlflow.db")
    try:
        loaded = client.load_table(run.info.experiment_id, "evaluation/predictions.json")
    finally:
        mlflow.set_tracking_uri(None)
    pd.testing.assert_frame_equal(loaded, table)
    # what `log_table` itself leaves, so that the UI knows the table
    client.log_table(run.info.run_id, table, "own.json")
    listed = json.loads(client.get_run(run.info.run_id).data.tags["mlflow.loggedArtifacts"])
    assert listed == [
        {"path": "evaluation/predictions.json", "type": "table"},
        {"path": "own.json", "type": "table"},
    ]
    folder = Path(client.download_artifacts(run.info.run_id, ""))
    ours, theirs = (
        json.loads((folder / name).read_text())
        for name in ("evaluation/predictions.json", "own.json")
    )
    assert ours.keys() == theirs.keys()
    assert ours["columns"] == theirs["columns"]


def test_looking_for_a_run_builds_no_store(tmp_path):
    arguments = {"model_sha256": "0" * 64, "metrics": {}, "artifacts": []}
    assert not log_evaluation(root=tmp_path, experiment="e", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_model_restored_from_a_cache_has_no_run(root, caplog, runs_of):
    arguments = {"model_sha256": "0" * 64, "metrics": {"spearman": 0.8}, "artifacts": []}
    with caplog.at_level("INFO"):
        assert not log_evaluation(root=root, experiment="e", **arguments)
    assert "No MLflow run trained this model" in caplog.text
    _log(root, weight=1.0)
    assert not log_evaluation(root=root, experiment="e", **arguments)
    assert not log_evaluation(root=root, experiment="another", **arguments)
    (run,) = runs_of(root)
    assert run.data.metrics == {"val_spearman": 0.7}
