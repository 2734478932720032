"""The trained model: what it says of windows, and files of it that somebody edited."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.packed_samples import MARGIN, draw_frames, write_pack
from tests.scored_windows import LAYOUT, draw_windows, expected_scores, small_trained_model

from dae_aqa.clips.layout import ClipLayout
from dae_aqa.clips.options import ClipOptions, NormalizationName
from dae_aqa.errors import ModelError
from dae_aqa.inference.predict import predict
from dae_aqa.inference.samples import ScoredSamples
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.models.normalization import HALF, IMAGENET, KINETICS, Normalization
from dae_aqa.models.targets import make_targets

DIFFICULTY = [3.2, 2.0, 1.5]
pytestmark = pytest.mark.filterwarnings("ignore:.*parse tensor invariant:UserWarning")


def test_windows_are_scored_by_their_centre() -> None:
    trained = small_trained_model()
    windows = draw_windows(3)
    mu, sigma = trained.score_frames(windows, difficulty=np.array(DIFFICULTY))
    expected_mu, expected_sigma = expected_scores(trained, windows, DIFFICULTY)
    np.testing.assert_allclose(mu, expected_mu, rtol=1e-5)
    np.testing.assert_allclose(sigma, expected_sigma, rtol=1e-5)
    for corner in (windows[:, :, :36, :36], windows[:, :, 4:, 12:]):  # the oracle tells them apart
        off, off_sigma = expected_scores(trained, corner, DIFFICULTY)
        assert (np.abs(off / expected_mu - 1) > 5e-4).all()
        assert (np.abs(off_sigma / expected_sigma - 1) > 5e-4).all()


def test_windows_in_memory_are_scored_as_packed_samples_are(tmp_path: Path) -> None:
    """Scaled, with a stride and a jitter's margin: the evaluation's way must say the same."""
    layout = dataclasses.replace(LAYOUT, stride=2, starts=(1, 4), crop_px=28, jitter_px=3)
    trained = small_trained_model(layout=layout)
    names = ["a", "b", "c"]
    frames = [draw_frames(name, num_frames=layout.reach) for name in names]
    for name, content in zip(names, frames, strict=True):
        write_pack(tmp_path, name, content)
    samples = ScoredSamples(
        names,
        make_targets(
            final_score=[70.0, 60.0, 50.0],
            difficulty=DIFFICULTY,
            judge_scores=None,
            scoring_rule=None,
            sample_ids=names,
        ),
    )
    feed = trained.feed(names, frames_dir=tmp_path, num_workers=0, cache=False)
    packed = predict(
        trained.model, feed, samples=samples, batch_size=2, precision="fp32", show_progress=False
    )
    windows = np.stack(frames)[:, MARGIN:-MARGIN]
    mu, sigma = trained.score_frames(windows, difficulty=np.array(DIFFICULTY))
    np.testing.assert_allclose(mu, packed.mu.numpy(), rtol=1e-5)
    np.testing.assert_allclose(sigma, packed.sigma.numpy(), rtol=1e-5)
    longer = np.concatenate([windows, windows], axis=1)  # frames after the clips change nothing
    again, _ = trained.score_frames(longer, difficulty=np.array(DIFFICULTY))
    np.testing.assert_allclose(again, mu, rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 10, 40, 48, 3), r"looks at 11 frames of a window, got 1 window\(s\) of 10 frames"),
        ((0, 11, 40, 48, 3), r"got 0 window\(s\) of 11 frames"),
        ((1, 11, 35, 48, 3), r"centre square of 36 px of a frame, got frames of 48x35 px"),
        ((1, 11, 40, 8, 3), r"got frames of 8x40 px"),
    ],
)
def test_windows_that_are_too_small_are_refused(shape: tuple[int, ...], message: str) -> None:
    windows = np.zeros(shape, dtype=np.uint8)
    with pytest.raises(ModelError, match=message):
        small_trained_model().score_frames(windows, difficulty=np.ones(shape[0]))


def test_the_least_window_is_scored() -> None:
    windows = draw_windows(1, height=36, width=36)
    mu, _ = small_trained_model().score_frames(windows, difficulty=np.array([2.0]))
    expected, _ = expected_scores(small_trained_model(), windows, [2.0])
    np.testing.assert_allclose(mu, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "has_difficulty", "needs"),
    [("dae_mt", True, True), ("dae_mt", False, False), ("dae", True, False), ("mlp", True, False)],
)
def test_a_file_says_whether_difficulty_matters(
    model: str, has_difficulty: bool, needs: bool, tmp_path: Path
) -> None:
    made = small_trained_model(model, has_difficulty=has_difficulty)
    made.save(tmp_path / "model.pt")
    loaded = TrainedModel.load(tmp_path / "model.pt")
    assert (loaded.layout, loaded.normalization) == (LAYOUT, made.normalization)
    assert loaded.has_difficulty is has_difficulty
    assert loaded.needs_difficulty is needs


@pytest.mark.parametrize(
    ("name", "pixels"),
    [("imagenet", IMAGENET), ("kinetics", KINETICS), ("half", HALF), ("backbone", HALF)],
)
def test_a_model_to_be_trained_has_the_clips_of_its_parameters(
    name: NormalizationName, pixels: Normalization
) -> None:
    clips = ClipOptions(
        starts=(4, 9),
        num_frames=8,
        stride=3,
        crop_px=50,
        size_px=40,
        jitter_px=6,
        flip=True,
        color_jitter=0.1,
        normalization=name,
        cache=False,
    )
    model = small_trained_model().model  # whose backbone wants pixels from -1 to 1
    made = TrainedModel.for_training(model, clips, has_difficulty=False)
    layout = ClipLayout(starts=(4, 9), num_frames=8, stride=3, crop_px=50, size_px=40, jitter_px=6)
    assert made == TrainedModel(model, layout, pixels, has_difficulty=False)


Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pt"
    small_trained_model().save(path)
    return path


def edited(model_file: Path, folder: Path, change: Edit) -> Path:
    """Write the model file with its content changed, as somebody with an editor would."""
    content = torch.load(model_file, weights_only=True)
    change(content)
    torch.save(content, folder / "model.pt")
    return folder / "model.pt"


def put(*keys: str, value: object) -> Edit:
    """Return the edit that sets the entry below `keys`."""

    def change(content: dict[str, Any]) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


def layout(**values: object) -> Edit:
    return lambda content: content["usage"]["layout"].update(values)


def test_an_older_file_does_not_say_whether_difficulties_varied(
    model_file: Path, tmp_path: Path
) -> None:
    path = edited(model_file, tmp_path, lambda content: content["usage"].pop("has_difficulty"))
    assert TrainedModel.load(path).needs_difficulty


SPARSE = torch.sparse_coo_tensor(
    torch.tensor([[0]]), torch.tensor([1.0]), (2**40,), check_invariants=True
)
LINEAR = "head.net.fc1.bias"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (layout(starts=[]), r"starts must list the first frame of each clip, got \(\)"),
        (layout(starts="abc"), "layout must be a section with a list of starts"),
        (layout(starts=[0, -1]), r"starts must be whole numbers from 0 to 100000, got \(0, -1\)"),
        (layout(starts=[0, 10**9]), "starts must be whole numbers from 0 to 100000"),
        (layout(starts=[0.5]), "starts must be whole numbers"),
        (layout(starts=[True]), "starts must be whole numbers"),
        (layout(starts=[[0]] * 1000), r"starts must be whole numbers.*\.\.\."),
        (layout(starts=SPARSE), "layout must be a section with a list of starts"),
        (layout(starts=list(range(1000)), num_frames=3000), "clips of 3000 frames are too many"),
        (layout(num_frames=10**9), "num_frames must be a whole number from 1 to 100000, got 10"),
        (layout(num_frames=0), "num_frames must be a whole number from 1 to 100000, got 0"),
        (layout(num_frames=None), "num_frames must be .*, got None"),
        (layout(num_frames=SPARSE), r"num_frames must be .*, got tensor\("),
        (layout(stride=0), "stride must be a whole number from 1"),
        (layout(stride=10**12), "stride must be a whole number from 1"),
        (layout(crop_px=-64), "crop_px must be a whole number from 1 to 2048, got -64"),
        (layout(crop_px=64.0), r"crop_px must be a whole number from 1 to 2048, got 64\.0"),
        (layout(size_px=0), "size_px must be a whole number from 1"),
        (layout(size_px=10**6), "size_px must be a whole number from 1"),
        (layout(jitter_px=-1), "jitter_px must be a whole number from 0 to 2048, got -1"),
        (layout(jitter_px=2000), "size_px with twice the jitter_px must be at most 2048"),
        (layout(zoom=2), "unexpected keyword argument 'zoom'"),
        (put("usage", "layout", value=None), "layout must be a section with a list of starts"),
        (put("usage", "layout", value=SPARSE), "says nothing usable"),
        (put("usage", "layout", value=[1]), "says nothing usable"),
        (put("usage", "layout", value={}), "KeyError: 'starts'"),
        (put("usage", value={}), "KeyError: 'layout'"),
        (put("usage", value=None), "it does not say how it is used"),
        (put("usage", "normalization", value=None), "normalization must be a section"),
        (put("usage", "normalization", value={}), "KeyError: 'mean'"),
        (put("usage", "normalization", "std", value=[1.0, 1.0]), "three numbers each"),
        (put("usage", "normalization", "mean", value="abc"), "three numbers each"),
        (put("usage", "normalization", "mean", value=[SPARSE] * 3), "three numbers each"),
        (put("usage", "normalization", "std", value=[1.0, 0.0, 1.0]), "every std above 0"),
        (put("usage", "normalization", "std", value=[1.0, -1.0, 1.0]), "every std above 0"),
        (put("usage", "normalization", "mean", value=[0.0, float("nan"), 0.0]), "must be finite"),
        (put("usage", "normalization", "std", value=[1.0, float("inf"), 1.0]), "must be finite"),
        (put("usage", "has_difficulty", value="no"), "has_difficulty must be true or false"),
        (put("spec", value=None), "its model description is damaged"),
        (put("spec", "model", value=["dae"]), "its model description is damaged; expected names"),
        (put("spec", "model", value="dea"), r"model\.pt: unknown model 'dea'"),
        (put("spec", "backbone", value=7), "its model description is damaged; expected names"),
        (put("spec", "backbone", value="small4d"), r"model\.pt: unknown backbone 'small4d'"),
        (put("spec", "num_judges", value=10**9), "1 to 100 judges or none"),
        (put("spec", "dropout", value=float("nan")), "a dropout of 0 to 1"),
        (put("spec", "dropout", value="0.5"), "a dropout of 0 to 1"),
        (put("state", value=None), "its weights are missing"),
        (put("state", value={3: torch.zeros(1)}), "its weights are missing"),
        (put("state", LINEAR, value=torch.zeros(256).to_sparse()), f"sparse, .*{LINEAR}"),
        (put("state", LINEAR, value=torch.zeros(256, device="meta")), f"sparse, .*{LINEAR}"),
        (put("state", LINEAR, value=torch.zeros(256, dtype=torch.int64)), f"of number: {LINEAR}"),
        (put("state", LINEAR, value=torch.zeros(256, dtype=torch.complex64)), f"number: {LINEAR}"),
        (put("state", LINEAR, value=torch.zeros(1).expand(2**40)), "wrong shape: head.net.fc1"),
        (put("state", LINEAR, value=0.5), r"wrong shape: head.net.fc1.bias \(\) instead of"),
        (put("format", value="dae_aqa.model/2"), r"of format 'dae_aqa.model/2'; .*update this one"),
        (put("format", value=SPARSE), "not a model file of this project"),
    ],
)
def test_an_edited_file_is_refused(
    edit: Edit, message: str, model_file: Path, tmp_path: Path
) -> None:
    path = edited(model_file, tmp_path, edit)
    with pytest.raises(ModelError, match=message):
        TrainedModel.load(path)
