"""A trained model as MLflow hands it out: logged, fetched, registered, asked, and served."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import mlflow.pyfunc
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel
from mlflow.pyfunc.scoring_server import invocations
from tests.scored_windows import small_trained_model, write_clip

from dae_aqa import Scorer
from dae_aqa.errors import TrackingError
from dae_aqa.tracking import start_training_run
from dae_aqa.tracking.record import log_result
from dae_aqa.tracking.registry import register


def log_small(root: Path) -> str:
    """Log a small model as the train stage does; return the run's id."""
    path = root / "models/model.pt"
    small_trained_model().save(path)
    with start_training_run(
        root=root, experiment="e", resume_key=None, run_name="r", params={}, tags={}
    ) as tracker:
        log_result(
            tracker,
            pd.DataFrame(),
            best_epoch=None,
            chosen_by=None,
            model_path=path,
            history_path=root / "training.csv",
        )
    return tracker.run_id


@pytest.fixture
def run_id(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(root)
    (root / "dvc.yaml").touch()
    return log_small(root)


@pytest.fixture
def clips(root: Path) -> Path:
    for seed in range(3):
        write_clip(root / f"clips/{seed}.mp4", seed=seed)
    write_clip(root / "outside.mp4")
    return root / "clips"


@pytest.fixture
def model(run_id: str, root: Path, clips: Path, monkeypatch: pytest.MonkeyPatch) -> PyFuncModel:
    monkeypatch.setenv("DAE_AQA_CLIPS", str(clips))
    (description,) = (root / ".mlflow").rglob("MLmodel")
    return mlflow.pyfunc.load_model(str(description.parent))


def post(model: PyFuncModel, rows: list[dict[str, object]]) -> pd.DataFrame:
    """Send a JSON request through the code that `mlflow models serve` answers with."""
    body = json.dumps({"dataframe_records": rows})
    answer = invocations(body, "application/json", model, model.metadata.get_input_schema())
    assert answer.status == 200
    return pd.DataFrame(json.loads(answer.response)["predictions"])


def test_every_way_through_mlflow_scores_as_the_scorer_does(
    model: PyFuncModel, clips: Path, root: Path
) -> None:
    scorer = Scorer.load(root / "models/model.pt")
    expected = [
        scorer.score(clips / f"{seed}.mp4", end=2.0, difficulty=2.0 + seed) for seed in range(3)
    ]
    rest = [{"end_seconds": 2.0, "difficulty": 2.0 + seed} for seed in range(3)]
    content = [(clips / f"{seed}.mp4").read_bytes() for seed in range(3)]
    paths = [{"path": f"{seed}.mp4", **rest[seed]} for seed in range(3)]
    videos = [{"video": content[seed], **rest[seed]} for seed in range(3)]
    encoded = [row | {"video": base64.b64encode(row["video"]).decode()} for row in videos]
    for answer in (
        model.predict(pd.DataFrame(paths)),
        model.predict(pd.DataFrame(videos)),
        post(model, paths),
        post(model, encoded),
        pd.concat([model.predict(pd.DataFrame([row])) for row in videos]),
    ):
        assert answer["mu"].tolist() == [score.mu for score in expected]
        assert answer["sigma"].tolist() == [score.sigma for score in expected]
        assert answer["low_90"].tolist() == [score.interval(0.9)[0] for score in expected]
        assert answer["unlike_training"].tolist() == [False] * 3


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"path": "../outside.mp4", "difficulty": 2.0}, "is no video in the folder"),
        ({"path": "none.mp4", "difficulty": 2.0}, "is no video in the folder"),
        ({"path": "http://127.0.0.1/a.mp4", "difficulty": 2.0}, "is no video in the folder"),
        ({"path": "0.mp4"}, "row 0: this model scores the execution"),
        ({"path": "0.mp4", "difficulty": 0.0}, "difficulty must be a number > 0"),
        ({"path": "0.mp4", "difficulty": 2.0, "start_seconds": 9.0}, "the clip is empty"),
        ({"path": "0.mp4", "difficulty": 2.0, "end_seconds": -1.0}, "end_seconds must be a number"),
        ({"difficulty": 2.0}, "give either `video`"),
        ({"video": "bm8gdmlkZW8=", "difficulty": 2.0}, "row 0: cannot be opened as a video"),
        ({"path": "0.mp4", "difficulty": "hard"}, "Incompatible input types|Failed to"),
    ],
)
def test_wrong_requests_are_answered_with_400(
    row: dict[str, object], message: str, model: PyFuncModel
) -> None:
    with pytest.raises(MlflowException, match=message) as caught:
        post(model, [row])
    assert caught.value.get_http_status_code() == 400
    assert "/tmp" not in str(caught.value)


def test_no_path_is_read_where_no_folder_is_named(
    run_id: str, root: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAE_AQA_CLIPS", raising=False)
    (description,) = (root / ".mlflow").rglob("MLmodel")
    model = mlflow.pyfunc.load_model(str(description.parent))
    with pytest.raises(MlflowException, match="paths are not read here"):
        model.predict(pd.DataFrame([{"path": str(clips / "0.mp4"), "difficulty": 2.0}]))


def test_a_scorer_is_loaded_from_a_run_and_from_the_registry(
    run_id: str, root: Path, clips: Path
) -> None:
    video = clips / "0.mp4"
    expected = Scorer.load(root / "models/model.pt").score(video, difficulty=3.0)
    assert Scorer.load(f"runs:/{run_id}").score(video, difficulty=3.0).to_dict() == (
        expected.to_dict()
    )
    assert register(run_id, name="dives") == "1"
    assert register(run_id, name="dives") == "2"
    (version, *_) = MlflowClient(f"sqlite:///{root}/.mlflow/mlflow.db").search_model_versions(
        "name = 'dives'"
    )
    assert version.run_id == run_id
    again = Scorer.load("models:/dives/2").score(video, difficulty=3.0)
    assert again.to_dict() == expected.to_dict()
    with pytest.raises(TrackingError):
        Scorer.load("models:/dives/7")
    with pytest.raises(TrackingError):
        register("0" * 32, name="dives")
