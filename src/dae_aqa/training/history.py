"""Learning curves: one row per epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pandas as pd

from dae_aqa.params import Params
from dae_aqa.sample_size import MIN_CHOOSING, MIN_RANKED
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


def epoch_value(
    figures: Mapping[str, float] | pd.Series,
    *,
    select_by: Literal["spearman", "loss"],
    num_val: int,
) -> tuple[float, float]:
    """Return what epochs are compared by: the greater is the better, the first of equals wins.

    An epoch whose rho is undefined is worse than any that has one, and better than another such
    epoch whose likelihood is smaller. Too few validation samples for a likelihood choose nothing:
    each epoch is better than the one before.

    Args:
        figures: `epoch`, `val_nll` and `val_spearman` of one epoch.
        select_by: `train.select_by`.
        num_val: number of validation samples.
    """
    if num_val < MIN_CHOOSING:
        return figures["epoch"], 0.0
    rho, log_likelihood = figures["val_spearman"], -figures["val_nll"]
    if math.isnan(log_likelihood):
        log_likelihood = -math.inf
    if select_by == "loss":
        return log_likelihood, 0.0
    return (-math.inf, log_likelihood) if math.isnan(rho) else (rho, 0.0)


def best_epoch(history: pd.DataFrame, *, params: Params, num_val: int) -> int | None:
    """Return the epoch that `fit` chose, from its history: the first of the best ones.

    Epochs of the MSE warm-up, which has no sigma yet, are chosen only where there are no others.
    None where there is no epoch.
    """
    if history.empty:
        return None
    values = {
        int(row["epoch"]): epoch_value(row, select_by=params.train.select_by, num_val=num_val)
        for _, row in _choice(history, params=params).astype(float).iterrows()
    }
    return max(values, key=values.__getitem__)


def how_chosen(history: pd.DataFrame, *, params: Params, num_val: int) -> str:
    """Return how `best_epoch` chose, in words for the log, the run and the report.

    Example: 'the last one, since 1 validation sample cannot choose'.
    """
    if history.empty:
        return "not trained here"
    noun = "sample" if num_val == 1 else "samples"
    if num_val < MIN_CHOOSING:
        return f"the last one, since {num_val} validation {noun} cannot choose"
    by_likelihood = f"chosen by the greatest likelihood of {num_val} validation samples"
    if params.train.select_by == "loss":
        return by_likelihood
    if _choice(history, params=params)["val_spearman"].notna().any():
        return f"chosen by the best rank correlation on {num_val} validation samples"
    few = num_val < MIN_RANKED
    return f"{by_likelihood}, which {'are too few to rank' if few else 'have no rank correlation'}"


def _choice(history: pd.DataFrame, *, params: Params) -> pd.DataFrame:
    """Return the epochs that can be chosen."""
    start = first_likelihood_epoch(params)
    return history.iloc[start if start < len(history) else 0 :]
