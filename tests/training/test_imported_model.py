"""A model file of one's own in the place of a training: its own clips, one or many, and its run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tests.tiny_training import FRAMES, MakeParams, TinyData
from tests.training.test_tracked_training import run_evaluate, run_train

from dae_aqa.errors import ModelError
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.training.imported import import_models

SHORT = {"num_epochs": 1, "evaluate.num_bootstrap": 100, "evaluate.num_worst": 1}
# other clips than those of the file, which must have no part in it
IMPORT = SHORT | {"evaluate.checkpoint": "mine/model.pt", "train.clips.starts": [2]}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the stages run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    return tmp_path


@pytest.fixture
def mine(project: Path, small_params: MakeParams, tiny_data: TinyData) -> TrainedModel:
    """A model that was trained with clips of its own, in `mine/model.pt`."""
    trained, _ = tiny_data.train(small_params(SHORT).training, project / "before")
    trained.save(project / "mine/model.pt")
    return trained


def as_test_samples(data: TinyData) -> TinyData:
    """Return the data with the training samples as test samples."""
    return TinyData(
        data.annotations, data.splits.replace({"split": {"train": "test"}}), data.frames_dir
    )


def test_its_own_clips_are_shown_and_the_report_says_so(
    mine: TrainedModel, small_params: MakeParams, tiny_data: TinyData, project: Path
):
    params = small_params(IMPORT)
    run_train(params, as_test_samples(tiny_data), project)
    assert TrainedModel.load(project / "models/model.pt").layout == mine.layout
    run_evaluate(params, tiny_data, project)
    page = (project / "reports/index.html").read_text()
    assert "it is the imported checkpoint mine/model.pt" in page
    assert "It is shown 2 clip(s) of 8 frames at 32 px, which reach over 9 frames" in page


def test_a_folder_has_a_model_for_each_part(
    mine: TrainedModel, small_params: MakeParams, tiny_data: TinyData, project: Path
):
    options = small_params(SHORT).training
    data = as_test_samples(tiny_data)
    parts = ["fold1", "fold2", "fold3"]

    def load(checkpoint: str) -> dict[str, TrainedModel]:
        return import_models(
            checkpoint,
            options=options,
            frames=FRAMES,
            splits=data.splits,
            parts=parts,
            frames_dir=data.frames_dir,
        )

    of_one = load("mine/model.pt")
    assert list(of_one) == parts
    assert len({id(trained) for trained in of_one.values()}) == 1
    mine.save(project / "mine/fold2.pt")
    with pytest.raises(ModelError, match=r"folder mine lacks .*fold1\.pt, .*fold3\.pt; each part"):
        load("mine")
    mine.save(project / "mine/fold1.pt")
    mine.save(project / "mine/fold3.pt")
    assert len({id(trained) for trained in load("mine").values()}) == 3


def test_frames_and_names_that_do_not_fit_are_all_named(
    small_params: MakeParams, tiny_data: TinyData, project: Path, mine: TrainedModel
):
    layout = mine.layout.model_copy(update={"starts": (0, 5), "crop_px": 60})
    replace(mine, usage=mine.usage.replaced(layout=layout)).save(project / "mine/model.pt")
    params = small_params(IMPORT | {"model": "mlp"})
    with pytest.raises(ModelError, match=r"mine/model\.pt: 3 problem\(s\)") as caught:
        run_train(params, as_test_samples(tiny_data), project)
    message = str(caught.value)
    assert "set both to what it holds" in message
    assert "look at 13 frames of a sample, but 4 test sample(s) have fewer, e.g. t0" in message
    assert "down to 10; set extract_frames.num_frames to 13 or more" in message
    assert f"square of {layout.padded_crop_px} px, but 4 test sample(s)" in message
    assert "e.g. t0 of 48x40 px; set extract_frames.width and extract_frames.height to" in message
    assert not (project / "models/model.pt").exists()


@pytest.mark.slow
def test_its_figures_go_to_the_run_of_the_import(
    small_params: MakeParams, tiny_data: TinyData, project: Path
):
    """The bytes are those of a training, whose run keeps its own figures."""
    tracked = SHORT | {"train.tracking": True}
    run_train(small_params(tracked), tiny_data, project)
    (project / "models/model.pt").rename(project / "mine/model.pt")
    imported = small_params(tracked | {"evaluate.checkpoint": "mine/model.pt"})
    run_train(imported, as_test_samples(tiny_data), project)
    run_evaluate(imported, tiny_data, project)
    client = MlflowClient(f"sqlite:///{project}/.mlflow/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    figures = {run.data.tags.get("imported"): run.data.tags for run in runs}
    assert set(figures) == {None, "mine/model.pt"}
    assert figures["mine/model.pt"]["test.num_samples"] == "4"
    assert "test.num_samples" not in figures[None]
