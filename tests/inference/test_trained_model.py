"""The trained model: what it says of windows, and files of it that somebody edited."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.packed_samples import MARGIN, draw_frames, write_pack
from tests.scored_windows import LAYOUT, draw_windows, expected_scores, small_trained_model
from tests.tiny_training import BRIGHTNESS, MakeOptions, TinyData

from dae_aqa.clips.layout import ClipLayout
from dae_aqa.clips.options import ClipOptions
from dae_aqa.errors import ModelError
from dae_aqa.inference.predict import predict
from dae_aqa.inference.samples import ScoredSamples, select_samples
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
    layout = LAYOUT.replaced(stride=2, starts=(1, 4), crop_px=28, jitter_px=3)
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


def test_a_model_that_compares_within_a_class_is_told_the_class(
    small_options: MakeOptions, tiny_data: TinyData, tmp_path: Path
) -> None:
    options = small_options({"model": "core", "train.exemplars.by": "action_class"})
    trained, _ = tiny_data.train(options, tmp_path)
    assert trained.needs_action_class
    rows = tiny_data.annotations.set_index("sample_id").loc[["v0", "v1", "v2"]]
    samples = select_samples(
        tiny_data.annotations.assign(action_class="dark"),
        tiny_data.splits,
        split=("val",),
        scoring_rule=None,
        with_judges=False,
    )
    feed = trained.feed(
        samples.sample_ids, frames_dir=tiny_data.frames_dir, num_workers=0, cache=False
    )
    packed = predict(
        trained.model, feed, samples=samples, batch_size=2, precision="fp32", show_progress=False
    )
    drawn = [draw_frames(name, num_frames=10, brightness=BRIGHTNESS[name]) for name in rows.index]
    windows = np.stack(drawn)[:, MARGIN:-MARGIN]
    difficulty = np.array(rows["difficulty"])
    dark, _ = trained.score_frames(windows, difficulty=difficulty, action_class=["dark"] * 3)
    np.testing.assert_allclose(dark, packed.mu.numpy(), rtol=1e-4)
    bright, _ = trained.score_frames(windows, difficulty=difficulty, action_class=["bright"] * 3)
    assert (np.abs(bright / dark - 1) > 1e-3).all()
    with pytest.raises(ModelError, match=r"Give action_class, a name for each of the 3 window"):
        trained.score_frames(windows, difficulty=difficulty)
    with pytest.raises(ModelError, match=r"each of the 3 window\(s\), got 1 name\(s\)"):
        trained.score_frames(windows, difficulty=difficulty, action_class=["dark"])


def test_a_model_without_classes_needs_none_and_takes_them() -> None:
    trained, windows = small_trained_model(), draw_windows(2)
    assert not trained.needs_action_class
    plain = trained.score_frames(windows, difficulty=np.ones(2))
    named = trained.score_frames(windows, difficulty=np.ones(2), action_class=["a", "b"])
    np.testing.assert_array_equal(plain, named)


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
    name: str, pixels: Normalization
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
    made = TrainedModel.with_clips(model, clips, has_difficulty=False)
    layout = ClipLayout(starts=(4, 9), num_frames=8, stride=3, crop_px=50, size_px=40, jitter_px=6)
    assert made == TrainedModel(model, layout, pixels, has_difficulty=False)


def test_a_file_holds_plain_values_in_the_order_of_their_declaration(tmp_path: Path) -> None:
    """Models with the same weights and clips are the same file, byte for byte."""
    small_trained_model().save(tmp_path / "model.pt")
    usage = torch.load(tmp_path / "model.pt", weights_only=True)["usage"]
    assert repr(usage) == (
        "{'layout': {'starts': [0, 3], 'num_frames': 8, 'stride': 1, 'crop_px': 32, 'size_px': 32,"
        " 'jitter_px': 2}, 'normalization': {'mean': [0.485, 0.456, 0.406], 'std': [0.229, 0.224,"
        " 0.225]}, 'has_difficulty': True}"
    )
    (tmp_path / "again").mkdir()
    TrainedModel.load(tmp_path / "model.pt").save(tmp_path / "again/model.pt")
    assert (tmp_path / "again/model.pt").read_bytes() == (tmp_path / "model.pt").read_bytes()


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


SPARSE = torch.sparse_coo_tensor(
    torch.tensor([[0]]), torch.tensor([1.0]), (2**40,), check_invariants=True
)
NAN = float("nan")
LINEAR = "head.net.fc1.bias"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (layout(starts=[]), r"layout\.starts: needs at least one clip start"),
        (layout(starts="abc"), r"layout\.starts: expected a list, got 'abc'"),
        (layout(starts=[0, -1]), r"starts\[1\]: -1 is out of range; .* >= 0 and <= 100000"),
        (layout(starts=[0, 10**9]), r"starts\[1\]: 1000000000 is out of range"),
        (layout(starts=[0.5]), r"starts\[0\]: expected a whole number, got 0\.5 \(float\)"),
        (layout(starts=[True]), r"starts\[0\]: expected a whole number, got True \(bool\)"),
        (layout(starts=[[0]] * 1000), r"1000 problem\(s\):(?s:.*)starts\[0\]: expected a whole"),
        (layout(starts=SPARSE), r"layout\.starts: expected a list, got tensor\("),
        (layout(starts=list(range(1000)), num_frames=3000), "clips of 3000 frames are too many"),
        (layout(num_frames=10**9), r"num_frames: 1000000000 is out of range; .*>= 1 and <= 100000"),
        (layout(num_frames=0), r"num_frames: 0 is out of range; expected a number >= 1"),
        (layout(num_frames=None), r"num_frames: expected a whole number, got None"),
        (layout(num_frames=SPARSE), r"num_frames: expected a whole number, got tensor\("),
        (layout(stride=0), r"stride: 0 is out of range; expected a number >= 1 and <= 100000"),
        (layout(stride=10**12), r"stride: 1000000000000 is out of range"),
        (layout(crop_px=-64), r"crop_px: -64 is out of range; expected a number >= 16 and <= 8192"),
        (layout(crop_px=64.0), r"crop_px: expected a whole number, got 64\.0 \(float\)"),
        (layout(size_px=0), r"size_px: 0 is out of range; expected a number >= 16 and <= 2048"),
        (layout(size_px=10**6), r"size_px: 1000000 is out of range"),
        (layout(jitter_px=-1), r"jitter_px: -1 is out of range; expected a number >= 0"),
        (layout(jitter_px=2000), "2000 on either side of size_px 32 makes more than 2048 px"),
        (layout(zoom=2), r"layout\.zoom: unknown key; known: starts, num_frames"),
        (lambda content: content["usage"]["layout"].pop("stride"), r"layout\.stride: missing"),
        (put("usage", "layout", value=None), r"layout: expected a section with keys, got None"),
        (put("usage", "layout", value=SPARSE), r"layout: expected a section with keys, got tens"),
        (put("usage", "layout", value=[1]), r"layout: expected a section with keys, got \[1\]"),
        (put("usage", "layout", value={}), r"6 problem\(s\):\n  layout\.starts: missing"),
        (put("usage", value={}), r"3 problem\(s\):\n  layout: missing"),
        (put("usage", value=None), "it does not say how it is used"),
        (put("usage", "normalization", value=None), "normalization: expected a section with keys"),
        (put("usage", "normalization", value={}), r"normalization\.mean: missing"),
        (put("usage", "normalization", "std", value=[1.0, 1.0]), r"std\[2\]: missing"),
        (
            put("usage", "normalization", "std", value=[1.0] * 4),
            r"std: 4 items; .* at most 3",
        ),
        (put("usage", "normalization", "mean", value="abc"), r"mean: expected a list, got 'abc'"),
        (put("usage", "normalization", "mean", value=[SPARSE] * 3), r"mean\[0\]: expected a numb"),
        (put("usage", "normalization", "std", value=[1.0, 0.0, 1.0]), r"std\[1\]: 0\.0 .* > 0\.$"),
        (
            put("usage", "normalization", "std", value=[1.0, -1.0, 1.0]),
            r"std\[1\]: -1\.0 is out",
        ),
        (put("usage", "normalization", "mean", value=[0.0, NAN, 0.0]), r"mean\[1\]: .* finite"),
        (put("usage", "normalization", "std", value=[1.0, math.inf, 1.0]), r"std\[1\]: .* finite"),
        (put("usage", "has_difficulty", value="no"), "has_difficulty: expected true or false"),
        (lambda content: content["usage"].pop("has_difficulty"), "has_difficulty: missing"),
        (put("usage", "other", value=3), "other: unknown key; known: layout, normalization, has_d"),
        (put("usage", "seen", value=3), "usable on how its clips are made"),
        (put("spec", value=None), "its model description is damaged"),
        (put("spec", "model", value=["dae"]), r"is damaged; (?s:.*)model: expected a text"),
        (
            put("spec", "model", value="dea"),
            r"model: 'dea' is not allowed \(did you mean 'dae'",
        ),
        (put("spec", "backbone", value=7), r"is damaged; (?s:.*)backbone: expected a text, got 7"),
        (put("spec", "backbone", value="small4d"), "backbone: 'small4d' is not allowed"),
        (put("spec", "num_judges", value=10**9), r"num_judges: .* >= 1 and <= 100"),
        (put("spec", "dropout", value=NAN), "dropout: expected a finite number"),
        (put("spec", "dropout", value="0.5"), "dropout: expected a number, got '0.5'"),
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
