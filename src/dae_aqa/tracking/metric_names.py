"""Where a figure stands in MLflow's UI, which sorts metrics by name and draws one chart of each.

Charts are grouped by what stands before the last `/` of a name; the groups follow each other by
name, then come metrics without a group, last the group `system`. So a name decides what is seen
first: `test/…` holds the few figures that runs are compared by, and no more than fit on the first
screen; `train/…` and `val/…` the learning curves; `val/best/…` the validation figures of the chosen
epoch; `test_…` the other figures of the evaluation; `system/…` speed and memory.
"""

from __future__ import annotations

from collections.abc import Mapping

HEADLINE = (
    "mean_spearman",
    "spearman",
    "spearman_execution",
    "rl2_x100",
    "mae",
    "nll",
    "coverage_90",
)
# the same for every model of a dataset, or told by another figure: they stay in metrics.json
_CONSTANT_PREFIXES = ("baseline_", "ceiling_", "rl2_score_", "nll_constant_sigma", "num_")
_INTERVAL = "_ci95"
_NO_METRICS = ("epoch", "protocol")  # of a row of the learning curves: a step, and a tag
_SPEED = ("score_seconds",)  # of an evaluation, in the group of an epoch's


def epoch_metrics(figures: Mapping[str, object]) -> dict[str, object]:
    """Return an epoch's figures under the names that they have in MLflow; the epoch is the step.

    Validation rho comes first: MLflow's compare page opens on the metric that a run got first.
    """
    ordered = sorted(figures, key=lambda key: key != "val_spearman")  # stable: the rest as it is
    return {_epoch_name(key): figures[key] for key in ordered if key not in _NO_METRICS}


def best_metrics(figures: Mapping[str, object]) -> dict[str, object]:
    """Return what validation says of the chosen epoch, under its names in MLflow."""
    return {
        f"val/best/{key.removeprefix('val_')}": value
        for key, value in figures.items()
        if key == "epoch" or key.startswith("val_")
    }


def evaluation_metrics(figures: Mapping[str, object]) -> dict[str, object]:
    """Return the figures of an evaluation that tell models apart, under their names in MLflow.

    What is the same for every model (baselines, the score range, the number of samples) is none of
    them, nor are the bounds of an interval: MLflow would draw a chart of each.
    """
    return {
        _evaluation_name(key): value
        for key, value in figures.items()
        if not key.startswith(_CONSTANT_PREFIXES) and _INTERVAL not in key
    }


def evaluation_tags(figures: Mapping[str, object]) -> dict[str, str]:
    """Return what belongs beside these figures: protocol, number of samples, intervals of rho."""
    tags = {}
    if "protocol" in figures:
        tags["protocol"] = str(figures["protocol"])
    if "num_test" in figures:
        tags["test.num_samples"] = str(figures["num_test"])
    for key, bounds in figures.items():
        if key.endswith(_INTERVAL) and isinstance(bounds, list | tuple):
            tags[f"test.{key}"] = " to ".join(f"{bound:.3f}" for bound in bounds)
    return tags


def _evaluation_name(key: str) -> str:
    if key in _SPEED:
        return f"system/{key}"
    return f"test/{key}" if key in HEADLINE else f"test_{key}"


def _epoch_name(key: str) -> str:
    if key == "lr":
        return "train/lr"
    for split in ("train", "val"):
        if key.startswith(f"{split}_"):
            return f"{split}/{key.removeprefix(f'{split}_')}"
    return f"system/{key}"
