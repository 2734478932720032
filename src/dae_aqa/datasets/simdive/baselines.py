"""How well single faults rank the dives: what a model must beat before it has learned to judge."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from dae_aqa.datasets.simdive.dives import FAULT_PREFIX, FAULT_WEIGHTS
from dae_aqa.errors import EvaluationError
from dae_aqa.tables.annotations import execution_scores


def single_fault_baselines(*, truth: pd.DataFrame, annotations: pd.DataFrame) -> dict[str, float]:
    """Return |Spearman's rho| with the judged execution score of what could be detected alone.

    Keys: `fault_<name>` for each fault alone; `splash_entry` and `all_faults`, the best linear
    combination (least squares on these very rows, so a little too good); `difficulty`; and
    `ceiling`, the true execution score, which no model can beat but by luck.

    Args:
        truth: truth table of `generate`; may hold more rows than `annotations`.
        annotations: annotations table; its rows are the ones that count.

    Raises:
        EvaluationError: a sample has no truth, or there are too few samples to rank.
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
    baselines = {name: _rank(rows[name].to_numpy(np.float64), score) for name in names}
    pair = [FAULT_PREFIX + "splash", FAULT_PREFIX + "entry"]
    baselines["splash_entry"] = _rank(_fit(rows[pair].to_numpy(np.float64), score), score)
    baselines["all_faults"] = _rank(_fit(rows[names].to_numpy(np.float64), score), score)
    baselines["difficulty"] = _rank(annotations["difficulty"].to_numpy(np.float64), score)
    baselines["ceiling"] = _rank(rows["true_execution"].to_numpy(np.float64), score)
    return baselines


def _rank(values: npt.NDArray[np.float64], score: npt.NDArray[np.float64]) -> float:
    """Return |Spearman's rho| of two arrays (N,)."""
    # Imported here: SciPy would double the start of every rendering process, which ranks nothing.
    from dae_aqa.metrics.accuracy import spearman

    return abs(spearman(predicted=values, target=score))


def _fit(
    features: npt.NDArray[np.float64], score: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the least-squares prediction of `score` (N,) from `features` (N, K)."""
    design = np.column_stack([features, np.ones(len(features))])
    coefficients = np.linalg.lstsq(design, score, rcond=None)[0]
    prediction: npt.NDArray[np.float64] = design @ coefficients
    return prediction
