"""The trained model: what its file says, and files of it that somebody edited."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.scored_windows import LAYOUT, small_trained_model

from dae_aqa.errors import ModelError
from dae_aqa.inference.trained_model import TrainedModel

pytestmark = pytest.mark.filterwarnings("ignore:.*parse tensor invariant:UserWarning")


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
    assert loaded.usage == made.usage
    assert loaded.usage.has_difficulty is has_difficulty
    assert loaded.needs_difficulty is needs


def test_a_file_holds_plain_values_in_the_order_of_their_declaration(tmp_path: Path) -> None:
    """Models with the same weights and clips are the same file, byte for byte."""
    small_trained_model().save(tmp_path / "model.pt")
    usage = torch.load(tmp_path / "model.pt", weights_only=True)["usage"]
    assert repr(usage) == (
        "{'layout': {'starts': [0, 3], 'num_frames': 8, 'stride': 1, 'crop_px': 32, 'size_px': 32,"
        " 'jitter_px': 2}, 'normalization': {'mean': [0.485, 0.456, 0.406], 'std': [0.229, 0.224,"
        " 0.225]}, 'has_difficulty': True, 'precision': 'fp32', 'from_features': False, 'frames': {"
        "'num_frames': 11, 'margin_frames': 0, 'window': 'end', 'width': 48, 'height': 40, "
        "'resize_filter': 'bicubic', 'image_format': 'jpeg', 'jpeg_quality': 92, 'early_end': "
        "'error', 'numbering': 'decoded'}, 'trained_on': {'num_samples': 9, 'final_score': [20.0,"
        " 90.0], 'difficulty': [1.5, 3.5]}}"
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
        (put("usage", value={}), r"2 problem\(s\):\n  layout: missing"),
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
        (put("usage", "precision", value="fp64"), "precision: 'fp64' is not allowed"),
        (put("usage", "frames", "width", value=0), r"frames\.width: 0 is out of range"),
        (put("usage", "frames", "zoom", value=2), r"frames\.zoom: unknown key"),
        (put("usage", "trained_on", value=[1]), "trained_on: expected a section with keys"),
        (put("usage", "features", value=[[1.0]]), "features of training samples are damaged"),
        (put("usage", "features", value=torch.full((3, 2), NAN)), "training samples are damaged"),
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
