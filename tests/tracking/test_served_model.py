"""A really trained kind of model as MLflow hands it out: logged, loaded, asked, and served."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel
from mlflow.pyfunc.scoring_server import invocations
from tests.scored_windows import draw_windows, expected_scores, small_trained_model

from dae_aqa.tracking import start_training_run
from dae_aqa.tracking.record import log_result


def logged(root: Path, model: str = "dae_mt", *, has_difficulty: bool = True) -> PyFuncModel:
    """Return a small model after its way through the store, as the train stage logs it."""
    trained = small_trained_model(model, has_difficulty=has_difficulty)
    path = root / "models/model.pt"
    trained.save(path)
    with start_training_run(
        root=root, experiment="e", resume_key=None, run_name="r", params={}, tags={}
    ) as tracker:
        log_result(
            tracker,
            trained,
            pd.DataFrame(),
            best_epoch=None,
            chosen_by=None,
            model_path=path,
            history_path=root / "training.csv",
        )
    (description,) = (root / ".mlflow").rglob("MLmodel")
    return mlflow.pyfunc.load_model(str(description.parent))


@pytest.fixture
def model(root: Path) -> PyFuncModel:
    return logged(root)


def post(model: PyFuncModel, frames: object, **params: object) -> pd.DataFrame:
    """Send a JSON request through the code that `mlflow models serve` answers with."""
    frames = frames.tolist() if isinstance(frames, np.ndarray) else frames
    body = {"inputs": frames} | ({"params": params} if params else {})
    schema = model.metadata.get_input_schema()
    answer = invocations(json.dumps(body), "application/json", model, schema)
    assert answer.status == 200
    return pd.DataFrame(json.loads(answer.response)["predictions"])


def test_it_scores_the_centre_of_its_frames_times_difficulty(model: PyFuncModel) -> None:
    windows, difficulty = draw_windows(2), [3.2, 1.5]
    expected = expected_scores(small_trained_model(), windows, difficulty)
    for answer in (
        model.predict(windows, params={"difficulty": difficulty}),
        post(model, windows, difficulty=difficulty),
    ):
        np.testing.assert_allclose(answer["mu"], expected[0], rtol=1e-5)
        np.testing.assert_allclose(answer["sigma"], expected[1], rtol=1e-5)
    one_for_all = model.predict(windows, params={"difficulty": [2.0]})
    np.testing.assert_allclose(
        one_for_all["mu"], expected_scores(small_trained_model(), windows, [2.0])[0], rtol=1e-5
    )
    example = model.predict(model.input_example, params={"difficulty": [1.0]})
    assert np.isfinite(example.to_numpy()).all()


def test_without_difficulty_an_execution_model_does_not_answer(model: PyFuncModel) -> None:
    told = r"this model scores the execution.*give `difficulty` among the params"
    with pytest.raises(MlflowException, match=told):
        model.predict(draw_windows(1))
    with pytest.raises(MlflowException, match=told) as caught:
        post(model, draw_windows(1))
    assert caught.value.get_http_status_code() == 400


@pytest.mark.parametrize(("name", "has_difficulty"), [("dae_mt", False), ("dae", True)])
def test_where_difficulty_says_nothing_it_may_be_left_out(
    name: str, has_difficulty: bool, root: Path
) -> None:
    model = logged(root, name, has_difficulty=has_difficulty)
    windows = draw_windows(3)
    trained = small_trained_model(name)
    expected, _ = expected_scores(trained, windows, [1.0, 1.0, 1.0])
    np.testing.assert_allclose(model.predict(windows)["mu"], expected, rtol=1e-5)
    np.testing.assert_allclose(post(model, windows)["mu"], expected, rtol=1e-5)


def _frames(scale: float, shift: float) -> list[object]:
    listed: list[object] = (draw_windows(1) / 255.0 * scale + shift).tolist()
    return listed


def test_what_a_server_refuses(model: PyFuncModel) -> None:
    """MLflow's server casts JSON numbers to uint8 before the model sees them."""
    unit = draw_windows(1) / 255.0
    for frames, message in (
        (unit, "the frames of sample 0 are black: no value is above [01] of 255"),
        (1.8 * unit - 0.9, "the frames of sample 0 are black"),  # around 0
        (4.0 * unit - 0.99, "the frames of sample 0 are black: no value is above 2"),
        (4.7 * unit - 2.1, "-[12] out of bounds for uint8"),  # as ImageNet normalises
        (300.0 * unit, "out of bounds for uint8"),
        (draw_windows(1, height=8, width=8), "got frames of 8x8 px"),
        (draw_windows(1)[:, :5], "looks at 11 frames of a window, got 1 window.s. of 5"),
        (draw_windows(1)[0], "does not match expected shape"),
        (draw_windows(1)[..., :1], "does not match expected shape"),
        ([[1, 2], [3]], "inhomogeneous"),
    ):
        with pytest.raises(MlflowException, match=message) as caught:
            post(model, frames, difficulty=[3.2])
        assert caught.value.get_http_status_code() == 400


def test_one_black_window_among_others_is_named(model: PyFuncModel) -> None:
    windows = draw_windows(3)
    windows[1] = windows[1] > 200
    with pytest.raises(MlflowException, match="the frames of sample 1 are black"):
        model.predict(windows, params={"difficulty": [3.2]})
    windows[1, 0, 0, 0, 0] = 3  # the least that floats cannot have become
    assert len(model.predict(windows, params={"difficulty": [3.2]})) == 3


def test_what_a_caller_in_python_is_refused(model: PyFuncModel) -> None:
    windows = draw_windows(2)
    for dtype in (np.float32, np.float64, np.int64):
        with pytest.raises(MlflowException, match="does not match expected dtype uint8"):
            model.predict(windows.astype(dtype), params={"difficulty": [3.2]})
    for difficulty, message in (
        ([0.0], "`difficulty` must be one positive number"),
        ([3.2, 3.0, 2.0], r"or one for each of the 2 sample\(s\), got \[3.2, 3.0, 2.0\]"),
        ([float("nan")], r"got \[nan\]"),
        (["hard"], "Failed to validate type and shape"),
        (3.2, "must be a 1D array"),
    ):
        with pytest.raises(MlflowException, match=message):
            model.predict(windows, params={"difficulty": difficulty})
