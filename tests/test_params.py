"""Typed params.yaml: every fault is named, with the key and a next step."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml
from ruamel.yaml import YAML

from dae_aqa.errors import ParamsError
from dae_aqa.params import Params, flatten, load_params, parse_params

SHIPPED = Path(__file__).resolve().parents[1] / "params.yaml"
Change = Callable[..., dict[str, Any]]


def yaml_leaves(content: Mapping, prefix: str = "") -> set[str]:
    keys: set[str] = set()
    for key, value in content.items():
        keys |= (
            yaml_leaves(value, f"{prefix}{key}.")
            if isinstance(value, Mapping)
            else {f"{prefix}{key}"}
        )
    return keys


def typed_leaves(cls: type, prefix: str = "") -> set[str]:
    keys: set[str] = set()
    for name, annotation in get_type_hints(cls).items():
        keys |= (
            typed_leaves(annotation, f"{prefix}{name}.")
            if dataclasses.is_dataclass(annotation)
            else {f"{prefix}{name}"}
        )
    return keys


@pytest.fixture
def changed() -> Change:
    """Return the shipped content with some leaves replaced, by dotted key."""
    shipped = yaml.safe_load(SHIPPED.read_text())

    def change(changes: dict[str, object]) -> dict[str, Any]:
        content = copy.deepcopy(shipped)
        for key, value in changes.items():
            *sections, name = key.split(".")
            target = content
            for section in sections:
                target = target[section]
            target[name] = value
        return content

    return change


def refuse(content: object) -> str:
    with pytest.raises(ParamsError, match=r"^params\.yaml: \d+ problem\(s\):\n") as caught:
        parse_params(Params, content, source="params.yaml")
    return str(caught.value)


def test_typed_fields_and_file_hold_the_same_keys():
    """No default can change a result unseen, and no key of the file is without meaning."""
    assert typed_leaves(Params) == yaml_leaves(yaml.safe_load(SHIPPED.read_text()))


def test_no_field_has_a_default():
    def sections(cls: type) -> list[type]:
        hints = get_type_hints(cls).values()
        return [cls, *(s for h in hints if dataclasses.is_dataclass(h) for s in sections(h))]

    fields = [field for cls in sections(Params) for field in dataclasses.fields(cls)]
    assert len(fields) > 50
    assert all(
        field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        for field in fields
    )


def test_flatten_gives_the_files_values():
    flat = flatten(load_params(SHIPPED))
    content = yaml.safe_load(SHIPPED.read_text())
    assert set(flat) == yaml_leaves(content)
    assert flat["train.clips.starts"] == content["train"]["clips"]["starts"]
    assert flat["train.loss.name"] == content["train"]["loss"]["name"]
    assert flat["evaluate.checkpoint"] is None


@pytest.mark.parametrize("dataset", ["simdive", "mtl_aqa", "csv"])
def test_dataset_params_are_those_of_the_chosen_dataset(changed, dataset):
    params = parse_params(Params, changed({"dataset": dataset}), source="params.yaml")
    assert params.dataset_params is getattr(params.datasets, dataset)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("1E-4", 1e-4), ("2.5e3", 2500.0), ("+.5", 0.5), ("3", 3.0), ("1.", 1.0)],
)
def test_numbers_are_read_as_dvc_reads_them(tmp_path, text, value):
    """A plain YAML 1.1 reader takes `1e-4` for a text."""
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED.read_text().replace("lr: 2.0e-3", f"lr: {text}"))
    assert load_params(path).lr == value
    assert YAML(typ="safe").load(path)["lr"] == value  # the reader that DVC uses


@pytest.mark.parametrize("text", ["'1e-4'", "1e", "e4", "1e-4x", "--1"])
def test_what_is_no_number_stays_a_text(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED.read_text().replace("lr: 2.0e-3", f"lr: {text}"))
    with pytest.raises(ParamsError, match=r"lr: expected a number, got '.*' \(str\)"):
        load_params(path)


def test_unknown_key_suggests_the_meant_one(changed):
    message = refuse(changed({"train.drop_out": 0.1}))
    assert "train.drop_out: unknown key (did you mean 'dropout'?)" in message


def test_unknown_key_without_likeness_lists_the_known(changed):
    message = refuse(changed({"evaluate.zzz": 1}))
    assert "evaluate.zzz: unknown key; known: checkpoint, num_bootstrap, num_worst." in message


def test_unknown_choice_suggests_the_meant_one(changed):
    message = refuse(changed({"model": "dae-mt"}))
    assert "model: 'dae-mt' is not allowed (did you mean 'dae_mt'?)" in message
    assert "expected one of: mlp, dae, dae_mt, dae_judges." in message


def test_missing_key(changed):
    content = changed({})
    del content["train"]["loss"]["beta"]
    assert "train.loss.beta: missing; every key must be in the file." in refuse(content)


def test_missing_section(changed):
    content = changed({})
    del content["make_splits"]
    assert "make_splits: missing" in refuse(content)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("num_epochs", "30", "num_epochs: expected a whole number, got '30' (str)"),
        ("num_epochs", 3.5, "num_epochs: expected a whole number, got 3.5 (float)"),
        ("num_epochs", True, "num_epochs: expected a whole number, got True (bool)"),
        ("lr", True, "lr: expected a number, got True (bool)"),
        ("train.bn", None, "train.bn: None is not allowed"),
        ("train.tracking", 1, "train.tracking: expected true or false, got 1 (int)"),
        ("train.tracking", "yes", "train.tracking: expected true or false, got 'yes' (str)"),
        ("backbone", 3, "backbone: expected a text, got 3 (int)"),
        ("backbone", None, "backbone: expected a text, got None (NoneType)"),
        ("train.backbone_weights", 3, "train.backbone_weights: expected a text, got 3 (int)"),
        ("train.clips.starts", 4, "train.clips.starts: expected a list, got 4."),
        ("train.clips.starts", [4, "a"], "train.clips.starts[1]: expected a whole number"),
        ("train.loss", 3, "train.loss: expected a section with keys, got 3."),
        ("train.loss", None, "train.loss: expected a section with keys, got None."),
        ("model", ["dae"], "model: ['dae'] is not allowed"),
    ],
)
def test_wrong_type(changed, key, value, told):
    assert told in refuse(changed({key: value}))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("lr", 0.0, "> 0"),
        ("lr", -1e-3, "> 0"),
        ("weight_decay", -1e-9, ">= 0"),
        ("train_batch_size", 0, ">= 1"),
        ("num_workers", -1, ">= 0"),
        ("make_splits.test_fraction", 1.01, ">= 0 and <= 1"),
        ("make_splits.val_fraction", 0, "> 0 and <= 0.9"),
        ("extract_frames.jpeg_quality", 101, ">= 1 and <= 100"),
        ("train.early_stopping_patience", 0, ">= 1"),
        ("train.clip_grad_norm", 0, "> 0"),
        ("train.clips.starts", [4, -1], ">= 0"),
        ("evaluate.num_bootstrap", 99, ">= 100"),
    ],
)
def test_out_of_range(changed, key, value, expected):
    message = refuse(changed({key: value}))
    assert f"is out of range; expected a number {expected}." in message
    assert f"  {key}" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("key", ["lr", "weight_decay", "datasets.csv.min_score"])
def test_numbers_are_finite(changed, key, value):
    assert f"  {key}: " in refuse(changed({key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("make_splits.test_fraction", 0),
        ("make_splits.test_fraction", 1),
        ("make_splits.val_fraction", 0.9),
        ("extract_frames.jpeg_quality", 100),
        ("train.clip_grad_norm", None),
        ("train.early_stopping_patience", None),
        ("weight_decay", 0),
    ],
)
def test_limits_themselves_are_allowed(changed, key, value):
    params = parse_params(Params, changed({key: value}), source="params.yaml")
    assert flatten(params)[key] == value


def test_whole_numbers_become_floats(changed):
    lr = parse_params(Params, changed({"lr": 1}), source="params.yaml").lr
    assert lr == 1.0
    assert isinstance(lr, float)


def test_all_faults_are_named_at_once(changed):
    content = changed({"lr": -1, "model": "mpl", "train.bn": "off", "datasets.csv.typo": 1})
    del content["seed"]
    message = refuse(content)
    assert "5 problem(s)" in message
    for key in ("lr", "model", "train.bn", "datasets.csv.typo", "seed"):
        assert f"\n  {key}: " in message


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"temporal_aug": 7}, "temporal_aug: 7 needs more than the 3 frames"),
        ({"train.clips.starts": []}, "train.clips.starts: needs at least one clip start"),
        ({"train.clips.starts": [9]}, "the last clip ends at frame 103, but a sample has only 103"),
        ({"train.clips.num_frames": 51}, "the last clip ends at frame 104"),
        ({"train.clips.crop_px": 257}, "needs a square of 257 px, but frames have 455x256"),
        ({"train.clips.jitter_px": 1}, "needs a square of 264 px"),
        (
            {"train.compile": True, "train.activation_checkpointing": True},
            "train.compile: cannot go together with train.activation_checkpointing",
        ),
    ],
)
def test_values_that_do_not_fit_together(changed, changes, told):
    assert told in refuse(changed(changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"train.clips.starts": [8]},
        {"temporal_aug": 7, "extract_frames.margin_frames": 4},
        {"temporal_aug": 7, "extract_frames.window": "uniform"},
        {"train.clips.crop_px": 224, "train.clips.jitter_px": 4},
    ],
)
def test_values_that_just_fit_together(changed, changes):
    params = parse_params(Params, changed(changes), source="params.yaml")
    assert {key: flatten(params)[key] for key in changes} == changes


def test_missing_file(tmp_path):
    with pytest.raises(ParamsError, match=r"params\.yaml: no such file.*repository's root"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("content", [b"lr: [1", b"lr: \xff\xfe"])
def test_file_that_is_no_yaml(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ParamsError, match=r"params\.yaml: not valid YAML"):
        load_params(path)


@pytest.mark.parametrize("content", ["", "- 1", "just a text"])
def test_file_that_is_no_mapping(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(ParamsError, match=r"the file: expected a section with keys, got "):
        load_params(path)


def test_key_given_twice(tmp_path):
    """The second one would win silently."""
    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED.read_text() + "\nlr: 1.0\n")
    with pytest.raises(ParamsError, match=r"not valid YAML: .*'lr' is given twice"):
        load_params(path)


def test_yaml_cannot_run_code(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("lr: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(ParamsError, match=r"not valid YAML"):
        load_params(path)
