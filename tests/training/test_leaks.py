"""Test samples that a model has seen before: told in the log, the run's tags and the report."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient
from tests.tiny_training import MakeParams, TinyData
from tests.training.test_tracked_training import run_evaluate, run_train

from dae_aqa.datasets import DATASETS
from dae_aqa.datasets.finediving.release import read_release as read_finediving
from dae_aqa.datasets.mtl_aqa.release import read_release as read_mtl_aqa
from dae_aqa.inference.trained_model import Seen, TrainedModel
from dae_aqa.training.leaks import leak_tags, seen_with

SHORT = {"num_epochs": 1, "evaluate.num_bootstrap": 100, "evaluate.num_worst": 1}


pytestmark = pytest.mark.usefixtures("project")


def with_tested(data: TinyData, *names: str) -> TinyData:
    """Return the data with these samples as test samples."""
    splits = data.splits.copy()
    splits.loc[splits["sample_id"].isin(names), "split"] = "test"
    return TinyData(data.annotations, splits, data.frames_dir)


def tags_of_runs(project: Path) -> list[dict[str, str]]:
    client = MlflowClient(f"sqlite:///{project}/.mlflow/mlflow.db")
    runs = client.search_runs([each.experiment_id for each in client.search_experiments()])
    return [run.data.tags for run in runs]


def test_a_model_remembers_what_it_has_seen(
    small_params: MakeParams, tiny_data: TinyData, project: Path
) -> None:
    of_shared = small_params(SHORT | {"dataset": "mtl_aqa"})
    run_train(of_shared, with_tested(tiny_data, "t0", "v0"), project)
    seen = TrainedModel.load(project / "models/model.pt").seen
    assert seen == Seen(performances_of="mtl_aqa", sample_ids=["t1", "t2", "t3", "v1", "v2"])
    run_train(small_params(SHORT), with_tested(tiny_data, "t0", "v0"), project)
    assert TrainedModel.load(project / "models/model.pt").seen is None, "simdive shares nothing"


@pytest.mark.slow
def test_a_leak_through_weights_is_told_everywhere(
    small_params: MakeParams, tiny_data: TinyData, project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_train(
        small_params(SHORT | {"dataset": "mtl_aqa"}), with_tested(tiny_data, "t0", "v0"), project
    )
    (project / "models/model.pt").rename(project / "mine.pt")
    changes = {"train.backbone_weights": "mine.pt", "train.tracking": True}
    fine = small_params(SHORT | changes | {"dataset": "finediving"})
    tested = with_tested(tiny_data, "t0", "t1")
    run_train(fine, tested, project)
    told = "1 of 2 test samples had a part in training train.backbone_weights (t1, …)"
    assert told in caplog.text
    assert [tags["leaked_test_samples"] for tags in tags_of_runs(project)] == ["1 of 2"]
    seen = TrainedModel.load(project / "models/model.pt").seen
    assert seen is not None
    assert seen.sample_ids == ["t1", "t2", "t3", "v0", "v1", "v2"], "the weights' own too"
    run_evaluate(fine, tiny_data, project)  # which tests t0 to t3
    page = (project / "reports/index.html").read_text()
    assert "3 test sample(s) had a part in training this model, or the weights" in page
    assert "say too much" in page


@pytest.mark.slow
def test_another_datasets_names_and_fresh_weights_are_no_leak(
    small_params: MakeParams, tiny_data: TinyData, project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_train(
        small_params(SHORT | {"dataset": "mtl_aqa"}), with_tested(tiny_data, "t0", "v0"), project
    )
    (project / "models/model.pt").rename(project / "mine.pt")
    params = small_params(SHORT | {"train.backbone_weights": "mine.pt", "train.tracking": True})
    run_train(params, with_tested(tiny_data, "t0", "t1"), project)
    assert "had a part in training" not in caplog.text
    assert all("leaked_test_samples" not in tags for tags in tags_of_runs(project))


def test_the_published_datasets(shared_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Source: FIELD, counted: 268 training clips of FineDiving test MTL-AQA, 249 the other way."""
    annotations = shared_dir / "annotations"
    mtl, _ = read_mtl_aqa(release_dir=annotations / "mtl-aqa", scoring_rule="diving")
    dives, _ = read_finediving(annotations / "finediving")
    fine = (
        mtl[[]]
        .reindex(range(len(dives)))
        .assign(sample_id=[dive.sample_id for dive in dives], split=[dive.split for dive in dives])
    )
    for before, after, told in ((fine, mtl, "268 of 353"), (mtl, fine, "249 of 749")):
        seen = seen_with(None, before, performances_of="mtl_aqa", protocol="honest")
        tags = leak_tags(seen, after, performances_of="mtl_aqa", source="weights")
        assert tags == {"leaked_test_samples": told}
    shared = {name for name, each in DATASETS.items() if each.options.PERFORMANCES_OF == "mtl_aqa"}
    assert shared == {"mtl_aqa", "unlv_dive", "finediving"}
