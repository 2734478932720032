"""Split generation: which samples train, which choose the epoch, which are tested once."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from dae_aqa.errors import SplitError
from dae_aqa.splits.options import GroupBy, Source
from dae_aqa.tables.parts import Part
from dae_aqa.wording import first_few

SPLITS = ("train", "val", "test")
COLUMNS = ("sample_id", "split", "part")  # `part` is left out of the file where there is but one
_MAX_SHOWN = 10

logger = logging.getLogger(__name__)


def make_splits(
    annotations: pd.DataFrame,
    *,
    source: Source,
    is_users_own: bool,
    test_fraction: float,
    val_fraction: float,
    group_by: GroupBy,
    seed: int,
) -> pd.DataFrame:
    """Return the split table: `sample_id`, `split` ('train', 'val' or 'test') and `part`.

    The validation samples are always carved from the training samples. Draws are balanced over the
    final score, in that groups are drawn from strata of neighbouring mean scores, so that a small
    validation set still spans the whole range.

    Args:
        annotations: annotations table of the samples that have frames.
        source: 'official' takes the table's own test samples, 'random' draws them; 'auto' takes
            them where every sample has a split of its own and draws where none has.
        is_users_own: the table's own split was written by the user, so that no draw may ignore it.
        test_fraction: share of all samples that a random draw tests.
        val_fraction: share of the training samples that validate.
        group_by: 'video' keeps all samples of a video on one side of a random draw.
        seed: of the draws.

    Raises:
        SplitError: some samples have a split of their own and others have none, the source does
            not fit what the table has, or a split would be empty.
    """
    groups = annotations["video_id" if group_by == "video" else "sample_id"]
    split = pd.Series("train", index=annotations.index)
    has_own = _has_own_split(annotations)
    if source == "official" and not has_own:
        raise SplitError(
            "make_splits.source is official, but the dataset has no split of its own. Fill the "
            "column 'split' for every sample, or set make_splits.source to auto or random."
        )
    if source == "random" and has_own:
        _draw_over_own(annotations, is_users_own=is_users_own)
    keeps_own = has_own and source != "random"
    if keeps_own:
        split[annotations["split"] == "test"] = "test"
    else:
        draw = _draw(annotations, groups, fraction=test_fraction, rng=_rng(seed, "test"))
        split[draw] = "test"
    training = annotations[split == "train"]
    draw = _draw(training, groups[training.index], fraction=val_fraction, rng=_rng(seed, "val"))
    split[draw] = "val"

    table = pd.DataFrame({"sample_id": annotations["sample_id"], "split": split, "part": ""})
    drawn = annotations[split != "test"] if keeps_own else annotations
    _require_all_splits(table, drawn, keeps_own=keeps_own, group_by=group_by)
    logger.info(
        "%s: %s",
        "the dataset's own test samples" if keeps_own else "test samples drawn",
        ", ".join(f"{num} {name}" for name, num in split_counts(table).items()),
    )
    return check_splits(table.sort_values("sample_id", ignore_index=True), source="make_splits")


def check_splits(table: pd.DataFrame, *, source: str) -> pd.DataFrame:
    """Return `table` if it is a valid split table.

    Raises:
        SplitError: wrong columns, an unknown split, a sample listed twice, or an empty split.
    """
    if tuple(table.columns) != COLUMNS:
        raise SplitError(f"{source}: expected the columns {COLUMNS}, got {tuple(table.columns)}.")
    unknown = sorted(set(table["split"]) - set(SPLITS))
    if unknown:
        raise SplitError(f"{source}: unknown split(s) {unknown}; expected {SPLITS}.")
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
    return table


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
    return [part.name for part in sorted({Part.parse(name) for name in table["part"]})]


def rows_of_part(table: pd.DataFrame, part: str) -> pd.DataFrame:
    """Return the rows of one part of the split table."""
    return table[table["part"] == part].reset_index(drop=True)


def _rng(seed: int, purpose: str) -> np.random.Generator:
    """Return a generator of its own for each draw, so that one draw does not shift another."""
    return np.random.default_rng([seed, *purpose.encode()])


def _has_own_split(annotations: pd.DataFrame) -> bool:
    """Return whether every sample has a split of its own, False where none has."""
    unassigned = annotations.loc[annotations["split"] == "", "sample_id"].tolist()
    if unassigned and len(unassigned) < len(annotations):
        raise SplitError(
            f"{len(unassigned)} of {len(annotations)} samples have no split of their own "
            f"({first_few(unassigned, limit=_MAX_SHOWN)}), the others have one. Fill the column "
            "'split' with train or test for every sample, or empty it for all."
        )
    return not unassigned and not annotations.empty


def _draw_over_own(annotations: pd.DataFrame, *, is_users_own: bool) -> None:
    """Refuse to draw where the user named the test samples, else say that their names are ignored.

    Raises:
        SplitError: `is_users_own`.
    """
    num_test = int((annotations["split"] == "test").sum())
    if is_users_own:
        raise SplitError(
            f"make_splits.source is random, but your table's column 'split' names {num_test} test "
            f"and {len(annotations) - num_test} training samples. Set make_splits.source to auto "
            "to keep them as they are, or empty the column to have them drawn."
        )
    logger.warning(
        "make_splits.source is random: test samples are drawn, the dataset's own %d are not kept "
        "apart. Figures cannot be compared with published ones.",
        num_test,
    )


def _require_all_splits(
    table: pd.DataFrame, drawn: pd.DataFrame, *, keeps_own: bool, group_by: str
) -> None:
    """Raise a SplitError that says what to change, if a split is empty.

    Args:
        table: the split table.
        drawn: annotations of the samples that were drawn from.
        keeps_own: whether the test samples are the dataset's own.
        group_by: as in `make_splits`.
    """
    counts = split_counts(table)
    empty = [name for name in SPLITS if counts[name] == 0]
    if not empty:
        return
    where = f"make_splits: no sample in {', '.join(empty)} (of {len(table)} samples)"
    num_videos = drawn["video_id"].nunique() if group_by == "video" else 0
    needed = 2 if keeps_own else 3
    if table.empty:
        advice = "There is no sample at all: data/excluded.csv says which were left out, and why."
    elif keeps_own and counts["test"] in (0, len(table)):
        named = "no" if counts["test"] == 0 else "every"
        advice = f"The dataset's own split names {named} sample for test; correct its column."
    elif group_by == "video" and num_videos < needed:
        videos = "one video" if num_videos == 1 else f"{num_videos} videos"
        advice = (
            f"make_splits.group_by is video, and the {len(drawn)} samples to draw from lie in "
            f"{videos}, which nothing may divide: {needed} would be needed. Set "
            "make_splits.group_by to sample, or give the performances in more videos."
        )
    elif len(drawn) < needed:
        advice = f"At least {needed} samples are needed, to draw {' and '.join(empty)} from."
    else:
        fractions = "val_fraction" if keeps_own else "val_fraction and test_fraction"
        kind = "videos" if group_by == "video" else "samples"
        advice = (
            f"Change make_splits.{fractions} so that each split gets {kind}, or add some {kind}."
        )
    raise SplitError(f"{where}. {advice}")


def _draw(
    samples: pd.DataFrame, groups: pd.Series, *, fraction: float, rng: np.random.Generator
) -> pd.Index:
    """Return the index of about `fraction` of `samples`, whole groups, balanced over the score."""
    mean_scores = samples["final_score"].groupby(groups).mean().sort_values(kind="stable")
    ordered = mean_scores.index.to_numpy()
    num_drawn = round(fraction * len(ordered))
    if num_drawn == 0:
        return samples.index[:0]
    strata = np.array_split(ordered, num_drawn)
    drawn = {stratum[rng.integers(len(stratum))] for stratum in strata}
    return samples.index[groups.isin(drawn)]
