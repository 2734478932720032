"""From the predictions table to the figures of `reports/metrics.json`.

One flat dict of JSON values, friendly to DVC and MLflow. A figure that does not exist is None, and
`<key>_reason` beside it says why; docs/metrics.md explains every key.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd

from dae_aqa.errors import EvaluationError
from dae_aqa.files.whole import written_whole
from dae_aqa.metrics import accuracy, calibration
from dae_aqa.metrics.accuracy import MetricUndefinedError
from dae_aqa.metrics.forecast import forecast_of
from dae_aqa.metrics.sample_size import MIN_COVERED, MIN_GROUPED, MIN_RANKED, too_few
from dae_aqa.tables.predictions import has_judges_sigma

JsonValue = float | int | str | None | list[float]
Metrics = dict[str, JsonValue]

_CI_LEVEL = 0.95  # of `spearman_ci95`; in the key's name, so no parameter
_BASELINE_PREFIX = "baseline_"
_SCALES = {"": "final_score", "_execution": "execution_score"}  # suffix of mu and sigma: the score

# the fewest test samples that a figure needs, and what it is called in the reason
_Needs = tuple[int, str]
_NOTHING: _Needs = (0, "")
_RHO: _Needs = (MIN_RANKED, "a rank correlation")
_RANGE: _Needs = (MIN_RANKED, "the range of the test scores")
_OWN_SIGMA: _Needs = (MIN_RANKED, "one sigma that is fitted to the test samples")
_COVERAGE: _Needs = (MIN_COVERED, "the share of scores within an interval")
_BINS: _Needs = (MIN_GROUPED, "the error in ten bins of sigma")


def evaluate_predictions(
    predictions: pd.DataFrame,
    *,
    num_bootstrap: int,
    seed: int,
    baselines: Mapping[str, float] | None = None,
) -> Metrics:
    """Return every figure of the predictions as one flat dict of JSON values.

    Figures that so few samples cannot support are None, see `dae_aqa.metrics.sample_size`.

    Args:
        predictions: the checked table, as `dae_aqa.tables.predictions` builds or reads it.
        num_bootstrap: resamples of the interval of rho.
        seed: seed of the bootstrap.
        baselines: rank correlations over the same samples that the model has to beat, or cannot, by
            name; each becomes `baseline_<name>`. `difficulty_only` is added here.

    Raises:
        EvaluationError: a baseline is no finite number.
    """
    figures = _Figures(len(predictions))
    _add_accuracy(figures, predictions, num_bootstrap=num_bootstrap, seed=seed)
    _add_uncertainty(figures, predictions)
    if "true_sigma" in predictions.columns:
        _add_sigma_truth(figures, predictions)
    _add_baselines(figures, predictions, baselines or {})
    return figures.values


def write_metrics(values: Mapping[str, object], path: Path) -> None:
    """Write `values` to `path` as strict JSON (no NaN, no infinity), whole or not at all.

    Raises:
        EvaluationError: a value is not finite.
    """
    try:
        text = json.dumps(dict(values), indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        bad = [key for key, value in values.items() if not _is_finite(value)]
        raise EvaluationError(
            f"{path}: {', '.join(bad)} not finite; an undefined metric must be None with a reason."
        ) from error
    with written_whole(path) as part:
        part.write_text(f"{text}\n", encoding="utf-8")


def baselines_of(values: Mapping[str, JsonValue]) -> dict[str, float]:
    """Return the defined baselines among `values`, by their name without `baseline_`."""
    return {
        key.removeprefix(_BASELINE_PREFIX): value
        for key, value in values.items()
        if key.startswith(_BASELINE_PREFIX) and isinstance(value, int | float)
    }


@dataclass
class _Figures:
    """The figures so far, in the order of the file."""

    num_test: int
    values: Metrics = field(init=False)

    def __post_init__(self) -> None:
        self.values = {"num_test": self.num_test}

    def add(self, key: str, metric: Callable[[], JsonValue], *, needs: _Needs = _NOTHING) -> None:
        """Add the figure, or None with `<key>_reason` where it is undefined."""
        try:
            reason = too_few(self.num_test, *needs)
            accuracy.require(not reason, reason)
            self.values[key] = metric()
        except MetricUndefinedError as undefined:
            self.values |= {key: None, f"{key}_reason": str(undefined)}

    def add_interval(self, key: str, interval: Callable[[], tuple[float, float]]) -> None:
        """Add [low, high], and two scalars beside it, since DVC and MLflow drop lists."""
        self.add(key, lambda: list(interval()), needs=_RHO)
        ends = self.values[key]
        low, high = ends if isinstance(ends, list) else (None, None)
        self.values |= {f"{key}_low": low, f"{key}_high": high}


def _point(table: pd.DataFrame, suffix: str) -> dict[str, pd.Series]:
    """Return the means and the scores of one scale, as the metrics of accuracy take them."""
    return {"predicted": table[f"mu{suffix}"], "target": table[_SCALES[suffix]]}


def _spread(table: pd.DataFrame, suffix: str) -> dict[str, pd.Series]:
    """Return mean, sigma and score of one scale, as the metrics of sigma alone take them."""
    forecast = {name: table[f"{name}{suffix}"] for name in ("mu", "sigma")}
    return {**forecast, "target": table[_SCALES[suffix]]}


def _add_accuracy(figures: _Figures, table: pd.DataFrame, *, num_bootstrap: int, seed: int) -> None:
    for suffix in _SCALES:
        point = _point(table, suffix)
        figures.add(f"spearman{suffix}", partial(accuracy.spearman, **point), needs=_RHO)
        interval = partial(
            accuracy.spearman_interval,
            predicted=point["predicted"],
            target=point["target"],
            level=_CI_LEVEL,
            num_resamples=num_bootstrap,
            seed=seed,
        )
        figures.add_interval(f"spearman{suffix}_ci95", interval)
    final = _point(table, "")
    low, high = float(final["target"].min()), float(final["target"].max())
    figures.values |= {"rl2_score_min": low, "rl2_score_max": high}
    relative_l2 = partial(accuracy.relative_l2, score_range=(low, high), **final)
    figures.add("rl2_x100", lambda: 100 * relative_l2(), needs=_RANGE)
    figures.add("mae", partial(accuracy.mae, **final))
    figures.add("rmse", partial(accuracy.rmse, **final))
    figures.add("bias", partial(accuracy.bias, **final))
    figures.add("mae_execution", partial(accuracy.mae, **_point(table, "_execution")))


def _add_uncertainty(figures: _Figures, table: pd.DataFrame) -> None:
    final, target = forecast_of(table), table["final_score"]
    execution = forecast_of(table, scale="execution")
    figures.add("nll", partial(calibration.nll, forecast=final, target=target))
    figures.add(
        "nll_execution",
        partial(calibration.nll, forecast=execution, target=table["execution_score"]),
    )
    for percent in (50, 90):
        coverage = partial(calibration.coverage, forecast=final, target=target, level=percent / 100)
        figures.add(f"coverage_{percent}", coverage, needs=_COVERAGE)
    error = partial(calibration.calibration_error, forecast=final, target=target)
    figures.add("calibration_error", error, needs=_COVERAGE)
    figures.add("crps", partial(calibration.crps, forecast=final, target=target))
    figures.add("sharpness", partial(calibration.sharpness, sigma=table["sigma"]))
    for suffix in _SCALES:
        tau = partial(calibration.rejection_tau, **_spread(table, suffix))
        figures.add(f"rejection_tau{suffix}", tau, needs=_BINS)
    for suffix, score in _SCALES.items():
        constant = partial(
            calibration.constant_sigma_nll, mu=table[f"mu{suffix}"], target=table[score]
        )
        figures.add(f"nll_constant_sigma{suffix}", constant, needs=_OWN_SIGMA)


def _add_sigma_truth(figures: _Figures, table: pd.DataFrame) -> None:
    names = ("sigma", "sigma_judges") if has_judges_sigma(table) else ("sigma",)
    for name, suffix in product(names, _SCALES):
        rank = partial(
            accuracy.spearman,
            predicted=table[f"{name}{suffix}"],
            target=table[f"true_sigma{suffix}"],
        )
        figures.add(f"{name}_rank_correlation{suffix}", rank, needs=_RHO)


def _add_baselines(figures: _Figures, table: pd.DataFrame, baselines: Mapping[str, float]) -> None:
    for name, rho in baselines.items():
        if not math.isfinite(rho):
            raise EvaluationError(f"baseline {name!r} must be a finite number, got {rho}.")
        figures.add(f"{_BASELINE_PREFIX}{name}", partial(float, rho), needs=_RHO)
    figures.add(
        f"{_BASELINE_PREFIX}difficulty_only", partial(_rank_of_difficulty, table), needs=_RHO
    )


def _rank_of_difficulty(table: pd.DataFrame) -> float:
    accuracy.require(table["difficulty"].nunique() > 1, "every sample has the same difficulty")
    return accuracy.spearman(predicted=table["difficulty"], target=table["final_score"])


def _is_finite(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(_is_finite(each) for each in value.values())
    numbers = value if isinstance(value, list) else [value]
    return all(math.isfinite(number) for number in numbers if isinstance(number, int | float))
