"""The predictions table: what a model says of each test sample, and all that evaluation needs.

One row per test sample, sorted by `sample_id`. Where the dataset has several parts, the column
`part` says whose model it is, a sample occurs once in each part that tests it, and the rows are
sorted by part first. The columns of `COLUMNS` come in that order, then
those of `JUDGES_COLUMNS` where the model tells them, `MIXTURE_COLUMN` where it says more than mean
and standard deviation, those of `TRUTH_COLUMNS` where the dataset knows them, and `PROTOCOL_COLUMN`
in the table that the evaluate stage writes. All scores are in points.

The execution columns are always there: in a sport without difficulty, `difficulty` is 1.0 and they
equal the final ones, so that no reader has to branch. The table is built from forecasts of the
execution score, which it multiplies by the difficulty.

Numbers have nine significant digits: the fewest that tell any two float32 values apart (what a
network puts out), short enough to read, and the same bytes for the same values. The table is
rounded and checked where it is built or read, and nowhere else. Metrics are computed from the table
as written, so `read_predictions(path)` reproduces them to the last digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from dae_aqa.errors import EvaluationError
from dae_aqa.files.whole import written_whole
from dae_aqa.tables.parts import Part
from dae_aqa.wording import problem_list

COLUMNS = (
    "sample_id",  # unique, as in the annotations table
    "final_score",  # the official score
    "mu",  # predicted mean of the final score: mu_execution × difficulty
    "sigma",  # predicted standard deviation of the final score: sigma_execution × difficulty
    "difficulty",  # degree of difficulty; 1.0 where the sport has none
    "execution_score",  # final_score / difficulty
    "mu_execution",  # predicted mean of the execution score
    "sigma_execution",  # predicted standard deviation of the execution score, > 0
)
PART_COLUMN = "part"  # after `sample_id`, where there are several, see `dae_aqa.tables.parts`
JUDGES_COLUMNS = (
    "sigma_judges",  # the part of sigma that comes from judges who scatter among themselves
    "sigma_judges_execution",  # the same of the execution score
)
HONEST = "honest"  # the protocol of an evaluation that names none
PROTOCOL_COLUMN = "protocol"  # honest, or as_published where the test samples chose the epoch
# where a forecast is no Gaussian: the components of its mixture, each weight:mean:sigma, execution
# scale, with a space between two
MIXTURE_COLUMN = "mixture_execution"
TRUTH_COLUMNS = (
    "true_sigma",  # standard deviation of the final score given the performance
    "true_sigma_execution",  # the same of the execution score
)
_MIXTURE_DIGITS = 6  # of the up to 160 components of a sample
_MAX_WEIGHT_ERROR = 1e-3  # of their sum, after rounding
_SIGNIFICANT_DIGITS = 9  # Source: IEEE 754-2019, 5.12.2: 9 decimal digits identify a binary32
_PAIRS = (
    ("final_score", "execution_score"),
    ("mu", "mu_execution"),
    ("sigma", "sigma_execution"),
    JUDGES_COLUMNS,
    TRUTH_COLUMNS,
)
_RELATIVE_TOLERANCE = 1e-4  # of final = execution × difficulty, after float32 arithmetic
_FloatColumn = npt.NDArray[np.floating]


def build_predictions(
    *,
    samples: pd.DataFrame,
    mu_execution: _FloatColumn,
    sigma_execution: _FloatColumn,
    sigma_judges_execution: _FloatColumn | None = None,
    mixture_execution: npt.NDArray[np.float64] | None = None,
    true_sigma_execution: _FloatColumn | None = None,
    part: str = "",
) -> pd.DataFrame:
    """Return the checked predictions table of `samples` from a forecast of the execution score.

    Args:
        samples: rows of the annotations table (N), in the order of the arrays.
        mu_execution: predicted means (N,), execution scale.
        sigma_execution: predicted standard deviations (N,), > 0, execution scale.
        sigma_judges_execution: the judges' part of it (N,), > 0, where the model tells it apart.
        mixture_execution: (N, 3, K), weight, mean and sigma of the K components of each forecast,
            execution scale, where they are no Gaussians.
        true_sigma_execution: the truth (N,), > 0, where the dataset knows it.
        part: the part that tests the samples; '' where there is but one.

    Raises:
        EvaluationError: lengths differ or `check_predictions` finds faults.
    """
    forecast = {
        "mu": mu_execution,
        "sigma": sigma_execution,
        "sigma_judges": sigma_judges_execution,
        "true_sigma": true_sigma_execution,
    }
    difficulty = samples["difficulty"].to_numpy(np.float64)
    final_score = samples["final_score"].to_numpy(np.float64)
    table = {
        "sample_id": samples["sample_id"].to_numpy(),
        **({PART_COLUMN: part} if part else {}),
        "final_score": final_score,
        "difficulty": difficulty,
        "execution_score": final_score / difficulty,
    }
    for name, values in forecast.items():
        if values is None:
            continue
        column = np.asarray(values, dtype=np.float64)
        if column.shape != difficulty.shape:
            raise EvaluationError(
                f"{name}_execution has shape {column.shape}, expected {difficulty.shape}: one "
                "value per sample of the table."
            )
        table |= {name: column * difficulty, f"{name}_execution": column}
    if mixture_execution is not None:
        table[MIXTURE_COLUMN] = [_mixture_text(each) for each in mixture_execution]
    return check_predictions(pd.DataFrame(table), source="predictions")


def check_predictions(predictions: pd.DataFrame, *, source: str) -> pd.DataFrame:
    """Return `predictions` sorted, with ordered columns and numbers rounded as they are written.

    Args:
        predictions: table with the columns of `COLUMNS` and, where known, of `JUDGES_COLUMNS`,
            `MIXTURE_COLUMN`, those of `TRUTH_COLUMNS` and `PROTOCOL_COLUMN`.
        source: where the table comes from, for messages.

    Raises:
        EvaluationError: columns are missing or unknown, the table is empty, or rows are bad; all
            bad rows are named.
    """
    optional = (*JUDGES_COLUMNS, MIXTURE_COLUMN, *TRUTH_COLUMNS, PROTOCOL_COLUMN)
    known = (COLUMNS[0], PART_COLUMN, *COLUMNS[1:], *optional)
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
    for name in _texts_of(table):
        table[name] = table[name].fillna("").astype(str)
    table = table.sort_values(names_of(table)[::-1], key=_place, kind="stable", ignore_index=True)
    for name in numbers_of(table):
        numbers = pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64)
        table[name] = [rounded(number) for number in numbers]
    problems = _row_problems(table)
    if problems:
        raise EvaluationError(f"{source}: the predictions table has {problem_list(problems)}")
    return table


def has_judges_sigma(predictions: pd.DataFrame) -> bool:
    """Return whether the model tells the judges' part of sigma apart."""
    return set(JUDGES_COLUMNS) <= set(predictions.columns)


def mixture_of(text: str) -> npt.NDArray[np.float64]:
    """Return weight, mean and sigma (3, K) of a text in `MIXTURE_COLUMN`.

    Example: '0.75:20:1.5 0.25:24:1' gives [[0.75, 0.25], [20, 24], [1.5, 1]].

    Raises:
        ValueError: the text is no such list.
    """
    components = [[float(number) for number in each.split(":")] for each in text.split()]
    if not components or any(len(each) != 3 for each in components):
        raise ValueError(f"{text[:40]!r} is no list of weight:mean:sigma")
    return np.array(components).T


def joined_mixture(texts: Sequence[str]) -> str:
    """Return the mixture of several forecasts of one sample, all of one weight, as a text."""
    weight, mean, sigma = np.concatenate([mixture_of(text) for text in texts], axis=1)
    return _mixture_text(np.stack([weight / len(texts), mean, sigma]))


def _mixture_text(components: npt.NDArray[np.float64]) -> str:
    """Return components (3, K) as `MIXTURE_COLUMN` holds them, without those of weight 0."""
    return " ".join(
        ":".join(f"{number:.{_MIXTURE_DIGITS}g}" for number in each)
        for each in components.T
        if each[0] > 0
    )


def read_predictions(path: Path) -> pd.DataFrame:
    """Read and check the predictions table at `path`.

    Raises:
        EvaluationError: the file is missing, is no CSV table, or `check_predictions` finds faults.
    """
    try:
        table = pd.read_csv(path, dtype={"sample_id": str, PART_COLUMN: str})
    except FileNotFoundError as error:
        raise EvaluationError(
            f"{path}: no predictions table. Run the stage that writes it: `dvc repro evaluate`."
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path}: not a readable CSV table ({error}).") from error
    return check_predictions(table, source=str(path))


def write_predictions(predictions: pd.DataFrame, path: Path) -> None:
    """Write the checked table to `path`, whole or not at all."""
    numbers = {name: predictions[name].map(_format) for name in numbers_of(predictions)}
    text = predictions.assign(**numbers)
    with written_whole(path) as part:
        text.to_csv(part, index=False, lineterminator="\n")


def names_of(predictions: pd.DataFrame) -> list[str]:
    """Return the columns that together name a row."""
    return [name for name in ("sample_id", PART_COLUMN) if name in predictions.columns]


def numbers_of(predictions: pd.DataFrame) -> list[str]:
    """Return the columns that are numbers."""
    texts = _texts_of(predictions)
    return [name for name in predictions.columns if name not in texts]


def _texts_of(predictions: pd.DataFrame) -> list[str]:
    texts = [name for name in (MIXTURE_COLUMN, PROTOCOL_COLUMN) if name in predictions.columns]
    return names_of(predictions) + texts


def _has_parts(table: pd.DataFrame) -> bool:
    return PART_COLUMN in table.columns


def _is_part(name: str) -> bool:
    try:
        return Part.parse(name).name != ""
    except ValueError:
        return False


def _is_mixture(text: str) -> bool:
    try:
        weight, mean, sigma = mixture_of(text)
    except ValueError:
        return False
    is_weight = bool((weight > 0).all()) and abs(float(weight.sum()) - 1) < _MAX_WEIGHT_ERROR
    return is_weight and bool(np.isfinite(mean).all()) and bool((sigma > 0).all())


def _place(column: pd.Series) -> pd.Series:
    """Return what rows are sorted by: the place of a part, the text of a `sample_id`."""
    if column.name == PART_COLUMN:
        return column.map(lambda name: Part.parse(name).place if _is_part(name) else (name, 0, ""))
    return column


def rounded(number: float) -> float:
    """Return the number as the table holds it, with nine significant digits."""
    return float(_format(number))


def _format(number: float) -> str:
    return f"{number:.{_SIGNIFICANT_DIGITS}g}"


def _row_problems(table: pd.DataFrame) -> list[str]:
    """Return one line per fault, in row order."""
    checks: list[tuple[pd.Series, str]] = [
        (table["sample_id"] == "", "sample_id is empty"),
        (table.duplicated(names_of(table), keep=False), "sample_id is not unique"),
        *([(~table[PART_COLUMN].map(_is_part), "no name of a part")] if _has_parts(table) else []),
    ]
    if MIXTURE_COLUMN in table.columns:
        checks.append((~table[MIXTURE_COLUMN].map(_is_mixture), f"{MIXTURE_COLUMN} is no mixture"))
    for name in numbers_of(table):
        finite = pd.Series(np.isfinite(table[name].to_numpy(np.float64)))
        checks.append((~finite, f"{name} must be a finite number"))
        if "sigma" in name or name == "difficulty":
            checks.append((finite & (table[name] <= 0), f"{name} must be greater than 0"))
    for final, execution in _PAIRS:
        if final in table.columns:
            expected = table[execution] * table["difficulty"]
            slack = _RELATIVE_TOLERANCE * (1 + table[final].abs())
            off = (table[final] - expected).abs() > slack
            checks.append((off, f"{final} is not {execution} × difficulty"))
    return [
        f"sample_id {table.at[row, 'sample_id']!r}: {message}"
        for row in range(len(table))
        for bad, message in checks
        if bool(bad[row])
    ]
