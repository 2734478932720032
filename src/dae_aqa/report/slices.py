"""Groups of samples, to see where the model is wrong more than elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

_MIN_SAMPLES = 5  # fewer say too little to be named
_NUM_SCORE_GROUPS = 5
_NUM_DIFFICULTY_GROUPS = 3


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A group of samples.

    Attributes:
        by: what it was grouped by: `score`, `difficulty` or `action class`.
        label: which group it is.
        num: its samples.
        mae: mean absolute error within, points.
        bias: mean of prediction minus score within, points.
        excess: standard errors by which its mean absolute error lies above that of all others.
    """

    by: str
    label: str
    num: int
    mae: float
    bias: float
    excess: float


def find_slices(samples: pd.DataFrame) -> list[Slice]:
    """Return the fifths of the score, thirds of the difficulty and the action classes.

    Groups of fewer than five samples are left out, and so is a grouping with a single group.
    """
    groupings = {
        "score": _quantile_labels(samples["final_score"], _NUM_SCORE_GROUPS, decimals=1),
        "difficulty": _quantile_labels(samples["difficulty"], _NUM_DIFFICULTY_GROUPS, decimals=2),
        "action class": samples["action_class"].replace("", np.nan),
    }
    slices = []
    for by, labels in groupings.items():
        if labels.nunique() < 2:
            continue
        for label in sorted(labels.dropna().unique(), key=_position):
            inside = (labels == label).to_numpy()
            if inside.sum() >= _MIN_SAMPLES and (~inside).sum() >= _MIN_SAMPLES:
                slices.append(_slice(samples, inside, by=by, label=label))
    return slices


def _slice(samples: pd.DataFrame, inside: np.ndarray, *, by: str, label: str) -> Slice:
    error = samples["error"].to_numpy()
    within, others = np.abs(error[inside]), np.abs(error[~inside])
    noise = np.sqrt(within.var(ddof=1) / len(within) + others.var(ddof=1) / len(others))
    return Slice(
        by=by,
        label=label,
        num=int(inside.sum()),
        mae=float(within.mean()),
        bias=float(error[inside].mean()),
        excess=float((within.mean() - others.mean()) / noise) if noise > 0 else 0.0,
    )


def _quantile_labels(values: pd.Series, num_groups: int, *, decimals: int) -> pd.Series:
    """Return for each value the text 'low to high' of its quantile group."""
    edges = np.quantile(values, np.arange(1, num_groups) / num_groups)
    group = pd.Series(np.searchsorted(edges, values, side="right"), index=values.index)
    bounds = values.groupby(group).agg(["min", "max"])
    names = {
        index: f"{row['min']:.{decimals}f} to {row['max']:.{decimals}f}"
        for index, row in bounds.iterrows()
    }
    return group.map(names)


def _position(label: str) -> tuple[float, str]:
    """Return the sorting key: groups of numbers by their lower end, classes by their name."""
    try:
        return float(label.split(" to ")[0]), label
    except ValueError:
        return 0.0, label
