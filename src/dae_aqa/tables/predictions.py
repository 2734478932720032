"""The predictions table: what a model says of each test sample, and all that evaluation needs.

One row per test sample, sorted by `sample_id`; the columns of `COLUMNS` in that order, then those
of `JUDGES_COLUMNS` where the model tells them and those of `TRUTH_COLUMNS` where the dataset knows
them. All scores are in points.

The execution columns are always there: in a sport without difficulty, `difficulty` is 1.0 and they
equal the final ones, so that no reader has to branch. A point model (`mlp`) leaves `sigma` and
`sigma_execution` empty in every row; a missing sigma in some rows alone is an error.

Numbers are written with nine significant digits: the fewest that tell any two float32 values apart
(what a network puts out), short enough to read, and the same bytes for the same values. Metrics are
computed from the table as written, so `read_predictions(path)` reproduces them to the last digit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from dae_aqa.errors import EvaluationError
from dae_aqa.files.whole import written_whole
from dae_aqa.wording import first_lines

COLUMNS = (
    "sample_id",  # unique, as in the annotations table
    "final_score",  # the official score
    "mu",  # predicted mean of the final score
    "sigma",  # predicted standard deviation of the final score; empty for a point model
    "difficulty",  # degree of difficulty; 1.0 where the sport has none
    "execution_score",  # final_score / difficulty
    "mu_execution",  # mu / difficulty
    "sigma_execution",  # sigma / difficulty
)
JUDGES_COLUMNS = (
    "sigma_judges",  # the part of sigma that comes from judges who scatter among themselves
    "sigma_judges_execution",  # the same, divided by the difficulty
)
TRUTH_COLUMNS = (
    "true_sigma",  # standard deviation of the final score given the performance
    "true_sigma_execution",  # the same, divided by the difficulty
)
_SIGNIFICANT_DIGITS = 9  # Source: IEEE 754-2019, 5.12.2: 9 decimal digits identify a binary32
_PAIRS = (
    ("final_score", "execution_score"),
    ("mu", "mu_execution"),
    ("sigma", "sigma_execution"),
    JUDGES_COLUMNS,
    TRUTH_COLUMNS,
)
_RELATIVE_TOLERANCE = 1e-4  # of final = execution × difficulty, after float32 arithmetic
_MAX_ROWS_SHOWN = 20


def build_predictions(
    *,
    samples: pd.DataFrame,
    mu_execution: np.ndarray[tuple[int], np.dtype[np.floating]],
    sigma_execution: np.ndarray[tuple[int], np.dtype[np.floating]] | None,
    sigma_judges_execution: np.ndarray[tuple[int], np.dtype[np.floating]] | None = None,
    true_sigma_execution: np.ndarray[tuple[int], np.dtype[np.floating]] | None = None,
) -> pd.DataFrame:
    """Return the checked predictions table of `samples` from a forecast of the execution score.

    A model of the final score divides its forecast by the difficulty first.

    Args:
        samples: rows of the annotations table (N), in the order of the arrays.
        mu_execution: predicted means (N,), execution scale.
        sigma_execution: predicted standard deviations (N,), > 0, execution scale; None for a
            point model.
        sigma_judges_execution: the judges' part of it (N,), > 0, where the model tells it apart.
        true_sigma_execution: the truth (N,), > 0, where the dataset knows it.

    Raises:
        EvaluationError: lengths differ or `check_predictions` finds faults.
    """
    arrays = {
        "mu": mu_execution,
        "sigma": sigma_execution,
        "sigma_judges": sigma_judges_execution,
        "true_sigma": true_sigma_execution,
    }
    difficulty = samples["difficulty"].to_numpy(np.float64)
    table = pd.DataFrame(
        {
            "sample_id": samples["sample_id"].to_numpy(),
            "final_score": samples["final_score"].to_numpy(np.float64),
            "difficulty": difficulty,
        }
    )
    table["execution_score"] = table["final_score"] / difficulty
    for name, values in arrays.items():
        if values is None:
            if name == "sigma":
                table["sigma"] = table["sigma_execution"] = np.nan
            continue
        column = np.asarray(values, dtype=np.float64)
        if column.shape != difficulty.shape:
            raise EvaluationError(
                f"{name}_execution has shape {column.shape}, expected {difficulty.shape}: one "
                "value per sample of the table."
            )
        table[f"{name}_execution"] = column
        table[name] = column * difficulty
    return check_predictions(table, source="predictions")


def check_predictions(predictions: pd.DataFrame, *, source: str) -> pd.DataFrame:
    """Return `predictions` sorted, columns ordered and typed, numbers rounded as they are written.

    Args:
        predictions: table with the columns of `COLUMNS` and, where known, of `JUDGES_COLUMNS` and
            of `TRUTH_COLUMNS`.
        source: where the table comes from, for messages.

    Raises:
        EvaluationError: columns are missing or unknown, the table is empty, or rows are bad; all
            bad rows are named.
    """
    known = (*COLUMNS, *JUDGES_COLUMNS, *TRUTH_COLUMNS)
    missing = [name for name in COLUMNS if name not in predictions.columns]
    unknown = [str(name) for name in predictions.columns if name not in known]
    for pair in (JUDGES_COLUMNS, TRUTH_COLUMNS):
        lacking = [name for name in pair if name not in predictions.columns]
        missing += lacking if len(lacking) == 1 else []
    if missing or unknown:
        raise EvaluationError(
            f"{source}: the predictions table needs the columns {', '.join(COLUMNS)} and either "
            f"both or none of {', '.join(JUDGES_COLUMNS)}, and of {', '.join(TRUTH_COLUMNS)}; "
            f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}."
        )
    if predictions.empty:
        raise EvaluationError(
            f"{source}: the predictions table has no rows; is the test split empty?"
        )
    table = predictions.loc[:, [name for name in known if name in predictions.columns]].copy()
    table["sample_id"] = table["sample_id"].fillna("").astype(str)
    table = table.sort_values("sample_id", kind="stable", ignore_index=True)
    for name in table.columns[1:]:
        numbers = pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64)
        table[name] = [float(_format(number)) for number in numbers]
    problems = _row_problems(table)
    if problems:
        raise EvaluationError(
            f"{source}: {len(problems)} problem(s) in the predictions table:\n"
            f"{first_lines(problems, limit=_MAX_ROWS_SHOWN)}"
        )
    return table


def has_sigma(predictions: pd.DataFrame) -> bool:
    """Return whether the model predicts an uncertainty (a point model leaves sigma empty)."""
    return bool(predictions["sigma"].notna().all())


def has_judges_sigma(predictions: pd.DataFrame) -> bool:
    """Return whether the model tells the judges' part of sigma apart."""
    return set(JUDGES_COLUMNS) <= set(predictions.columns)


def read_predictions(path: Path) -> pd.DataFrame:
    """Read and check the predictions table at `path`.

    Raises:
        EvaluationError: the file is missing, is no CSV table, or `check_predictions` finds faults.
    """
    try:
        table = pd.read_csv(path, dtype={"sample_id": str})
    except FileNotFoundError as error:
        raise EvaluationError(
            f"{path}: no predictions table. Run the stage that writes it: `dvc repro evaluate`."
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path}: not a readable CSV table ({error}).") from error
    return check_predictions(table, source=str(path))


def write_predictions(predictions: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Check `predictions`, write them to `path` whole or not at all, and return them as written."""
    table = check_predictions(predictions, source=str(path))
    text = table.assign(**{name: table[name].map(_format_cell) for name in table.columns[1:]})
    with written_whole(path) as part:
        text.to_csv(part, index=False, lineterminator="\n")
    return table


def _format(number: float) -> str:
    return f"{number:.{_SIGNIFICANT_DIGITS}g}"


def _format_cell(number: float) -> str:
    return "" if np.isnan(number) else _format(number)


def _row_problems(table: pd.DataFrame) -> list[str]:
    """Return one line per fault, in row order."""
    checks: list[tuple[pd.Series, str]] = [
        (table["sample_id"] == "", "sample_id is empty"),
        (table["sample_id"].duplicated(keep=False), "sample_id is not unique"),
    ]
    for name in table.columns[1:]:
        values = table[name]
        if name in ("sigma", "sigma_execution") and values.isna().all():
            continue
        finite = pd.Series(np.isfinite(values.to_numpy(np.float64)))
        checks.append((~finite, f"{name} must be a finite number"))
        if "sigma" in name or name == "difficulty":
            checks.append((finite & (values <= 0), f"{name} must be greater than 0"))
    for final, execution in _PAIRS:
        if final in table.columns:
            expected = table[execution] * table["difficulty"]
            slack = _RELATIVE_TOLERANCE * (1 + table[final].abs())
            off = (table[final] - expected).abs() > slack
            checks.append((off, f"{final} is not {execution} × difficulty"))
    if table["sigma"].isna().all() != table["sigma_execution"].isna().all():
        every_row = pd.Series(True, index=table.index)
        checks.append((every_row, "sigma and sigma_execution must be both given or both empty"))
    return [
        f"sample_id {table.at[row, 'sample_id']!r}: {message}"
        for row in range(len(table))
        for bad, message in checks
        if bool(bad[row])
    ]
