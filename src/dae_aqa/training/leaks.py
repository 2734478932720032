"""Test samples that a model has seen before: through its backbone's weights, or as an import."""

from __future__ import annotations

import logging

import pandas as pd

from dae_aqa.inference.trained_model import Seen
from dae_aqa.training.options import Protocol, splits_seen

logger = logging.getLogger(__name__)
LEAK_TAG = "leaked_test_samples"


def seen_with(
    weights: Seen | None, splits: pd.DataFrame, *, performances_of: str, protocol: Protocol
) -> Seen | None:
    """Return what a model has seen after a training; None where no other dataset has it too.

    Args:
        weights: what the weights have seen from which the training starts.
        splits: rows of the split table.
        performances_of: the dataset whose sample_ids the split table holds, or ''.
        protocol: which of its splits trained or chose the epoch.
    """
    if not performances_of:
        return weights
    names = set(splits.loc[splits["split"].isin(splits_seen(protocol)), "sample_id"])
    if weights is not None and weights.performances_of == performances_of:
        names |= set(weights.sample_ids)
    return Seen(performances_of=performances_of, sample_ids=sorted(names))


def leak_tags(
    seen: Seen | None, splits: pd.DataFrame, *, performances_of: str, source: str
) -> dict[str, str]:
    """Return the tag of a run whose test samples were seen before, and warn; {} where none was.

    Args:
        seen: what was seen before.
        splits: rows of the split table.
        performances_of: the dataset whose names they are, or ''.
        source: what has seen them, for the message.
    """
    tested = splits.loc[splits["split"] == "test", "sample_id"]
    leaked = [] if seen is None else seen.among(tested, performances_of=performances_of)
    if not leaked:
        return {}
    logger.warning(
        "%d of %d test samples had a part in training %s (%s, …): results on them say too much.",
        *(len(leaked), len(tested), source, leaked[0]),
    )
    return {LEAK_TAG: f"{len(leaked)} of {len(tested)}"}
