"""The section `make_splits`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from dae_aqa.options import CountInt, Fraction, Options

Source = Literal["auto", "official", "random", "folds"]
GroupBy = Literal["sample", "video", "group"]


def _random_split_tests_some(splits: SplitOptions) -> Iterator[str]:
    if splits.source == "random" and not 0 < splits.test_fraction < 1:
        yield (
            f"test_fraction: {splits.test_fraction:g} leaves no sample to test or none to train, "
            "and make_splits.source is random; expected a number between 0 and 1."
        )


class SplitOptions(Options):
    """Which samples train, which choose the epoch, which are tested once.

    Attributes:
        source: whose split it is, see `dae_aqa.splits.make.make_splits`.
        test_fraction: share of the samples, where the split is random.
        val_fraction: share of the training samples that choose the epoch.
        group_by: what is never divided between two splits.
        num_folds: folds, where they are drawn; each is tested by a model of its own.
        num_repeats: how often the folds are drawn anew.
        folds_below: `auto` draws folds for fewer samples than this.
    """

    RULES = (_random_split_tests_some,)

    source: Source
    test_fraction: Fraction
    val_fraction: Annotated[float, Field(gt=0, le=0.9)]
    group_by: GroupBy
    num_folds: Annotated[int, Field(ge=2, le=100)]
    num_repeats: Annotated[int, Field(ge=1, le=100)]
    folds_below: CountInt
