"""`table.yaml`: which rows and seeds the table has, and which parameters each cell is run with."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dae_aqa.errors import ParamsError
from dae_aqa.files.hashing import value_sha256
from dae_aqa.files.yaml_file import read_yaml
from dae_aqa.options import flatten
from dae_aqa.params import PARAMS_FILE, Params
from dae_aqa.params.check import check_params
from dae_aqa.wording import did_you_mean, problem_list, shown

TABLE_FILE = Path("table.yaml")
_SECTIONS = ("seeds", "every_row", "rows")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")  # fit for a branch of Git
_NUM_HASH_DIGITS = 8


@dataclass(frozen=True, kw_only=True)
class CellPlan:
    """What one cell is run with.

    Attributes:
        row: name of its row.
        changes: by dotted key, what differs from params.yaml; the seed is one of them.
        params: all its parameters, checked.
    """

    row: str
    changes: Mapping[str, Any]
    params: Params

    @property
    def seed(self) -> int:
        """The seed of its training."""
        return self.params.seed

    def experiment(self, *, made_from: str) -> str:
        """Return the name of the cell's DVC experiment.

        It ends in a hash of all parameters that the cell uses and of `made_from`: a changed row is
        a new experiment, and the same row finds its own again.

        Example: `table-dae_mt-s0-1a2b3c4d`.
        """
        digest = value_sha256([self.params.used, made_from])[:_NUM_HASH_DIGITS]
        return f"table-{self.row}-s{self.seed}-{digest}"


def read_table_file(path: Path, *, root: Path) -> list[CellPlan]:
    """Return the cells, all rows with the first seed, then all with the second, and so on.

    Args:
        path: the file.
        root: the repository's root; params.yaml is that of the working directory.

    Raises:
        ParamsError: the file has no such form, or the parameters of a row are not valid; every
            fault of every row is named.
    """
    content = read_yaml(path)
    problems = list(_faults(content))
    if problems:
        raise ParamsError(f"{path}: {problem_list(problems)}")
    assert isinstance(content, dict)
    base = read_yaml(PARAMS_FILE)
    if not isinstance(base, dict):
        raise ParamsError(f"{PARAMS_FILE}: expected a section with keys; see `dae-aqa params`.")
    cells: list[CellPlan] = []
    faults: list[str] = []
    for seed in content["seeds"]:
        for row, own in content["rows"].items():
            changes = flatten(content["every_row"] or {}) | flatten(own or {}) | {"seed": seed}
            source = f"row {row!r}"
            unknown = list(_unknown(changes, base, source=source))
            if unknown:
                faults += unknown if seed == content["seeds"][0] else []
                continue
            try:
                params = check_params(_changed(base, changes), source=source, root=root)
            except ParamsError as error:
                faults += [str(error)] if str(error) not in faults else []
                continue
            cells.append(CellPlan(row=row, changes=changes, params=params))
    if faults:
        raise ParamsError(f"{path}, nothing was run: {problem_list(faults)}")
    return cells


def _faults(content: object) -> Iterator[str]:
    if not isinstance(content, dict):
        yield f"expected the sections {', '.join(_SECTIONS)}, got {shown(content)}."
        return
    for key in content:
        if key not in _SECTIONS:
            hint = did_you_mean(key, _SECTIONS)
            yield f"{shown(key)}: unknown{hint}; known: {', '.join(_SECTIONS)}."
    for key in _SECTIONS:
        if key not in content:
            yield f"{key}: missing."
    seeds = content.get("seeds", [0])
    if not isinstance(seeds, list) or not seeds or any(type(seed) is not int for seed in seeds):
        yield f"seeds: expected a list of whole numbers, e.g. [0, 1, 2], got {shown(seeds)}."
    elif len(set(seeds)) < len(seeds):
        yield f"seeds: {shown(seeds)} names a seed twice."
    rows = content.get("rows", {"a": {}})
    if not isinstance(rows, dict) or not rows:
        yield f"rows: expected names with their changes, e.g. `dae: {{model: dae}}`, got {rows!r}."
        rows = {}
    for name in rows:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            yield (
                f"rows: {shown(name)} is no name of a row; use up to 40 letters, digits, - and _, "
                "since experiments are called after it."
            )
    sections = {"every_row": content.get("every_row"), **{f"rows.{k}": v for k, v in rows.items()}}
    for key, changes in sections.items():
        if changes is not None and not isinstance(changes, dict):
            yield f"{key}: expected keys of params.yaml with values, got {shown(changes)}."
        elif "seed" in (changes or {}):
            yield f"{key}.seed: the seeds of all rows stand under `seeds`."


def _unknown(changes: Mapping[str, Any], base: Mapping[str, Any], *, source: str) -> Iterator[str]:
    known = flatten(base)
    for key in changes:
        if key not in known:
            yield f"{source}: {key}: no key of {PARAMS_FILE}{did_you_mean(key, known)}."


def _changed(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    content = copy.deepcopy(dict(base))
    for key, value in changes.items():
        *sections, name = key.split(".")
        target = content
        for section in sections:
            target = target[section]
        target[name] = value
    return content
