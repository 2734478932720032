"""Learning curves: one row per epoch."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

COLUMNS = (
    "epoch", "lr", "train_loss", "val_mae", "val_nll", "val_spearman", "val_spearman_execution",
)  # fmt: skip


def no_history() -> pd.DataFrame:
    """Return the table of a model that was not trained here: its columns, and no row."""
    return pd.DataFrame(columns=list(COLUMNS))


def write_history(history: pd.DataFrame, path: Path) -> None:
    """Write the table as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    history.to_csv(path, index=False, lineterminator="\n")


def best_epoch(history: pd.DataFrame, *, select_by: str) -> int | None:
    """Return the epoch that `fit` chose, from its history: the first of the best ones.

    None where there is no epoch.
    """
    if history.empty:
        return None
    values = history["val_spearman"] if select_by == "spearman" else -history["val_nll"]
    return int(np.argmax(values.fillna(-math.inf)))
