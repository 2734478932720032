"""Split generation: which samples train, which choose the epoch, which are tested once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from dae_aqa.errors import SplitError
from dae_aqa.splits.options import GroupBy, Source, SplitOptions
from dae_aqa.tables.parts import Part
from dae_aqa.wording import first_few

SPLITS = ("train", "val", "test")
COLUMNS = ("sample_id", "split", "part")  # `part` is left out of the file where there is but one
_MAX_SHOWN = 10
_FEWEST_GROUPS = 3  # one each to train, to validate and to test

Protocol = Literal["own folds", "own split", "drawn folds", "drawn"]  # whose the test samples are
_OWN: dict[str, Protocol] = {"fold": "own folds", "split": "own split"}  # by the table's column
_FILL_WITH = {"split": " with train or test"}
_COLUMN_OF = {"video": "video_id", "group": "group"}

logger = logging.getLogger(__name__)


def make_splits(
    annotations: pd.DataFrame, *, options: SplitOptions, is_users_own: bool, seed: int
) -> pd.DataFrame:
    """Return the split table: `sample_id`, `split` ('train', 'val' or 'test') and `part`.

    Each task of the table is a part, or several where it has folds: each fold is a part that tests
    its own samples and trains on the other folds' samples. Validation samples are always carved
    from the training samples of their part. Draws are balanced over the final score, in that groups
    are drawn from strata of neighbouring mean scores, so that a small validation set still spans
    the whole range.

    `options.source` says where the test samples come from:

    - `official`: the dataset's own folds, or its own test samples where it has no folds;
    - `folds`: drawn folds, so that every sample is tested once per repeat;
    - `random`: drawn once;
    - `auto`: the dataset's own where every sample has them; else folds where a task has fewer than
      `options.folds_below` samples; else drawn once.

    Args:
        annotations: annotations table of the samples that have frames.
        options: how to split.
        is_users_own: the table's own split was written by the user, so that no draw may ignore it.
        seed: of the draws.

    Raises:
        SplitError: some samples have a split, a fold or a group of their own and others have none,
            the source does not fit what the table has, or a split would be empty.
    """
    protocol = _protocol(annotations, options, is_users_own=is_users_own)
    groups = _groups(annotations, options.group_by)
    draw = partial(_part_table, groups=groups, protocol=protocol, options=options, seed=seed)
    tables = []
    for task, rows in annotations.groupby("task", sort=True):
        whole = Part(task=str(task))
        for part, test in _tests_of(
            rows, groups[rows.index], whole, protocol, options=options, seed=seed
        ):
            tables.append(draw(rows, part, test))
    if not tables:  # no sample at all: the error says what to do
        tables = [draw(annotations, Part(), annotations.index)]
    table = pd.concat(tables, ignore_index=True)
    _log(table, protocol)
    return check_splits(table, source="make_splits")


def _protocol(annotations: pd.DataFrame, options: SplitOptions, *, is_users_own: bool) -> Protocol:
    """Return where the test samples come from, after checking that the table has them."""
    own: Protocol | None = None
    for column, protocol in _OWN.items():
        if own is None and _is_filled(annotations, column):
            own = protocol
    if options.source == "official" and own is None:
        raise SplitError(
            "make_splits.source is official, but the dataset has no split of its own. Fill the "
            "column 'split' for every sample, or set make_splits.source to auto, folds or random."
        )
    if options.source in ("random", "folds") and own is not None:
        _draw_over_own(annotations, source=options.source, is_users_own=is_users_own)
    if options.source in ("official", "auto") and own is not None:
        return own
    smallest = annotations.groupby("task").size().min()
    if options.source == "folds" or (options.source == "auto" and smallest < options.folds_below):
        return "drawn folds"
    return "drawn"


def _groups(annotations: pd.DataFrame, group_by: GroupBy) -> pd.Series:
    """Return the name of what each sample belongs to, which no draw divides."""
    if group_by == "group" and _is_filled(annotations, "group"):
        return annotations["group"]
    if group_by == "group":
        logger.info("no sample has a group: each may be drawn by itself")
    return annotations["video_id" if group_by == "video" else "sample_id"]


def _tests_of(
    rows: pd.DataFrame,
    groups: pd.Series,
    whole: Part,
    protocol: Protocol,
    *,
    options: SplitOptions,
    seed: int,
) -> Iterator[tuple[Part, pd.Index]]:
    """Yield the parts of one task, each with the index of its test samples.

    Args:
        rows: annotations of the task.
        groups: of these samples.
        whole: the part that the task is where it has no folds.
        protocol: where the test samples come from.
        options: how to split.
        seed: of the draws.
    """
    match protocol:
        case "own folds":
            for fold, of_fold in rows.groupby("fold", sort=True):
                yield replace(whole, fold=str(fold)), of_fold.index
        case "own split":
            yield whole, rows.index[rows["split"] == "test"]
        case "drawn":
            rng = _rng(seed, "test", whole)
            yield whole, _draw(rows, groups, fraction=options.test_fraction, rng=rng)
        case "drawn folds":
            for number in range(1, options.num_repeats + 1):
                repeat = replace(whole, repeat=number if options.num_repeats > 1 else 0)
                folds = _draw_folds(rows, groups, repeat, options=options, seed=seed)
                for fold in sorted(set(folds)):
                    yield replace(repeat, fold=str(fold)), rows.index[folds == fold]


def _part_table(
    rows: pd.DataFrame,
    part: Part,
    test: pd.Index,
    *,
    groups: pd.Series,
    protocol: Protocol,
    options: SplitOptions,
    seed: int,
) -> pd.DataFrame:
    """Return the rows of one part, its validation samples carved from its training samples.

    Args:
        rows: annotations of the part's task.
        part: the part.
        test: index of its test samples.
        groups: what no draw divides, of all samples.
        protocol: where the test samples come from.
        options: how to split.
        seed: of the draws.
    """
    split = pd.Series("train", index=rows.index)
    split[test] = "test"
    training = rows[split == "train"]
    val = _draw(
        training,
        groups[training.index],
        fraction=options.val_fraction,
        rng=_rng(seed, "val", part),
        at_least_one=protocol == "drawn folds",
    )
    split[val] = "val"
    table = pd.DataFrame({"sample_id": rows["sample_id"], "split": split, "part": part.name})
    drawn = rows if protocol.startswith("drawn") else training
    _require_all_splits(table, drawn, part=part, protocol=protocol, group_by=options.group_by)
    return table.sort_values("sample_id", ignore_index=True)


def _log(table: pd.DataFrame, protocol: Protocol) -> None:
    names = part_names(table)
    counts = {name: split_counts(rows_of_part(table, name)) for name in names}
    if names == [""]:
        logger.info(
            "%s: %s",
            "the dataset's own test samples" if protocol == "own split" else "test samples drawn",
            ", ".join(f"{num} {name}" for name, num in counts[""].items()),
        )
        return
    logger.info("%d parts, each trained and tested by itself:", len(names))
    for name, of_part in counts.items():
        logger.info("  %s: %s", name, ", ".join(f"{num} {key}" for key, num in of_part.items()))


def check_splits(table: pd.DataFrame, *, source: str) -> pd.DataFrame:
    """Return `table` if it is a valid split table.

    Raises:
        SplitError: wrong columns, an unknown split or part, a sample that a part lists twice or
            that two parts test, or a part with an empty split.
    """
    if tuple(table.columns) != COLUMNS:
        raise SplitError(f"{source}: expected the columns {COLUMNS}, got {tuple(table.columns)}.")
    unknown = sorted(set(table["split"]) - set(SPLITS))
    if unknown:
        raise SplitError(f"{source}: unknown split(s) {unknown}; expected {SPLITS}.")
    try:
        names = part_names(table)
    except ValueError as error:
        raise SplitError(f"{source}: {error}. Run `dvc repro make_splits`.") from error
    for name in names:
        _check_part(rows_of_part(table, name), source=f"{source}, part {name}" if name else source)
    _check_tested_once(table, source=source)
    return table


def _check_part(table: pd.DataFrame, *, source: str) -> None:
    twice = table.loc[table["sample_id"].duplicated(), "sample_id"].tolist()
    if twice:
        raise SplitError(
            f"{source}: sample(s) in more than one split: {first_few(twice, limit=_MAX_SHOWN)}."
        )
    empty = [name for name, num in split_counts(table).items() if num == 0]
    if empty:
        raise SplitError(
            f"{source}: no sample in {', '.join(empty)} (of {len(table)} samples). "
            "Run `dvc repro make_splits`."
        )


def _check_tested_once(table: pd.DataFrame, *, source: str) -> None:
    """Raise a SplitError where two parts test a sample, unless folds were drawn repeatedly."""
    tested = table[table["split"] == "test"]
    repeat = tested["part"].map(lambda name: Part.parse(name).repeat)
    problems = [
        f"{sample_id} in {' and '.join(rows['part'])}"
        for (sample_id, _), rows in tested.groupby(["sample_id", repeat])
        if len(rows) > 1
    ]
    if problems:
        raise SplitError(
            f"{source}: {len(problems)} sample(s) are tested in two parts, so that pooled figures "
            f"would count them twice: {first_few(problems, limit=_MAX_SHOWN)}. Run `dvc repro "
            "make_splits`."
        )


def split_counts(table: pd.DataFrame) -> dict[str, int]:
    """Return the number of samples of each split, 0 included."""
    return {name: int((table["split"] == name).sum()) for name in SPLITS}


def read_splits(path: Path) -> pd.DataFrame:
    """Read and check the split table at `path`.

    Raises:
        SplitError: the file is missing, is no CSV table, or `check_splits` finds a fault.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise SplitError(f"{path}: no split table. Run `dvc repro make_splits`.") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise SplitError(
            f"{path}: not a readable CSV table ({error}). Run `dvc repro make_splits`."
        ) from error
    if "part" not in table.columns:
        table["part"] = ""
    return check_splits(table, source=str(path))


def write_splits(table: pd.DataFrame, path: Path) -> None:
    """Write the checked split table to `path`."""
    if (table["part"] == "").all():
        table = table.drop(columns="part")
    table.to_csv(path, index=False, lineterminator="\n")


def part_names(table: pd.DataFrame) -> list[str]:
    """Return the names of the parts in the order in which they are trained; `['']` for one."""
    parts = {Part.parse(name) for name in table["part"]}
    return [part.name for part in sorted(parts, key=lambda part: part.place)]


def rows_of_part(table: pd.DataFrame, part: str) -> pd.DataFrame:
    """Return the rows of one part of the split table."""
    return table[table["part"] == part].reset_index(drop=True)


def _rng(seed: int, purpose: str, part: Part) -> np.random.Generator:
    """Return a generator of its own for each draw, so that one draw does not shift another."""
    return np.random.default_rng([seed, *f"{purpose} {part.name}".rstrip().encode()])


def _is_filled(annotations: pd.DataFrame, column: str) -> bool:
    """Return whether every sample has a value in `column`, False where none has.

    Raises:
        SplitError: some have one.
    """
    without = annotations.loc[annotations[column] == "", "sample_id"].tolist()
    if without and len(without) < len(annotations):
        raise SplitError(
            f"{len(without)} of {len(annotations)} samples have no {column} of their own "
            f"({first_few(without, limit=_MAX_SHOWN)}), the others have one. Fill the column "
            f"{column!r}{_FILL_WITH.get(column, '')} for every sample, or empty it for all."
        )
    return not without and not annotations.empty


def _draw_over_own(annotations: pd.DataFrame, *, source: Source, is_users_own: bool) -> None:
    """Refuse to draw where the user named the test samples, else say that their names are ignored.

    Raises:
        SplitError: `is_users_own`.
    """
    num_test = int((annotations["split"] == "test").sum())
    if is_users_own:
        raise SplitError(
            f"make_splits.source is {source}, but your table's column 'split' names {num_test} "
            f"test and {len(annotations) - num_test} training samples. Set make_splits.source to "
            "auto to keep them as they are, or empty the column to have them drawn."
        )
    logger.warning(
        "make_splits.source is %s: test samples are drawn, the dataset's own %sare not kept "
        "apart. Figures cannot be compared with published ones.",
        source,
        f"{num_test} " if num_test else "folds ",
    )


def _require_all_splits(
    table: pd.DataFrame, drawn: pd.DataFrame, *, part: Part, protocol: Protocol, group_by: GroupBy
) -> None:
    """Raise a SplitError that says what to change, if a split is empty.

    Args:
        table: the rows of one part.
        drawn: annotations of the samples that were drawn from.
        part: the part.
        protocol: where its test samples come from.
        group_by: as in `make_splits`.
    """
    counts = split_counts(table)
    empty = [name for name in SPLITS if counts[name] == 0]
    if not empty:
        return
    of_part = f" of part {part.name}" if part.name else ""
    where = f"make_splits: no sample in {', '.join(empty)} (of {len(table)} samples{of_part})"
    keeps_own = protocol in _OWN.values()
    column = _COLUMN_OF.get(group_by, "sample_id")
    num_groups = drawn[column].nunique()
    needed = 2 if keeps_own else 3
    if table.empty:
        advice = "There is no sample at all: data/excluded.csv says which were left out, and why."
    elif keeps_own and counts["test"] in (0, len(table)):
        named = "no" if counts["test"] == 0 else "every"
        advice = f"The dataset's own split names {named} sample for test; correct its column."
    elif column != "sample_id" and num_groups < needed:
        kinds = f"one {group_by}" if num_groups == 1 else f"{num_groups} {group_by}s"
        advice = (
            f"make_splits.group_by is {group_by}, and the {len(drawn)} samples to draw from lie in "
            f"{kinds}, which nothing may divide: {needed} would be needed. Set "
            f"make_splits.group_by to sample, or give the performances in more {group_by}s."
        )
    elif len(drawn) < needed:
        advice = f"At least {needed} samples are needed, to draw {' and '.join(empty)} from."
    else:
        fractions = "val_fraction" if keeps_own else "val_fraction and test_fraction"
        kind = f"{group_by}s"
        advice = (
            f"Change make_splits.{fractions} so that each split gets {kind}, or add some {kind}."
        )
    raise SplitError(f"{where}. {advice}")


def _draw(
    samples: pd.DataFrame,
    groups: pd.Series,
    *,
    fraction: float,
    rng: np.random.Generator,
    at_least_one: bool = False,
) -> pd.Index:
    """Return the index of about `fraction` of `samples`, whole groups, balanced over the score."""
    ordered = _by_mean_score(samples, groups)
    num_drawn = round(fraction * len(ordered))
    if at_least_one and len(ordered) > 1:
        num_drawn = max(num_drawn, 1)
    if num_drawn == 0:
        return samples.index[:0]
    strata = np.array_split(ordered, num_drawn)
    drawn = {stratum[rng.integers(len(stratum))] for stratum in strata}
    return samples.index[groups.isin(drawn)]


def _draw_folds(
    samples: pd.DataFrame, groups: pd.Series, part: Part, *, options: SplitOptions, seed: int
) -> pd.Series:
    """Return the fold of each sample, counted from 1: whole groups, balanced over the score.

    The groups are put in the order of their mean scores. Of each run of neighbours, one goes to
    each fold. The last, shorter run goes to the folds that have the fewest samples.

    Raises:
        SplitError: there are fewer groups than folds, and `options.source` is not auto.
    """
    ordered = _by_mean_score(samples, groups)
    num_folds = min(options.num_folds, len(ordered))
    if num_folds < max(options.num_folds, 3):
        of_task = f" of {part.task}" if part.task else ""
        kind = "samples" if options.group_by == "sample" else f"{options.group_by}s"
        few = (
            f"make_splits.num_folds is {options.num_folds}, but the {len(samples)} samples{of_task}"
            f" lie in {len(ordered)} {kind} that nothing may divide"
        )
        if options.source != "auto" or num_folds < _FEWEST_GROUPS:
            raise SplitError(
                f"{few}; at least {_FEWEST_GROUPS} are needed, one each to train, to validate and "
                "to test. Lower make_splits.num_folds, or give more of them."
            )
        logger.warning("%s: %d folds are drawn", few, num_folds)
    rng = _rng(seed, "folds", part)
    sizes = groups.value_counts()
    fold_of: dict[str, int] = {}
    loads = np.zeros(num_folds, dtype=int)
    for first in range(0, len(ordered), num_folds):
        run = ordered[first : first + num_folds]
        tie_break = rng.permutation(num_folds)
        folds = np.lexsort((tie_break, loads if len(run) < num_folds else 0 * loads))
        for group, fold in zip(run, folds, strict=False):
            fold_of[group] = int(fold) + 1
            loads[fold] += sizes[group]
    return groups.map(fold_of)


def _by_mean_score(samples: pd.DataFrame, groups: pd.Series) -> npt.NDArray[np.object_]:
    """Return the groups in the order of their mean scores."""
    means = samples["final_score"].groupby(groups).mean().sort_values(kind="stable")
    return means.index.to_numpy()
