"""What single faults tell of the dives: a model must beat it before it has learned to judge."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from dae_aqa.datasets.simdive.dives import FAULT_PREFIX, FAULT_WEIGHTS
from dae_aqa.errors import EvaluationError
from dae_aqa.tables.annotations import execution_scores

FloatArray = npt.NDArray[np.float64]


def single_fault_baselines(
    *, truth: pd.DataFrame, annotations: pd.DataFrame
) -> dict[str, FloatArray]:
    """Return what could be detected alone, arrays (N,) that rank the dives.

    Keys: `fault_<name>` for each fault alone; `splash_entry` and `all_faults`, the best linear
    combination (least squares on these very rows, so a little too good); `difficulty`; and
    `ceiling`, the true execution score, which no model can beat but by luck.

    Args:
        truth: truth table of `generate`; may hold more rows than `annotations`.
        annotations: annotations table; its N rows are the ones that count.

    Raises:
        EvaluationError: a sample has no truth, or there are too few samples to weigh the faults.
    """
    missing = sorted(set(annotations["sample_id"]) - set(truth["sample_id"]))
    if missing:
        raise EvaluationError(
            f"simdive baselines: {len(missing)} sample(s) without truth, the first is "
            f"{missing[0]!r}. Run the stage that writes both tables: `dvc repro download`."
        )
    num_needed = len(FAULT_WEIGHTS) + 2
    if len(annotations) < num_needed:
        raise EvaluationError(
            f"simdive baselines: at least {num_needed} samples are needed to weigh "
            f"{len(FAULT_WEIGHTS)} faults; got {len(annotations)}."
        )
    rows = truth.set_index("sample_id").loc[annotations["sample_id"]]
    score = execution_scores(annotations).to_numpy(dtype=np.float64)
    names = [FAULT_PREFIX + name for name in FAULT_WEIGHTS]
    pair = [FAULT_PREFIX + "splash", FAULT_PREFIX + "entry"]
    return {name: rows[name].to_numpy(np.float64) for name in names} | {
        "splash_entry": _fit(rows[pair].to_numpy(np.float64), score),
        "all_faults": _fit(rows[names].to_numpy(np.float64), score),
        "difficulty": annotations["difficulty"].to_numpy(np.float64),
        "ceiling": rows["true_execution"].to_numpy(np.float64),
    }


def _fit(features: FloatArray, score: FloatArray) -> FloatArray:
    """Return the least-squares prediction of `score` (N,) from `features` (N, K)."""
    design = np.column_stack([features, np.ones(len(features))])
    coefficients = np.linalg.lstsq(design, score, rcond=None)[0]
    prediction: FloatArray = design @ coefficients
    return prediction
