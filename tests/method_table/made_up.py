"""Cells of a table, made up: sixty performances and models that err by a known amount."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from dae_aqa.method_table.cells import Cell
from dae_aqa.method_table.rows import FIGURES
from dae_aqa.tables.predictions import build_predictions

NUM = 60


def predictions(*, error: float, seed: int, num: int = NUM) -> pd.DataFrame:
    """Return predictions that miss the same scores by a Gaussian error of this size."""
    truth = np.random.default_rng(0)
    samples = pd.DataFrame(
        {
            "sample_id": [f"d{row:03d}" for row in range(num)],
            "final_score": truth.uniform(20, 90, num),
            "difficulty": truth.choice([2.0, 3.0], num),
        }
    )
    miss = np.random.default_rng(seed + 1).normal(0, error, num)
    return build_predictions(
        samples=samples,
        mu_execution=((samples["final_score"] + miss) / samples["difficulty"]).to_numpy(),
        sigma_execution=np.full(num, 2.0),
    )


def cell(
    row: str,
    seed: int,
    *,
    rho: float | None,
    error: float = 5.0,
    model: str = "dae",
    seconds: float | None = None,
    settings: dict[str, Any] | None = None,
    **metrics: Any,
) -> Cell:
    """Return a cell whose metrics are made up; figures that are not named are 1.0."""
    return Cell(
        row=row,
        seed=seed,
        model=model,
        metrics={**dict.fromkeys(FIGURES, 1.0), "spearman": rho, **metrics},
        predictions=predictions(error=error, seed=seed + 10 * sum(row.encode())),
        train_seconds=seconds,
        settings=settings,
    )
