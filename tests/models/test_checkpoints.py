"""Files of weights: what is taken, what is refused, and what the refusal says."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dae_aqa.errors import ModelError
from dae_aqa.models.backbones.i3d import I3D
from dae_aqa.models.build import (
    build_model,
    is_model_file,
    load_i3d,
    load_model,
    load_released_checkpoint,
    save_model,
)
from dae_aqa.models.model import ScoreModel
from dae_aqa.models.options import METHODS, I3dLayout
from dae_aqa.models.targets import Targets

Build = Callable[..., ScoreModel]


class _Payload:
    """A pickle that would run code."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.witness}",)


def _build_with(path: Path, backbone: str = "i3d") -> ScoreModel:
    return build_model(
        model="dae_mt",
        backbone=backbone,
        backbone_weights=path,
        pretrained=False,
        scoring_rule=None,
        num_judges=None,
        dropout=0.0,
    )


def _load_released(path: Path) -> ScoreModel:
    return load_released_checkpoint(path, model="dae_mt")


@pytest.mark.parametrize("load", [load_i3d, load_model, _build_with, _load_released])
def test_code_in_a_pickle_is_refused_and_not_run(
    load: Callable[[Path], object], tmp_path: Path
) -> None:
    witness = tmp_path / "ran"
    path = tmp_path / "evil.pt"
    torch.save({"Conv3d_1a_7x7.conv3d.weight": _Payload(witness)}, path)
    with pytest.raises(ModelError, match=r"evil\.pt: refused, since it holds Python objects"):
        load(path)
    path.write_bytes(pickle.dumps(_Payload(witness)))
    with pytest.raises(ModelError, match=r"evil\.pt: "):
        load(path)
    assert not witness.exists()


def thin_i3d(layout: I3dLayout) -> dict[str, torch.Tensor]:
    """Return weights under the names of a published layout, small: a tensor repeats one number."""
    with torch.device("meta"):
        tensors = I3D(layout=layout).state_dict()
    branches = {"b0": "branch_0", "b1a": "branch_1.0", "b1b": "branch_1.1"}
    branches |= {"b2a": "branch_2.0", "b2b": "branch_2.1", "b3b": "branch_3.1", "bn": "batch3d"}
    state = {}
    for number, (name, tensor) in enumerate(tensors.items()):
        if layout == "model_rgb":
            name = ".".join(branches.get(part, part) for part in name.split("."))
            name = name[0].lower() + name[1:]
        state[name] = torch.tensor(number + 1).to(tensor.dtype).expand(tensor.shape)
    return state


@pytest.mark.parametrize("is_whole_checkpoint", [False, True])
@pytest.mark.parametrize("layout", ["inception", "model_rgb"])
def test_a_model_computes_in_the_layout_of_its_weights(
    layout: I3dLayout, is_whole_checkpoint: bool, tmp_path: Path
) -> None:
    path, state = tmp_path / "i3d.pt", thin_i3d(layout)
    torch.save({"i3d": state, "dae": {}} if is_whole_checkpoint else state, path)
    built = _build_with(path)
    assert isinstance(built.backbone, I3D)
    assert (built.spec.i3d_layout, built.backbone.layout) == (layout, layout)
    loaded = built.backbone.state_dict().values()
    for number, (tensor, published) in enumerate(zip(loaded, state.values(), strict=True)):
        assert torch.equal(tensor, published), number


def test_a_model_goes_on_in_the_layout_of_the_model_that_it_starts_from(tmp_path: Path) -> None:
    torch.save(thin_i3d("model_rgb"), tmp_path / "i3d.pt")
    save_model(_build_with(tmp_path / "i3d.pt"), tmp_path / "model.pt", usage={})
    built = _build_with(tmp_path / "model.pt")
    assert isinstance(built.backbone, I3D)
    assert (built.spec.i3d_layout, built.backbone.layout) == ("model_rgb", "model_rgb")


def test_a_missing_file_says_where_the_weights_are_published(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"gone\.pt: no such file.*piergiaj.*train.backbone_weights"
    ):
        load_i3d(tmp_path / "gone.pt")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_truncated_file_is_named(
    legacy: bool, i3d_states: dict[str, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    path = tmp_path / "half.pt"
    torch.save(i3d_states["inception"], path, _use_new_zipfile_serialization=not legacy)
    content = path.read_bytes()
    for share in (0.5, 0.001, 0.0):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ModelError, match=r"half\.pt: .*expected a file of tensors"):
            load_i3d(path)


@pytest.mark.parametrize("load", [load_model, _load_released])
def test_every_loader_names_a_truncated_file(
    load: Callable[[Path], object], small_model: Build, tmp_path: Path
) -> None:
    path = tmp_path / "half.pt"
    save_model(small_model("dae"), path, usage={})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ModelError, match=r"half\.pt: .*expected a file of tensors"):
        load(path)


def test_a_released_checkpoint_with_another_head_is_told_apart(
    i3d_states: dict[str, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    path = tmp_path / "usdl.pth"
    head = {"module.fc1.weight": torch.zeros(256, 1024), "module.last.weight": torch.zeros(1)}
    torch.save({"i3d": i3d_states["inception"], "dae": head}, path)
    with pytest.raises(
        ModelError, match=r"usdl\.pth \(dae\): does not fit GaussianMlp.*unknown: last\.weight"
    ):
        _load_released(path)
    torch.save({"i3d": i3d_states["model_rgb"], "dae": {7: torch.zeros(1)}}, path)
    with pytest.raises(ModelError, match=r"usdl\.pth \(dae\): does not fit .*unknown: 7"):
        _load_released(path)
    with pytest.raises(ModelError, match="is a 'dae' or a 'dae_mt', not a 'mlp'"):
        load_released_checkpoint(path, model="mlp")


def test_other_architectures_are_told_apart(
    i3d_states: dict[str, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    path = tmp_path / "other.pt"
    torch.save({"layer1.0.conv1.weight": torch.zeros(2)}, path)
    with pytest.raises(ModelError, match=r"not the weights of an I3D; .*got layer1\.0\.conv1"):
        load_i3d(path)
    state = dict(i3d_states["inception"])
    del state["Mixed_4c.b2a.bn.bias"]
    state["Mixed_9z.weight"] = torch.zeros(1)
    state["Mixed_3b.b0.bn.bias"] = torch.zeros(3)
    torch.save(state, path)
    with pytest.raises(
        ModelError,
        match=r"Missing: Mixed_4c.b2a.bn.bias; unknown: Mixed_9z.weight; "
        r"wrong shape: Mixed_3b.b0.bn.bias \(3,\) instead of \(64,\)",
    ):
        load_i3d(path)
    torch.save([torch.zeros(2)], path)
    with pytest.raises(ModelError, match="holds a list; expected a file of tensors"):
        load_i3d(path)
    torch.save(dict.fromkeys(i3d_states["inception"], 3), path)
    with pytest.raises(ModelError, match="classifier's tensor"):
        load_i3d(path)


def test_weights_that_are_not_finite_are_refused(
    i3d_states: dict[str, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    state = dict(i3d_states["model_rgb"])
    state["mixed_5c.branch_0.batch3d.bias"] = torch.full((384,), float("nan"))
    path = tmp_path / "nan.pt"
    torch.save(state, path)
    with pytest.raises(ModelError, match=r"NaN or infinity in Mixed_5c\.b0\.bn\.bias"):
        load_i3d(path)


def test_parallel_prefixes_and_old_files_load(
    i3d_states: dict[str, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    path = tmp_path / "old.pt"
    prefixed = {f"module.{key}": value for key, value in i3d_states["model_rgb"].items()}
    torch.save(prefixed, path, _use_new_zipfile_serialization=False)
    net = load_i3d(path)
    assert net.layout == "model_rgb"
    weight = net.state_dict()["Mixed_3b.b1b.conv3d.weight"]
    assert torch.equal(weight, i3d_states["model_rgb"]["mixed_3b.branch_1.1.conv3d.weight"])


def test_released_checkpoints_need_both_parts(tmp_path: Path) -> None:
    path = tmp_path / "part.pt"
    torch.save({"i3d": {}, "epoch": 1}, path)
    with pytest.raises(
        ModelError, match=r"not a released DAE checkpoint; .*got the keys epoch, i3d"
    ):
        load_released_checkpoint(path, model="dae")


@pytest.mark.parametrize("name", list(METHODS))
def test_a_saved_model_predicts_the_same(
    name: str, small_model: Build, dives: Targets, tmp_path: Path
) -> None:
    model = small_model(name)
    model.head.fit_to(dives, standardize=True)
    model(torch.randn(4, 1, 3, 8, 32, 32))  # moves the batch norms' statistics
    model.eval()
    clips = torch.randn(2, 1, 3, 8, 32, 32)
    with torch.no_grad():
        before = model.predict(model(clips), torch.tensor([3.0, 3.2]))
    model.fit_sigma_scale(before, dives.take(torch.tensor([0, 1])))
    path = tmp_path / "models/model.pt"
    save_model(model, path, usage={"clips": {"starts": [0]}})
    loaded, usage = load_model(path)
    assert usage == {"clips": {"starts": [0]}}
    assert not loaded.training
    assert loaded.spec == model.spec
    with torch.no_grad():
        expected = model.predict(model(clips), torch.tensor([3.0, 3.2]))
        got = loaded.predict(loaded(clips), torch.tensor([3.0, 3.2]))
    assert torch.equal(got.mu, expected.mu)
    assert torch.equal(got.sigma, expected.sigma)
    assert [file.name for file in path.parent.iterdir()] == ["model.pt"]


def test_a_saved_backbone_starts_another_model(small_model: Build, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    model = small_model("dae")
    save_model(model, path, usage={})
    built = _build_with(path, backbone="small3d")
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(built.backbone.state_dict()[key], value)
    with pytest.raises(ModelError, match="holds the backbone 'small3d' where 'i3d' is asked for"):
        _build_with(path)


def test_other_files_are_no_model_files(
    i3d_states: dict[str, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    path = tmp_path / "i3d.pt"
    torch.save(i3d_states["inception"], path)
    with pytest.raises(ModelError, match="not a model file of this project"):
        load_model(path)
    torch.save({"format": "dae_aqa.model/1", "spec": {"model": "dae"}, "state": {}}, path)
    with pytest.raises(ModelError, match="its model description is damaged"):
        load_model(path)
    spec = {"model": "dae", "backbone": "small3d", "i3d_layout": None, "dropout": 0.0}
    spec |= {"scoring_rule": None, "num_judges": None}
    torch.save({"format": "dae_aqa.model/1", "spec": spec}, path)
    with pytest.raises(ModelError, match="its weights are missing"):
        load_model(path)
    with pytest.raises(ModelError, match=r"i3d\.pt: its weights are missing"):
        _build_with(path, backbone="small3d")
    torch.save(i3d_states["inception"], path)
    with pytest.raises(ModelError, match=r"i3d\.pt: does not fit Small3d.* Missing: "):
        _build_with(path, backbone="small3d")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model", ["dae"], r"model: expected a text, got \['dae'\]"),
        ("model", "dea", r"model: 'dea' is not allowed \(did you mean 'dae'\?\)"),
        ("model", "base", "model: 'base' is not allowed"),  # a module beside the methods
        ("model", "../dae", "model: '../dae' is not allowed"),
        ("backbone", 7, "backbone: expected a text, got 7"),
        ("backbone", "small4d", r"backbone: 'small4d' is not allowed \(did you mean 'small3d'\?\)"),
        ("i3d_layout", "inception", "i3d_layout: 'inception' does not fit the backbone 'small3d'"),
        ("i3d_layout", "caffe", "'caffe' is not allowed.*one of: inception, model_rgb"),
        ("scoring_rule", "gym", "scoring_rule: 'gym' is not allowed; expected one of: diving"),
        ("num_judges", 10**9, "num_judges: 1000000000 is out of range; .*>= 1 and <= 100"),
        ("num_judges", 0, "num_judges: 0 is out of range"),
        ("num_judges", True, "num_judges: expected a whole number, got True"),
        ("dropout", float("nan"), "dropout: expected a finite number"),
        ("dropout", 1.0, "dropout: 1.0 is out of range; expected a number >= 0 and <= 0.95"),
        ("dropout", "0.5", "dropout: expected a number, got '0.5'"),
        ("depth", 3, "depth: unknown key"),
    ],
)
def test_an_edited_description_is_refused(
    key: str, value: object, message: str, small_model: Build, tmp_path: Path
) -> None:
    path = tmp_path / "model.pt"
    save_model(small_model("dae"), path, usage={})
    content = torch.load(path, weights_only=True)
    content["spec"][key] = value
    torch.save(content, path)
    with pytest.raises(
        ModelError,
        match=rf"model\.pt: its model description is damaged; train it again\. (?s:.*){message}",
    ):
        load_model(path)


def test_an_i3d_without_its_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    spec = {"model": "dae", "backbone": "i3d", "i3d_layout": None, "dropout": 0.0}
    spec |= {"scoring_rule": None, "num_judges": None}
    torch.save({"format": "dae_aqa.model/1", "spec": spec, "state": {}, "usage": {}}, path)
    with pytest.raises(ModelError, match="i3d_layout: None does not fit the backbone 'i3d'"):
        load_model(path)


def test_a_file_of_a_later_format_names_it(small_model: Build, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save_model(small_model("dae"), path, usage={})
    content = torch.load(path, weights_only=True)
    torch.save(content | {"format": "dae_aqa.model/7"}, path)
    for load in (load_model, is_model_file, _build_with):
        with pytest.raises(
            ModelError,
            match=r"model\.pt: a model file of format 'dae_aqa\.model/7'; this version of dae-aqa "
            r"reads 'dae_aqa\.model/1'\. A later version wrote it: update this one",
        ):
            load(path)


def test_a_compressed_file_is_refused_before_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    torch.save({"a": torch.zeros(2**20)}, path)
    with zipfile.ZipFile(path) as archive:
        content = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    assert path.stat().st_size < 10_000  # of 4 MB
    with pytest.raises(ModelError, match=r"bomb\.pt: refused, since .*/data/0.* is compressed"):
        load_i3d(path)


def test_one_damaged_byte_of_a_model_file_is_noticed(small_model: Build, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save_model(small_model("dae"), path, usage={})
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for position in rng.integers(len(content) // 4, len(content) // 2, 5):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"model\.pt"):
            load_model(path)
