"""A cell: one method trained with one seed, and what its evaluation wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dae_aqa.tables.predictions import HONEST


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One finished cell of the table.

    Attributes:
        row: name of its row.
        seed: seed of the training.
        model: the method, `model` in its parameters.
        metrics: its `metrics.json`.
        predictions: its predictions table, parts and all.
        train_seconds: how long the training took; None where it is not known.
        score_seconds: how long the test samples took; likewise.
        settings: all parameters that it was run with, by dotted key, but for the seed and the
            protocol; None where they are not known.
    """

    row: str
    seed: int
    model: str
    metrics: Mapping[str, Any]
    predictions: pd.DataFrame
    train_seconds: float | None = None
    score_seconds: float | None = None
    settings: Mapping[str, Any] | None = None

    @property
    def protocol(self) -> str:
        """How the epoch was chosen and the score was made; figures of two are not comparable."""
        return str(self.metrics.get("protocol", HONEST))

    def figure(self, key: str) -> float | None:
        """Return a figure of `metrics.json`; None where it is absent or undefined.

        Of a dataset with several tasks it is the mean over tasks, as papers report it, where there
        is one.
        """
        mean = self.metrics.get("mean", {}) if self.metrics.get("tasks") else {}
        value = mean.get(key, self.metrics.get(key))
        return float(value) if isinstance(value, int | float) else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The bootstrap interval of rho over the test samples; None where there is none."""
        ends = self.metrics.get("spearman_ci95")
        if self.metrics.get("tasks") or not isinstance(ends, list):
            return None  # a mean over tasks is not what the interval is of
        return float(ends[0]), float(ends[1])
