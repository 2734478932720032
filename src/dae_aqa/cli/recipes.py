"""Recipes: named sets of parameters, written into `params.yaml` with its comments kept.

`dae-aqa recipe mtl_aqa_dae_mt` switches from the embedded dataset to published settings in one
word; `params.yaml` stays the one file that the stages read. Every recipe sets the same keys, so
that switching back and forth leaves nothing behind.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

from dae_aqa import datasets
from dae_aqa.errors import ParamsError
from dae_aqa.files.whole import written_whole
from dae_aqa.files.yaml_file import parse_yaml
from dae_aqa.options import parse_options
from dae_aqa.params import Params, load_params


def recipe_names() -> list[str]:
    """Return the names of all recipes, in alphabetical order."""
    return sorted(_recipe_files())


def read_recipe(name: str) -> dict[str, Any]:
    """Return what recipe `name` sets: nested keys as in `params.yaml`.

    Raises:
        ParamsError: there is no such recipe.
    """
    if name not in recipe_names():
        raise ParamsError(f"no recipe {name!r}; there are: {', '.join(recipe_names())}.")
    text = _recipe_files()[name].read_text(encoding="utf-8")
    content: dict[str, Any] = YAML().load(text)  # keeps how numbers and lists are written
    return content


def _recipe_files() -> dict[str, Path]:
    """Return the recipes in the folders of the datasets, by name."""
    folder = Path(datasets.__file__).parent
    return {path.stem: path for path in folder.glob("*/recipes/*.yaml")}


def apply_recipe(name: str, *, path: Path) -> list[str]:
    """Write recipe `name` into the params file at `path`; return a line for each changed key.

    The file is checked first and written whole or not at all; comments stay.

    Raises:
        ParamsError: there is no such recipe, or the result would not be valid.
    """
    recipe = read_recipe(name)
    load_params(path)
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.preserve_quotes = True
    yaml.width = 4096  # never fold a line
    document = yaml.load(path.read_text(encoding="utf-8"))
    changes = _merge(document, recipe, prefix="")
    buffer = io.StringIO()
    yaml.dump(document, buffer)
    text, source = buffer.getvalue(), f"{path} with the recipe {name}"
    parse_options(Params, parse_yaml(text, source=source), source=source)
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")
    return changes


def _merge(target: Any, source: Mapping[str, Any], *, prefix: str) -> list[str]:
    changes = []
    for key, value in source.items():
        if isinstance(value, Mapping):
            changes += _merge(target[key], value, prefix=f"{prefix}{key}.")
        elif target[key] != value:
            changes.append(f"{prefix}{key}: {target[key]} -> {value}")
            target[key] = value
    return changes


class _Representer(RoundTripRepresenter):
    """Writes `null`, which a reader sees, where ruamel would leave nothing after the colon."""

    def represent_none(self, data: None) -> ScalarNode:
        del data
        node: ScalarNode = self.represent_scalar("tag:yaml.org,2002:null", "null")
        return node


_Representer.add_representer(type(None), _Representer.represent_none)
