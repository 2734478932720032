"""Learning curves, one row per epoch, and how the epoch is chosen whose weights are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dae_aqa.metrics.sample_size import MIN_CHOOSING, MIN_RANKED
from dae_aqa.training.options import Protocol, SelectBy, TrainingOptions

COLUMNS = (
    "epoch", "lr", "train_loss", "val_mae", "val_rl2_x100", "val_nll", "val_spearman",
    "val_spearman_execution", "protocol",
)  # fmt: skip


def no_history() -> pd.DataFrame:
    """Return the table of a model that was not trained here: its columns, and no row."""
    return pd.DataFrame(columns=list(COLUMNS))


def write_history(history: pd.DataFrame, path: Path) -> None:
    """Write the table as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    history.to_csv(path, index=False, lineterminator="\n")


def history_of_part(history: pd.DataFrame, part: str) -> pd.DataFrame:
    """Return the learning curves of one part; of the only one, the table itself."""
    if "part" not in history.columns:
        return history
    rows = history[history["part"] == part]
    return rows.drop(columns="part").reset_index(drop=True)


@dataclass(frozen=True)
class EpochChoice:
    """How the epoch is chosen: by the validation samples, as far as there are enough of them.

    With the protocol `as_published` the test samples take their place, columns of the learning
    curves included.

    Attributes:
        select_by: `train.select_by`.
        num_val: number of the samples that choose.
        num_warmup_epochs: epochs of the MSE warm-up, in which sigma is not trained. One of them is
            chosen only where there are no others.
        protocol: `protocol`.
    """

    select_by: SelectBy
    num_val: int
    num_warmup_epochs: int
    protocol: Protocol = "honest"

    @classmethod
    def of(cls, options: TrainingOptions, *, num_val: int) -> EpochChoice:
        """Return the choice of a training with these options."""
        return cls(options.train.select_by, num_val, options.num_warmup_epochs, options.protocol)

    def value(self, figures: Mapping[str, float] | pd.Series) -> tuple[float, float]:
        """Return what epochs are compared by: the greater is the better, the first of equals wins.

        An epoch whose rho is undefined is worse than any that has one, and better than another such
        epoch whose likelihood is smaller. Too few validation samples for a likelihood choose
        nothing: each epoch is better than the one before.

        Args:
            figures: `epoch`, `val_nll` and `val_spearman` of one epoch.
        """
        if self.num_val < MIN_CHOOSING:
            return figures["epoch"], 0.0
        rho, log_likelihood = figures["val_spearman"], -figures["val_nll"]
        if math.isnan(log_likelihood):
            log_likelihood = -math.inf
        if self.select_by == "loss":
            return log_likelihood, 0.0
        return (-math.inf, log_likelihood) if math.isnan(rho) else (rho, 0.0)

    def best_epoch(self, history: pd.DataFrame) -> int | None:
        """Return the epoch that `fit` kept: the first of the best; None where there is none."""
        if history.empty:
            return None
        chosen_by = ["epoch", "val_nll", "val_spearman"]
        rows = self._candidates(history)[chosen_by].astype(float).iterrows()
        values = {int(row["epoch"]): self.value(row) for _, row in rows}
        return max(values, key=values.__getitem__)

    def in_words(self, history: pd.DataFrame) -> str:
        """Return how the epoch was chosen, for the log, the run and the report.

        Example: 'the last one, since 1 validation sample cannot choose'.
        """
        which = "validation" if self.protocol == "honest" else "TEST"
        noun = f"{which} sample" if self.num_val == 1 else f"{which} samples"
        if self.num_val < MIN_CHOOSING:
            return f"the last one, since {self.num_val} {noun} cannot choose"
        by_likelihood = f"chosen by the greatest likelihood of {self.num_val} {noun}"
        if self.select_by == "loss":
            return by_likelihood
        if self._candidates(history)["val_spearman"].notna().any():
            return f"chosen by the best rank correlation on {self.num_val} {noun}"
        few = self.num_val < MIN_RANKED
        why = "are too few to rank" if few else "have no rank correlation"
        return f"{by_likelihood}, which {why}"

    def _candidates(self, history: pd.DataFrame) -> pd.DataFrame:
        """Return the epochs that can be chosen."""
        start = self.num_warmup_epochs
        return history.iloc[start if start < len(history) else 0 :]
