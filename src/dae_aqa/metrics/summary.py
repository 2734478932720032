"""From the predictions table to the figures of `reports/metrics.json`.

One flat dict of JSON values, friendly to DVC and MLflow. A figure that does not exist is None, and
`<key>_reason` beside it says why; docs/metrics.md explains every key.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd

from dae_aqa.errors import EvaluationError
from dae_aqa.files.whole import written_whole
from dae_aqa.metrics import accuracy as metrics
from dae_aqa.metrics import calibration
from dae_aqa.metrics.accuracy import MetricUndefinedError
from dae_aqa.metrics.sample_size import MIN_COVERED, MIN_GROUPED, MIN_RANKED, too_few
from dae_aqa.tables.predictions import check_predictions, has_judges_sigma, has_sigma

JsonValue = float | int | str | None | list[float]
Metrics = dict[str, JsonValue]

CI_LEVEL = 0.95  # of `spearman_ci95`; in the key's name, so no parameter
NO_SIGMA = "the model predicts a point, no sigma"
_BASELINE_PREFIX = "baseline_"

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
    score_range: tuple[float, float] | None,
    num_bootstrap: int,
    seed: int,
    baselines: Mapping[str, float | None] | None = None,
) -> Metrics:
    """Return every figure of the predictions as one flat dict of JSON values.

    Args:
        predictions: the predictions table, see `dae_aqa.tables.predictions`.
        score_range: (min, max) of the final score that R-l2 divides by; None for the range of the
            test scores themselves, as the released code of the literature has it.
        num_bootstrap: resamples of the interval of rho.
        seed: seed of the bootstrap.
        baselines: rank correlations that the model has to beat (or the ceiling it cannot), by name,
            over the same samples; each becomes `baseline_<name>`. `difficulty_only` is added here.

    Figures that so few samples cannot support are None, see `dae_aqa.metrics.sample_size`.

    Raises:
        EvaluationError: the table is bad, or a baseline is no finite number.
    """
    table = check_predictions(predictions, source="predictions")
    mu, score = table["mu"], table["final_score"]
    rank = {"predicted": mu, "target": score}
    rank_execution = {"predicted": table["mu_execution"], "target": table["execution_score"]}
    result: Metrics = {"num_test": len(table)}
    _put(result, "spearman", partial(metrics.spearman, **rank), needs=_RHO)
    _put_interval(result, "spearman", rank, num_bootstrap=num_bootstrap, seed=seed)
    _put(result, "spearman_execution", partial(metrics.spearman, **rank_execution), needs=_RHO)
    _put_interval(
        result, "spearman_execution", rank_execution, num_bootstrap=num_bootstrap, seed=seed
    )
    low, high = score_range if score_range is not None else (score.min(), score.max())
    result |= {"rl2_score_min": float(low), "rl2_score_max": float(high)}
    _put(
        result,
        "rl2_x100",
        lambda: 100 * metrics.relative_l2(score_range=score_range, **rank),
        needs=_RANGE,
    )
    for name, error in (("mae", metrics.mae), ("rmse", metrics.rmse), ("bias", metrics.bias)):
        _put(result, name, partial(error, **rank))
    _put(result, "mae_execution", partial(metrics.mae, **rank_execution))
    _put_uncertainty(result, table)
    if "true_sigma" in table.columns:
        _put_sigma_truth(result, table)
    _put_baselines(result, table, baselines or {})
    return result


def write_metrics(values: Mapping[str, JsonValue], path: Path) -> None:
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
        part.write_text(text + "\n", encoding="utf-8")


def baselines_of(values: Mapping[str, JsonValue]) -> dict[str, float]:
    """Return the defined baselines among `values`, by their name without `baseline_`."""
    return {
        key.removeprefix(_BASELINE_PREFIX): value
        for key, value in values.items()
        if key.startswith(_BASELINE_PREFIX) and isinstance(value, int | float)
    }


def _put(
    result: Metrics, key: str, metric: Callable[[], float], *, needs: _Needs = _NOTHING
) -> None:
    """Set `result[key]` to the metric, or to None with `<key>_reason` where it is undefined."""
    try:
        _require_enough(result, needs)
        result[key] = metric()
    except MetricUndefinedError as reason:
        result[key] = None
        result[f"{key}_reason"] = str(reason)


def _require_enough(result: Metrics, needs: _Needs) -> None:
    minimum, what = needs
    num = result["num_test"]
    assert isinstance(num, int)
    reason = too_few(num, minimum, what)
    metrics.require(not reason, reason)


def _put_interval(
    result: Metrics,
    key: str,
    rank: Mapping[str, pd.Series],
    *,
    num_bootstrap: int,
    seed: int,
) -> None:
    """Set `<key>_ci95` to [low, high], and to two scalars, since DVC and MLflow drop lists."""
    key = f"{key}_ci95"
    try:
        _require_enough(result, _RHO)
        low, high = metrics.spearman_interval(
            predicted=rank["predicted"],
            target=rank["target"],
            level=CI_LEVEL,
            num_resamples=num_bootstrap,
            seed=seed,
        )
    except MetricUndefinedError as reason:
        result |= {key: None, f"{key}_reason": str(reason)}
        result |= {f"{key}_low": None, f"{key}_high": None}
        return
    result |= {key: [low, high], f"{key}_low": low, f"{key}_high": high}


def _put_uncertainty(result: Metrics, table: pd.DataFrame) -> None:
    final = {"mu": table["mu"], "sigma": table["sigma"], "target": table["final_score"]}
    execution = {
        "mu": table["mu_execution"],
        "sigma": table["sigma_execution"],
        "target": table["execution_score"],
    }
    needs_sigma: dict[str, tuple[Callable[[], float], _Needs]] = {
        "nll": (partial(calibration.gaussian_nll, **final), _NOTHING),
        "nll_execution": (partial(calibration.gaussian_nll, **execution), _NOTHING),
        "coverage_50": (partial(calibration.coverage, level=0.5, **final), _COVERAGE),
        "coverage_90": (partial(calibration.coverage, level=0.9, **final), _COVERAGE),
        "calibration_error": (partial(calibration.calibration_error, **final), _COVERAGE),
        "crps": (partial(calibration.crps, **final), _NOTHING),
        "sharpness": (partial(calibration.sharpness, sigma=table["sigma"]), _NOTHING),
        "rejection_tau": (partial(calibration.rejection_tau, **final), _BINS),
        "rejection_tau_execution": (partial(calibration.rejection_tau, **execution), _BINS),
    }
    for key, (metric, needs) in needs_sigma.items():
        if has_sigma(table):
            _put(result, key, metric, needs=needs)
        else:
            result |= {key: None, f"{key}_reason": NO_SIGMA}
    for suffix, forecast in (("", final), ("_execution", execution)):
        constant = partial(
            calibration.constant_sigma_nll, mu=forecast["mu"], target=forecast["target"]
        )
        _put(result, f"nll_constant_sigma{suffix}", constant, needs=_OWN_SIGMA)


def _put_sigma_truth(result: Metrics, table: pd.DataFrame) -> None:
    names = ("sigma", "sigma_judges") if has_judges_sigma(table) else ("sigma",)
    for name, scale in product(names, ("", "_execution")):
        key = f"{name}_rank_correlation{scale}"
        if has_sigma(table):
            rank = partial(
                metrics.spearman,
                predicted=table[f"{name}{scale}"],
                target=table[f"true_sigma{scale}"],
            )
            _put(result, key, rank, needs=_RHO)
        else:
            result |= {key: None, f"{key}_reason": NO_SIGMA}


def _put_baselines(
    result: Metrics, table: pd.DataFrame, baselines: Mapping[str, float | None]
) -> None:
    few = too_few(len(table), *_RHO)
    for name, value in baselines.items():
        if value is not None and not math.isfinite(value):
            raise EvaluationError(
                f"baseline {name!r} must be a finite number or None, got {value}."
            )
        known = None if few or value is None else float(value)
        result[f"{_BASELINE_PREFIX}{name}"] = known
        if known is None:
            result[f"{_BASELINE_PREFIX}{name}_reason"] = few or "not defined for these samples"
    key = f"{_BASELINE_PREFIX}difficulty_only"
    if key not in result:
        rank = partial(metrics.spearman, predicted=table["difficulty"], target=table["final_score"])
        try:
            _require_enough(result, _RHO)
            result[key] = rank()
        except MetricUndefinedError:
            result |= {key: None, f"{key}_reason": few or "every sample has the same difficulty"}


def _is_finite(value: JsonValue) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return all(math.isfinite(number) for number in numbers if isinstance(number, int | float))
