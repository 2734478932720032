"""How long a training and its evaluation took, from the store."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient

from dae_aqa.tracking import log_evaluation
from dae_aqa.tracking.identity import MODEL_TAG, PARENT_TAG
from dae_aqa.tracking.metric_names import epoch_metrics
from dae_aqa.tracking.seconds import Seconds, seconds_of


@pytest.fixture
def record(root):
    """Return what records a run with the seconds of its epochs, and returns the run's id."""
    client = MlflowClient(f"sqlite:///{root}/.mlflow/mlflow.db")
    experiment = client.create_experiment("e")

    def one(model: str, *epochs: float, **tags: str) -> str:
        run = client.create_run(experiment, tags={MODEL_TAG: model} | tags)
        for step, seconds in enumerate(epochs):
            for key, value in epoch_metrics({"epoch_seconds": seconds}).items():
                client.log_metric(run.info.run_id, key, value, step=step)
        return str(run.info.run_id)

    return one


def evaluate(root, model: str, *, seconds: float, of_parent: bool = False) -> None:
    added = log_evaluation(
        root=root,
        experiment="e",
        model_sha256=model,
        metrics={"score_seconds": seconds},
        artifacts=[],
        of_parent=of_parent,
    )
    assert added


def test_epochs_are_added_up_and_the_scoring_is_the_latest(root, record):
    record("a", 2.0, 3.0, 4.5)
    record("b", 100.0)
    evaluate(root, "a", seconds=1.5)
    evaluate(root, "a", seconds=1.25)
    assert seconds_of(["a"], root=root, experiment="e") == Seconds(train=9.5, score=1.25)


def test_a_restored_model_takes_its_seconds_from_the_run_that_trained_it(root, record):
    record("a", 2.0, 3.0)
    record("a", restored="true")
    assert seconds_of(["a"], root=root, experiment="e").train == 5.0
    record("never trained here", restored="true")
    assert seconds_of(["never trained here"], root=root, experiment="e") == Seconds()


def test_parts_are_added_up_and_scored_together(root, record):
    parent = record("of all")
    record("part one", 2.0, 2.0, **{PARENT_TAG: parent})
    record("part two", 3.0, **{PARENT_TAG: parent})
    evaluate(root, "part one", seconds=0.5, of_parent=True)
    parts = ["part one", "part two"]
    assert seconds_of(parts, root=root, experiment="e") == Seconds(train=7.0, score=0.5)
    assert seconds_of([*parts, "another"], root=root, experiment="e").train is None


def test_nothing_is_known_without_a_store_or_an_experiment(root, tmp_path):
    assert seconds_of(["a"], root=tmp_path / "empty", experiment="e") == Seconds()
    assert seconds_of(["a"], root=root, experiment="another") == Seconds()
