"""The calibration table, which `dvc plots` draws: how much the intervals of each width hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from dae_aqa.files.whole import written_whole
from dae_aqa.metrics.calibration import reliability_curve
from dae_aqa.metrics.forecast import forecast_of
from dae_aqa.metrics.sample_size import MIN_COVERED
from dae_aqa.tables.predictions import PROTOCOL_COLUMN

COLUMNS = (
    "nominal",  # level of a central interval of the final score: the share it should hold
    "observed",  # share of the test samples whose score lies within
    PROTOCOL_COLUMN,  # as in the predictions table
)


def write_calibration(predictions: pd.DataFrame, path: Path, *, protocol: str) -> None:
    """Write a row for each level 0.05, 0.10, …, 0.95; none where the samples are too few to say.

    Args:
        predictions: the checked table, one row per sample; parts are pooled.
        path: the CSV file, written whole or not at all.
        protocol: how the epoch was chosen.
    """
    nominal = observed = np.empty(0)
    if len(predictions) >= MIN_COVERED:
        nominal, observed = reliability_curve(
            forecast=forecast_of(predictions), target=predictions["final_score"]
        )
    table = pd.DataFrame(dict(zip(COLUMNS, (nominal, observed, protocol), strict=True)))
    with written_whole(path) as part:
        table.to_csv(part, index=False, lineterminator="\n")
