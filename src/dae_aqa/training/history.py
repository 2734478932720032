"""Learning curves: one row per epoch."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd


def best_epoch(history: pd.DataFrame, *, select_by: str) -> int:
    """Return the epoch that `fit` chose, from its history: the first of the best ones."""
    values = history["val_spearman"] if select_by == "spearman" else -history["val_nll"]
    return int(np.argmax(values.fillna(-math.inf)))
