"""What a run is called, and what it holds of a training."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from dae_aqa.options import flatten
from dae_aqa.params import load_params
from dae_aqa.tracking import NullTracker
from dae_aqa.tracking import record as run_record
from dae_aqa.training.history import COLUMNS


@pytest.fixture
def project(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose only commit holds the shipped params.yaml."""
    shutil.copy(repo_root / "params.yaml", tmp_path)
    for command in (
        ("init", "-q"),
        ("add", "params.yaml"),
        ("-c", "user.name=n", "-c", "user.email=e@example.org", "commit", "-qm", "first"),
    ):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changed(project: Path, **values: Any) -> dict[str, Any]:
    """Write other values into params.yaml; return all that a run of them is told."""
    content = yaml.safe_load((project / "params.yaml").read_text())
    for key, value in values.items():
        section, _, name = key.rpartition("__")
        (content[section] if section else content)[name] = value
    (project / "params.yaml").write_text(yaml.safe_dump(content))
    return flatten(load_params(project / "params.yaml").used)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "dae_mt simdive"),
        ({"lr": 0.001}, "dae_mt simdive lr=0.001"),
        ({"model": "dae", "lr": 0.001}, "dae simdive lr=0.001"),
        ({"train__dropout": 0.5, "seed": 3}, "dae_mt simdive seed=3 dropout=0.5"),
        (
            {"lr": 0.1, "seed": 3, "num_epochs": 2, "temporal_aug": 0, "train__bn": "frozen"},
            "dae_mt simdive lr=0.1 num_epochs=2 temporal_aug=0 +2",
        ),
    ],
)
def test_a_run_is_named_after_what_it_is(project, values, name):
    assert run_record._run_name(changed(project, **values), root=project) == name


def test_an_experiment_keeps_the_name_that_dvc_gave_it(project, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "tall-ruse")
    params = changed(project, model="dae", lr=0.001)
    assert run_record._run_name(params, root=project) == "tall-ruse model=dae lr=0.001"


def test_without_a_commit_or_with_other_keys_there_is_nothing_to_compare_with(project, tmp_path):
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("lr:", "learning_rate:"))
    commit = ("-c", "user.name=n", "-c", "user.email=e@example.org", "commit", "-qam", "older")
    subprocess.run(["git", "-C", str(project), *commit], check=True)
    (project / "params.yaml").write_text(text)
    params = flatten(load_params(project / "params.yaml").used)
    assert run_record._run_name(params, root=project) == "dae_mt simdive"
    shutil.rmtree(project / ".git")
    assert run_record._run_name(params, root=project) == "dae_mt simdive"


class Recorder(NullTracker):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.datasets: list[tuple[str, str, str]] = []
        self.metrics: list[tuple[int, dict[str, object]]] = []
        self.models: list[int] = []
        self.tags: dict[str, str] = {}

    def log_metrics(self, metrics, *, step):
        self.metrics.append((step, dict(metrics)))

    def log_dataset(self, *, name, digest, source):
        self.datasets.append((name, digest, source))

    def set_tags(self, tags):
        self.tags |= tags

    def log_model(self, *, model_path, step):
        self.models.append(step)


def test_the_result_holds_the_figures_of_the_chosen_epoch(tmp_path):
    history = pd.DataFrame(
        {name: [10.0 * row + column for row in range(3)] for column, name in enumerate(COLUMNS)}
    )
    history["epoch"] = [0.0, 1.0, 2.0]
    history["protocol"] = "honest"
    recorder = Recorder()
    run_record.log_result(
        recorder,
        history,
        best_epoch=1,
        chosen_by="rho",
        model_path=tmp_path / "model.pt",
        history_path=tmp_path / "training.csv",
    )
    best = {"epoch": 1.0, "mae": 13.0, "rl2_x100": 14.0, "nll": 15.0}
    best |= {"spearman": 16.0, "spearman_execution": 17.0}
    assert recorder.metrics == [(1, {f"val/best/{name}": value for name, value in best.items()})]
    assert recorder.models == [1]
    assert recorder.tags == {"epoch_choice": "rho"}


@pytest.fixture
def opened(project, monkeypatch) -> tuple[Recorder, dict[str, Any]]:
    """A run that keeps what it is told, and with what it was opened."""
    recorder, arguments = Recorder(), {}

    def start(**given: Any) -> Recorder:
        arguments.update(given)
        return recorder

    monkeypatch.setattr(run_record, "start_training_run", start)
    return recorder, arguments


def test_a_run_says_what_it_was_trained_on(project, opened):
    recorder, arguments = opened
    outs = {
        "download": {"data/videos": "v.dir", "data/annotations.csv": "a"},
        "extract_frames": {"data/frames": "f.dir", "data/notes.csv": "n"},
        "make_splits": {"data/splits.csv": "s"},
    }
    stages = {
        name: {"outs": [{"path": path, "hash": "md5", "md5": md5} for path, md5 in found.items()]}
        for name, found in outs.items()
    }
    (project / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    params = changed(project)
    assert run_record.open_run(params, resume_key="k") is recorder
    assert recorder.datasets == [
        ("annotations", "a", "data/annotations.csv"),
        ("frames", "f.dir", "data/frames"),
        ("splits", "s", "data/splits.csv"),
    ]
    assert arguments["params"] == params
    assert arguments["resume_key"] == "k"
    assert arguments["experiment"] == params["train.experiment"]
    assert arguments["tags"] == {"dataset": "simdive", "model": "dae_mt", "backbone": "small3d"}


def test_an_imported_model_is_told_apart_and_needs_no_lock_file(project, opened):
    recorder, arguments = opened
    run_record.open_run(
        changed(project, backbone="i3d", evaluate__checkpoint="dae.pth"), resume_key=None
    )
    assert arguments["tags"]["imported"] == "dae.pth"
    assert recorder.datasets == []


def test_without_tracking_nothing_is_opened(project, opened):
    run = run_record.open_run(changed(project, train__tracking=False), resume_key="k")
    assert type(run) is NullTracker
    assert opened[1] == {}
