"""Recipes: the same keys in each, valid results, comments kept."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from dae_aqa.cli.recipes import apply_recipe, read_recipe, recipe_names
from dae_aqa.errors import ParamsError
from dae_aqa.options import flatten
from dae_aqa.params import load_params

# Source: arXiv 2111.11029, section 4.1 (Implementation details).
PUBLISHED = {
    "backbone": "i3d",
    "lr": 1e-4,
    "weight_decay": 1e-5,
    "train_batch_size": 8,
    "test_batch_size": 32,
    "num_epochs": 100,
    "temporal_aug": 6,
    "train.optimizer": "adam",
    "train.clips.starts": [0, 10, 20, 30, 40, 50, 60, 70, 80, 87],
    "train.clips.num_frames": 16,
    "train.clips.stride": 1,
    "train.clips.crop_px": 224,
    "train.clips.size_px": 224,
    "train.loss.name": "mse",
    "train.bn": "frozen",
}


def leaves(content: Mapping, prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= leaves(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def comments(text: str) -> list[str]:
    return [line.split("# ", 1)[1] for line in text.splitlines() if "# " in line]


@pytest.fixture
def params_file(repo_root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(repo_root / "params.yaml", tmp_path / "params.yaml"))


def test_names():
    assert {"simdive", "mtl_aqa_dae", "mtl_aqa_dae_mt", "jigsaws_dae_mt", "csv"} <= set(
        recipe_names()
    )


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_sets_the_same_keys(name):
    """Or a switch there and back would leave something behind."""
    assert set(leaves(read_recipe(name))) == set(leaves(read_recipe("simdive")))


@pytest.mark.parametrize("name", recipe_names())
def test_result_holds_the_recipe_and_nothing_else_changes(name, params_file):
    before = flatten(load_params(params_file))
    apply_recipe(name, path=params_file)
    after = flatten(load_params(params_file))
    assert after == before | leaves(read_recipe(name))


def test_simdive_is_what_is_shipped(params_file):
    shipped = params_file.read_bytes()
    assert apply_recipe("simdive", path=params_file) == []
    assert params_file.read_bytes() == shipped


@pytest.mark.parametrize("name", recipe_names())
def test_there_and_back_changes_no_value(name, params_file):
    before = load_params(params_file)
    apply_recipe(name, path=params_file)
    apply_recipe("simdive", path=params_file)
    assert load_params(params_file) == before


@pytest.mark.parametrize("model", ["dae", "dae_mt"])
def test_published_settings(model, params_file):
    apply_recipe(f"mtl_aqa_{model}", path=params_file)
    values = flatten(load_params(params_file))
    published = PUBLISHED | {"model": model, "dataset": "mtl_aqa"}
    assert {key: values[key] for key in published} == published
    assert values["extract_frames.num_frames"] == 103


def test_comments_stay(params_file):
    before = comments(params_file.read_text())
    apply_recipe("mtl_aqa_dae_mt", path=params_file)
    assert comments(params_file.read_text()) == before


def test_file_stays_readable(params_file):
    """Only lines of changed keys change; lists stay in one line, null stays written out."""
    before = params_file.read_text().splitlines()
    changes = apply_recipe("mtl_aqa_dae_mt", path=params_file)
    after = params_file.read_text().splitlines()
    assert len(after) == len(before)
    changed = [line for old, line in zip(before, after, strict=True) if old != line]
    assert len(changed) == len(changes)
    assert any(line.strip().startswith("clip_grad_norm: null ") for line in changed)
    assert any("starts: [0, 10, 20," in line for line in changed)


def test_other_yaml_readers_agree(params_file):
    """DVC reads the file by YAML 1.2; a plain 1.1 reader must not see a text in place of a rate."""
    apply_recipe("mtl_aqa_dae_mt", path=params_file)
    assert yaml.safe_load(params_file.read_text())["lr"] == pytest.approx(1e-4)


def test_changes_are_told(params_file):
    changes = apply_recipe("mtl_aqa_dae", path=params_file)
    assert "model: dae_mt -> dae" in changes
    assert "train.clips.num_frames: 64 -> 16" in changes


def test_unknown_recipe_names_the_known_ones(params_file):
    shipped = params_file.read_bytes()
    with pytest.raises(ParamsError, match=r"no recipe 'dae'; there are: .*mtl_aqa_dae, .*simdive"):
        apply_recipe("dae", path=params_file)
    assert params_file.read_bytes() == shipped


def test_invalid_result_leaves_the_file_alone(params_file):
    """The published shift needs three frames on either side of the window."""
    text = params_file.read_text().replace("margin_frames: 3 ", "margin_frames: 2 ")
    text = text.replace("temporal_aug: 6", "temporal_aug: 4")
    assert "margin_frames: 2 " in text
    params_file.write_text(text)
    with pytest.raises(ParamsError, match=r"temporal_aug: 6 needs more than the 2 frames"):
        apply_recipe("mtl_aqa_dae", path=params_file)
    assert params_file.read_text() == text
    assert [path.name for path in params_file.parent.iterdir()] == ["params.yaml"]


def test_faulty_file_is_refused_first(params_file):
    text = params_file.read_text().replace("num_epochs: 50", "num_epochs: many")
    params_file.write_text(text)
    with pytest.raises(ParamsError, match=r"num_epochs: expected a whole number, got 'many'"):
        apply_recipe("mtl_aqa_dae", path=params_file)
    assert params_file.read_text() == text
