"""The train stage's two ways to a model: which work it goes on with, and what it imports."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from tests.packed_samples import draw_frames, write_pack
from tests.released_checkpoint import write_released_checkpoint
from tests.tiny_training import MakeParams, TinyData

from dae_aqa.datasets import DATASETS
from dae_aqa.errors import DaeAqaError, ModelError, ParamsError, TrainingError
from dae_aqa.evaluation.stage import evaluate_and_report
from dae_aqa.evaluation.tables import EvaluationTables
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.models.build import load_released_checkpoint
from dae_aqa.models.normalization import IMAGENET
from dae_aqa.options import flatten
from dae_aqa.params import Params
from dae_aqa.splits.make import write_splits
from dae_aqa.tables.dataset import no_truth
from dae_aqa.tracking import Tracker
from dae_aqa.training import stage as tracked_training
from dae_aqa.training.at_once import run_at_once
from dae_aqa.training.history import COLUMNS
from dae_aqa.training.import_stage import import_and_track
from dae_aqa.training.stage import TrainPlaces, train_and_track

RELEASED: dict[str, Any] = {
    "model": "dae_mt",
    "backbone": "i3d",
    "evaluate.checkpoint": "released.pth",
    "evaluate.num_bootstrap": 100,
    "evaluate.num_worst": 1,
}


pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as the released loop saves it, with fresh weights."""
    return write_released_checkpoint(tmp_path_factory.mktemp("released") / "released.pth")


@pytest.fixture
def released(checkpoint: Path, project: Path) -> Path:
    (project / "released.pth").symlink_to(checkpoint)
    return checkpoint


def run_train(params: Params, data: TinyData, project: Path) -> None:
    """Do what `stages/train.py` does."""
    data.annotations.to_csv(project / "annotations.csv", index=False)
    write_splits(data.splits, project / "splits.csv")
    if params.evaluate.checkpoint is not None:
        import_and_track(
            params.evaluate.checkpoint,
            options=params.training,
            performances_of=params.dataset_options.PERFORMANCES_OF,
            params=flatten(params.used),
            frames=params.frames,
            splits=data.splits,
            frames_dir=data.frames_dir,
            models_dir=project / "models",
            history_path=project / "reports/training.csv",
        )
        return
    train_and_track(
        params.training,
        scoring_rule=params.dataset_options.scoring_rule,
        frames=params.frames,
        performances_of=params.dataset_options.PERFORMANCES_OF,
        params=flatten(params.used),
        annotations=data.annotations,
        splits=data.splits,
        places=TrainPlaces(
            frames_dir=data.frames_dir,
            annotations_file=project / "annotations.csv",
            splits_file=project / "splits.csv",
            trainings_dir=project / "trainings",
            features_dir=project / "features",
            models_dir=project / "models",
            history_path=project / "reports/training.csv",
        ),
    )


def run_evaluate(params: Params, data: TinyData, project: Path) -> None:
    places = {"video_id": "01", "start_frame": 0, "end_frame": 10}
    places |= dict.fromkeys(("action_class", "split", "task", "fold", "group"), "")
    (project / "trainings").mkdir(exist_ok=True)
    (project / "features").mkdir(exist_ok=True)
    splits = data.splits
    if "test" not in set(splits["split"]):
        splits = splits.replace({"split": {"train": "test"}})
    evaluate_and_report(
        params.training,
        evaluate=params.evaluate,
        dataset=DATASETS[params.dataset],
        params=params.used,
        tables=EvaluationTables(
            annotations=data.annotations.assign(**places),
            splits=splits,
            truth=no_truth(),
            notes=pd.DataFrame(columns=["sample_id", "kind", "detail"]),
            extraction_notes=pd.DataFrame(columns=["sample_id", "video_id", "note"]),
            excluded=pd.DataFrame(columns=["sample_id", "reason"]),
            missing_videos=pd.DataFrame(columns=["video_id"]),
            history=pd.read_csv(project / "reports/training.csv"),
            protocol=params.protocol,
        ),
        frames_dir=data.frames_dir,
        models_dir=project / "models",
        reports_dir=project / "reports",
        trainings_dir=project / "trainings",
        features_dir=project / "features",
    )


def test_a_released_checkpoint_is_imported_and_evaluated(
    released: Path, small_params: MakeParams, tiny_data: TinyData, project: Path
):
    params = small_params(RELEASED)
    run_train(params, tiny_data, project)
    assert (project / "reports/training.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert not (project / "trainings").exists()
    assert not (project / ".mlflow").exists()
    imported = TrainedModel.load(project / "models/model.pt")
    assert imported.normalization == IMAGENET
    assert imported.layout.starts == (0, 1)
    original = load_released_checkpoint(released, model="dae_mt")
    assert imported.model.spec == original.spec
    for key, value in original.state_dict().items():
        assert torch.equal(imported.model.state_dict()[key], value), key

    (project / "released.pth").unlink()  # the model file alone is evaluated
    run_evaluate(params, tiny_data, project)
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert metrics["num_test"] == 4
    page = (project / "reports/index.html").read_text()
    assert "it is the imported checkpoint released.pth" in page
    assert "Loss by epoch" not in page
    assert "data:image/jpeg" in page  # samples may be stored as PNG, film strips are JPEG
    predictions = pd.read_csv(project / "reports/predictions.csv")
    frames = torch.stack([frames_of(tiny_data, name) for name in predictions["sample_id"]])
    with torch.no_grad():
        mu = original(frames).values[:, 0].numpy()
    np.testing.assert_allclose(predictions["mu_execution"], mu, rtol=1e-4, atol=1e-4)


def frames_of(data: TinyData, sample_id: str) -> torch.Tensor:
    """Return a sample's clips (2, 3, 8, 32, 32), made by hand: window, centre square, ImageNet."""
    with zipfile.ZipFile(data.frames_dir / f"{sample_id}.zip") as pack:
        files = [np.frombuffer(pack.read(f"{n:06d}.png"), np.uint8) for n in range(2, 12)]
    bgr = np.stack([cv2.imdecode(file, cv2.IMREAD_COLOR) for file in files])  # 40x48 px
    square = torch.from_numpy(bgr[:, 4:36, 8:40, ::-1].copy()).permute(3, 0, 1, 2) / 255.0
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (IMAGENET.mean, IMAGENET.std))
    return torch.stack([(square[:, s : s + 8] - mean) / std for s in (0, 1)])


@pytest.mark.slow
def test_an_import_that_was_restored_is_a_tracked_run(
    released: Path, small_params: MakeParams, tiny_data: TinyData, project: Path
):
    """DVC's cache may hold the model where this machine's store knows no run of it."""
    run_train(small_params(RELEASED), tiny_data, project)
    run_evaluate(small_params(RELEASED | {"train.tracking": True}), tiny_data, project)
    client = MlflowClient(f"sqlite:///{project}/.mlflow/mlflow.db")
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert run.info.status == "FINISHED"
    assert run.data.tags["imported"] == "released.pth"
    assert run.data.tags["restored"] == "true"
    assert run.data.tags["test.num_samples"] == "4"
    assert not any(name.startswith(("train/", "val/")) for name in run.data.metrics)


def test_a_handful_is_told_the_same_in_log_metrics_and_report(
    small_params: MakeParams, tiny_data: TinyData, project: Path, caplog: pytest.LogCaptureFixture
):
    """Four train, three validate; the four are tested."""
    caplog.set_level("INFO")
    params = small_params({"num_epochs": 3})
    run_train(params, tiny_data, project)
    chosen = "the last one, since 3 validation samples cannot choose"
    assert f"kept epoch 2 of 0 to 2: {chosen}" in caplog.text
    run_evaluate(params, tiny_data, project)
    assert "test: 4 sample(s), no rho (a rank correlation needs at least 11 sam" in caplog.text
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert (metrics["num_train"], metrics["num_val"], metrics["num_test"]) == (0, 3, 4)
    assert metrics["spearman"] is metrics["coverage_90"] is None
    page = (project / "reports/index.html").read_text()
    assert f"Epoch 2 is evaluated: {chosen}" in page
    assert ">kept: 2<" in page
    assert "Rank correlation on the validation samples" not in page
    assert "3 validation samples: the epoch is the last one" in page


def test_other_files_and_names_are_refused(
    small_params: MakeParams, tiny_data: TinyData, project: Path
):
    params = small_params(RELEASED)
    with pytest.raises(ModelError, match=r"released\.pth: no such file of weights.*DAE-MT"):
        run_train(params, tiny_data, project)
    torch.save({"i3d": {}, "epoch": 3}, project / "released.pth")
    with pytest.raises(ModelError, match=r"released\.pth: not a released DAE checkpoint"):
        run_train(params, tiny_data, project)
    assert not (project / "models/model.pt").exists()
    for change in ({"model": "dae_judges"}, {"backbone": "small3d"}):
        with pytest.raises(ParamsError, match=r"evaluate\.checkpoint: a released checkpoint holds"):
            small_params(RELEASED | change)


def test_other_weights_under_the_same_name_are_another_training(
    small_params: MakeParams,
    tiny_data: TinyData,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    def begin(*_: object, work_dir: Path, **__: object) -> None:
        begun.append(work_dir.name)
        raise KeyboardInterrupt

    begun: list[str] = []
    monkeypatch.setattr(tracked_training, "train_model", begin)
    monkeypatch.setattr(tracked_training, "_seen_by_weights", lambda _: None)
    params = small_params({"train.backbone_weights": "weights.pt"})
    for content in (b"one", b"two", b"one"):
        (project / "weights.pt").write_bytes(content)
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            run_train(params, tiny_data, project)
    assert begun[0] == begun[2] != begun[1]


def test_files_of_a_queued_experiment_lie_in_the_real_root(
    small_params: MakeParams,
    tiny_data: TinyData,
    checkpoint: Path,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """DVC runs it in a copy of the repository, which holds no file that Git does not track."""
    copy = project / "copy"
    copy.mkdir()
    (project / "my_weights").mkdir()
    trained, _ = tiny_data.train(small_params({"num_epochs": 1}).training, project / "before")
    trained.save(project / "my_weights/model.pt")
    (project / "my_weights/released.pth").symlink_to(checkpoint)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(project))
    changes = {"train.backbone_weights": "my_weights/model.pt", "train.finetune": "head"}
    (copy / "features").mkdir()
    run_train(small_params(changes | {"num_epochs": 1}), tiny_data, copy)
    learned = TrainedModel.load(copy / "models/model.pt").model.backbone.state_dict()
    for key, value in trained.model.backbone.state_dict().items():
        assert torch.equal(learned[key], value), key
    assert len(list((copy / "trainings").glob("*/"))) == 1
    weights = project / "my_weights/model.pt"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"my_weights/model\.pt: truncated or damaged"):
        run_train(small_params(changes | {"num_epochs": 1}), tiny_data, copy)
    assert len(list((copy / "trainings").glob("*/"))) == 2, "their content is part of the name"
    run_train(
        small_params(RELEASED | {"evaluate.checkpoint": "my_weights/released.pth"}),
        tiny_data,
        copy,
    )
    assert TrainedModel.load(copy / "models/model.pt").model.spec.backbone == "i3d"


def test_weights_that_are_missing_say_where_they_are_published(
    small_params: MakeParams, tiny_data: TinyData, project: Path
):
    params = small_params({"train.backbone_weights": "weights.pt"})
    with pytest.raises(ModelError, match=r"weights\.pt: no such file of weights.*piergiaj"):
        run_train(params, tiny_data, project)


def test_history_has_the_columns_of_a_training(
    small_params: MakeParams, tiny_data: TinyData, project: Path
):
    _, result = tiny_data.train(small_params({"num_epochs": 1}).training, project)
    assert tuple(result.history.columns) == COLUMNS


class Recorder(Tracker):
    """Keeps what a training reports."""

    def __init__(self) -> None:
        self.metrics: list[tuple[int, dict[str, object]]] = []
        self.tags: dict[str, str] = {}
        self.model_step: int | None = None

    def log_metrics(self, metrics: Mapping[str, object], *, step: int) -> None:
        self.metrics.append((step, dict(metrics)))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self.tags |= tags

    def log_model(self, *, step: int, **_: object) -> None:
        self.model_step = step


def test_best_figures_are_those_of_the_chosen_epoch(
    small_params: MakeParams, tiny_data: TinyData, project: Path, monkeypatch: pytest.MonkeyPatch
):
    params = small_params()
    trained, result = tiny_data.train(small_params({"num_epochs": 1}).training, project / "real")
    rows = [
        {name: 10.0 * epoch + column for column, name in enumerate(COLUMNS)} for epoch in range(3)
    ]
    history = pd.DataFrame(rows).assign(epoch=[0.0, 1.0, 2.0])
    known = dataclasses.replace(result, history=history, best_epoch=1, chosen_by="chosen by hand")
    recorder = Recorder()
    monkeypatch.setattr(tracked_training, "open_run", lambda *_, **__: recorder)
    monkeypatch.setattr(tracked_training, "train_model", lambda *_, **__: (trained, known))
    run_train(params, tiny_data, project)
    names = {
        name: f"val/best/{name.removeprefix('val_')}" for name in COLUMNS if name.startswith("val_")
    }
    best = {names[name]: 10.0 + COLUMNS.index(name) for name in names}
    assert recorder.metrics == [(1, best | {"val/best/epoch": 1.0})]
    assert recorder.model_step == 1
    assert recorder.tags["epoch_choice"] == "chosen by hand"
    pd.testing.assert_frame_equal(pd.read_csv(project / "reports/training.csv"), history)


NAMES_IN_MLFLOW = {
    "lr": "train/lr",
    "train_loss": "train/loss",
    "val_mae": "val/mae",
    "val_nll": "val/nll",
    "val_spearman": "val/spearman",
    "val_spearman_execution": "val/spearman_execution",
}


def test_each_epoch_is_reported_as_it_ends(
    small_params: MakeParams, tiny_data: TinyData, project: Path, monkeypatch: pytest.MonkeyPatch
):
    recorder = Recorder()
    monkeypatch.setattr(tracked_training, "open_run", lambda *_, **__: recorder)
    run_train(small_params({"num_epochs": 2}), tiny_data, project)
    history = pd.read_csv(project / "reports/training.csv")
    for epoch in range(2):
        step, figures = recorder.metrics[epoch]
        assert step == epoch
        told = [figures[name] for name in NAMES_IN_MLFLOW.values()]
        np.testing.assert_allclose(told, history.loc[epoch, list(NAMES_IN_MLFLOW)], rtol=1e-12)
        assert figures["system/samples_per_second"] > 0


def work_folder(params: Params, data: TinyData, project: Path) -> str:
    """Return the name of the work folder that a training would go on from."""
    before = {path.name for path in (project / "trainings").glob("*/")}
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        run_train(params, data, project)
    after = {path.name for path in (project / "trainings").glob("*/")}
    (found,) = after - before
    shutil.rmtree(project / "trainings" / found)
    return found


def test_a_training_goes_on_only_from_its_own_work(
    small_params: MakeParams, tiny_data: TinyData, project: Path, monkeypatch: pytest.MonkeyPatch
):
    """Other frames, parameters or scores are another training; frames of a test sample are not."""

    def begin(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tracked_training, "train_model", begin)
    shutil.copytree(tiny_data.frames_dir, project / "frames")
    splits = tiny_data.splits.copy()
    splits.loc[splits["sample_id"] == "v2", "split"] = "test"
    data = TinyData(tiny_data.annotations, splits, project / "frames")

    def other_frames(name: str) -> None:
        write_pack(data.frames_dir, name, draw_frames(name, num_frames=10, brightness=0.3))

    def other_scores(name: str) -> TinyData:
        rows = data.annotations.copy()
        rows.loc[rows["sample_id"] == name, "final_score"] = 33.0
        return dataclasses.replace(data, annotations=rows)

    first = work_folder(small_params(), data, project)
    assert work_folder(small_params(), data, project) == first
    assert work_folder(small_params({"lr": 1e-5}), data, project) != first
    other_rule = {"datasets.simdive.scoring_rule": "sum_of_elements"}
    assert work_folder(small_params(other_rule), data, project) != first
    other_loading = {"num_workers": 1, "train.clips.cache": False, "train.experiment": "x"}
    assert work_folder(small_params(other_loading), data, project) == first
    assert work_folder(small_params(), other_scores("t1"), project) != first
    other_frames("v2")
    assert work_folder(small_params(), data, project) == first
    other_frames("t1")
    second = work_folder(small_params(), data, project)
    other_frames("v1")
    assert len({first, second, work_folder(small_params(), data, project)}) == 3


def in_three_folds(data: TinyData) -> TinyData:
    """Each part tests two samples, validates on two others and trains on the rest."""
    names = data.splits["sample_id"].tolist()
    parts = []
    for fold in range(3):
        split = pd.Series("train", index=range(len(names)))
        split[[2 * fold, 2 * fold + 1]] = "test"
        split[[(2 * fold + 2) % 6, (2 * fold + 3) % 6]] = "val"
        rows = {"sample_id": names, "split": split, "part": f"fold{fold + 1}"}
        parts.append(pd.DataFrame(rows))
    return dataclasses.replace(data, splits=pd.concat(parts, ignore_index=True))


def results_of(project: Path) -> dict[str, bytes]:
    paths = [*(project / "models").iterdir(), project / "reports/training.csv"]
    return {path.name: path.read_bytes() for path in paths}


def test_parts_go_on_after_a_kill_without_doing_anything_twice(
    small_params: MakeParams, tiny_data: TinyData, project: Path, monkeypatch: pytest.MonkeyPatch
):
    """Killed in the second epoch of the second of three parts."""
    params, data = small_params({"num_epochs": 3}), in_three_folds(tiny_data)
    run_train(params, data, project)
    undisturbed = results_of(project)
    assert sorted(undisturbed) == ["fold1.pt", "fold2.pt", "fold3.pt", "training.csv"]
    curves = pd.read_csv(project / "reports/training.csv")
    assert tuple(curves.columns) == ("part", *COLUMNS)
    assert curves["part"].tolist() == [f"fold{fold}" for fold in (1, 2, 3) for _ in range(3)]

    for name in ("trainings", "models", "reports"):
        shutil.rmtree(project / name)
    epochs: list[int] = []

    def count_until(last: int | None) -> None:
        def log(tracker: Tracker, epoch: int, figures: Mapping[str, object]) -> None:
            if len(epochs) == last:
                raise KeyboardInterrupt
            epochs.append(epoch)

        monkeypatch.setattr(tracked_training, "log_epoch", log)

    count_until(4)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        run_train(params, data, project)
    assert epochs == [0, 1, 2, 0]
    shutil.rmtree(project / "models")  # as DVC does before it runs the stage again
    count_until(None)
    run_train(params, data, project)
    assert epochs == [0, 1, 2, 0, 1, 2, 0, 1, 2]
    assert results_of(project) == undisturbed


@pytest.mark.slow
def test_parts_at_once_are_the_parts_one_after_the_other(
    small_params: MakeParams, tiny_data: TinyData, project: Path
):
    """To the bit, with as many threads each; and each is a run below the one of all."""
    data = in_three_folds(tiny_data)
    run_train(small_params({"num_epochs": 2}), data, project)
    in_turn = results_of(project)
    for name in ("trainings", "models", "reports"):
        shutil.rmtree(project / name)
    changes = {"num_epochs": 2, "train.parts_at_once": 2, "train.tracking": True}
    run_train(small_params(changes), data, project)
    assert results_of(project) == in_turn
    client = MlflowClient(f"sqlite:///{project}/.mlflow/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    (whole,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    parts = [run for run in runs if run is not whole]
    assert sorted(run.data.tags["part"] for run in parts) == ["fold1", "fold2", "fold3"]
    assert {run.data.tags["mlflow.parentRunId"] for run in parts} == {whole.info.run_id}


@pytest.mark.slow
def test_an_error_of_one_of_several_parts_at_once_ends_all(
    small_params: MakeParams, tiny_data: TinyData, project: Path
):
    params = small_params({"num_epochs": 1, "train.parts_at_once": 2, "lr": 1e30})
    with pytest.raises(DaeAqaError, match="loss"):
        run_train(params, in_three_folds(tiny_data), project)
    assert not (project / "models").exists() or not list((project / "models").iterdir())
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_killed_process_is_told_and_what_is_finished_is_kept(tmp_path: Path):
    with pytest.raises(TrainingError, match="was killed, perhaps for want of memory"):
        run_at_once(kill_second, ["a", "b", "c"], count=1)


def kill_second(item: str) -> str:
    if item == "b":
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_parts_are_trained_on_their_own_samples_alone(
    small_params: MakeParams, tiny_data: TinyData, project: Path
):
    """A part is the training that one would do with its rows as the whole table."""
    params, data = small_params({"num_epochs": 2}), in_three_folds(tiny_data)
    run_train(params, data, project)
    second = TrainedModel.load(project / "models/fold2.pt").model.state_dict()
    rows = data.splits[data.splits["part"] == "fold2"].assign(part="")
    run_train(params, dataclasses.replace(tiny_data, splits=rows), project)
    alone = TrainedModel.load(project / "models/model.pt").model.state_dict()
    assert all(torch.equal(alone[key], value) for key, value in second.items())


@pytest.mark.slow
def test_parts_are_runs_below_one(small_params: MakeParams, tiny_data: TinyData, project: Path):
    params, data = small_params({"train.tracking": True}), in_three_folds(tiny_data)
    run_train(params, data, project)
    run_evaluate(params, data, project)
    client = MlflowClient(f"sqlite:///{project}/.mlflow/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    (whole,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    parts = {run.data.tags["part"]: run for run in runs if run is not whole}
    assert sorted(parts) == ["fold1", "fold2", "fold3"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    for name, run in parts.items():
        assert run.info.run_name == name
        assert run.data.tags["mlflow.parentRunId"] == whole.info.run_id
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert whole.data.metrics["test/mae"] == metrics["mae"]
    assert whole.data.metrics["test_mean_mae"] == metrics["mean"]["mae"]
    assert parts["fold3"].data.metrics["test/mae"] == metrics["parts"]["fold3"]["mae"]
    page = (project / "reports/index.html").read_text()
    assert '<section id="parts">' in page
    assert "3 parts, each trained by itself, one line each." in page
    assert not list((project / "trainings").glob("*/"))


@pytest.mark.slow
def test_parts_that_were_restored_are_runs_below_one(
    small_params: MakeParams, tiny_data: TinyData, project: Path
):
    data = in_three_folds(tiny_data)
    run_train(small_params({}), data, project)
    run_evaluate(small_params({"train.tracking": True}), data, project)
    client = MlflowClient(f"sqlite:///{project}/.mlflow/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    (whole,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(runs) == 4
    assert whole.data.metrics["test/mae"] > 0
    assert {run.data.tags.get("restored") for run in runs if run is not whole} == {"true"}
