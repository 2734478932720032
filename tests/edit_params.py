"""Changing single values of a params.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml


def edit_params(changes: Mapping[str, object], *, path: Path = Path("params.yaml")) -> None:
    """Set the dotted keys of `changes` in the file at `path`; its comments go."""
    content = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        *sections, name = key.split(".")
        target = content
        for section in sections:
            target = target[section]
        target[name] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False))
