"""Learning curves: one row per epoch."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from dae_aqa.params import Params
from dae_aqa.training.schedule import first_likelihood_epoch

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


def best_epoch(history: pd.DataFrame, *, params: Params) -> int | None:
    """Return the epoch that `fit` chose, from its history: the first of the best ones.

    Epochs of the MSE warm-up, which has no sigma yet, are chosen only where there are no others.
    None where there is no epoch.
    """
    if history.empty:
        return None
    by_rho = params.train.select_by == "spearman"
    values = history["val_spearman"] if by_rho else -history["val_nll"]
    start = first_likelihood_epoch(params)
    first = start if start < len(history) else 0
    return first + int(np.argmax(values.iloc[first:].fillna(-math.inf)))
