"""Split generation: which samples train, which choose the epoch, which are tested once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from dae_aqa.errors import SplitError

SPLITS = ("train", "val", "test")
COLUMNS = ("sample_id", "split")


def make_splits(
    annotations: pd.DataFrame,
    *,
    source: Literal["official", "random"],
    test_fraction: float,
    val_fraction: float,
    group_by: Literal["sample", "video"],
    seed: int,
) -> pd.DataFrame:
    """Return the split table: columns `sample_id` and `split` ('train', 'val' or 'test').

    The validation samples are always carved from the training samples. Draws are balanced over the
    final score, in that groups are drawn from strata of neighbouring mean scores, so that a small
    validation set still spans the whole range.

    Args:
        annotations: annotations table of the samples that have frames.
        source: 'official' takes the table's own test samples, 'random' draws them.
        test_fraction: share of all samples that a random draw tests.
        val_fraction: share of the training samples that validate.
        group_by: 'video' keeps all samples of a video on one side of a random draw.
        seed: of the draws.

    Raises:
        SplitError: there is no official split, or a split would be empty.
    """
    groups = annotations["video_id" if group_by == "video" else "sample_id"]
    split = pd.Series("train", index=annotations.index)
    if source == "official":
        _require_official(annotations)
        split[annotations["split"] == "test"] = "test"
    else:
        draw = _draw(annotations, groups, fraction=test_fraction, rng=_rng(seed, "test"))
        split[draw] = "test"
    training = annotations[split == "train"]
    draw = _draw(training, groups[training.index], fraction=val_fraction, rng=_rng(seed, "val"))
    split[draw] = "val"

    table = pd.DataFrame({"sample_id": annotations["sample_id"], "split": split})
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
        raise SplitError(f"{source}: sample(s) in more than one split: {', '.join(twice[:10])}.")
    counts = table["split"].value_counts()
    empty = [name for name in SPLITS if counts.get(name, 0) == 0]
    if empty:
        raise SplitError(
            f"{source}: no sample in {', '.join(empty)} (of {len(table)} samples). "
            "Raise make_splits.val_fraction or test_fraction, or add samples."
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
    return check_splits(table, source=str(path))


def _rng(seed: int, purpose: str) -> np.random.Generator:
    """Return a generator of its own for each draw, so that one draw does not shift another."""
    return np.random.default_rng([seed, *purpose.encode()])


def _require_official(annotations: pd.DataFrame) -> None:
    unassigned = annotations.loc[annotations["split"] == "", "sample_id"].tolist()
    if unassigned:
        raise SplitError(
            f"{len(unassigned)} sample(s) have no official split ({', '.join(unassigned[:5])}, …). "
            "Fill the column 'split', or set make_splits.source to 'random'."
        )


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
