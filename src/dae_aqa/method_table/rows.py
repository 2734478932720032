"""From cells to the rows of the table: means over seeds, costs, what is published, the verdict."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dae_aqa.datasets.base import PublishedResult
from dae_aqa.errors import EvaluationError
from dae_aqa.method_table.cells import Cell
from dae_aqa.method_table.seeds import difference_over_seeds
from dae_aqa.metrics import human_ceiling
from dae_aqa.metrics.paired import PairedDifference
from dae_aqa.tables.predictions import HONEST

RHO = "spearman"


@dataclass(frozen=True, kw_only=True)
class MeanAndSpread:
    """A figure over seeds.

    Attributes:
        mean: over the seeds that have it.
        spread: their standard deviation, with n - 1; None of one seed.
    """

    mean: float
    spread: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> MeanAndSpread | None:
        """Return mean and standard deviation of `values`; None where there is no value."""
        if not values:
            return None
        spread = statistics.stdev(values) if len(values) > 1 else None
        return cls(mean=statistics.fmean(values), spread=spread)


@dataclass(frozen=True, kw_only=True)
class AboveHonest:
    """A row minus the honest row that differs from it in the protocol alone.

    Attributes:
        row: name of the honest row.
        seeds: those that both have.
        figures: by key of `metrics.json`, the difference over these seeds; None where it is
            undefined for one.
    """

    row: str
    seeds: tuple[int, ...]
    figures: Mapping[str, MeanAndSpread | None]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method in the table.

    Attributes:
        name: as the user calls it.
        protocol: of all its cells.
        seeds: those that are finished.
        missing: those that are not.
        figures: by key of `metrics.json`, over the seeds; None where it is undefined for one.
        interval: of rho, over the test samples: the mean of the runs' intervals, end by end.
        train_seconds: mean over the seeds of which it is known.
        score_seconds: likewise.
        published: what others have published of this method on the dataset.
        difference: from the best row of its protocol; None of the best row itself.
        verdict: what the difference says.
        above_honest: what its protocol brings; None of an honest row, and where no honest row
            differs from it in the protocol alone or none of its seeds is finished.
    """

    name: str
    protocol: str
    seeds: tuple[int, ...]
    missing: tuple[int, ...]
    figures: Mapping[str, MeanAndSpread | None]
    interval: tuple[float, float] | None
    train_seconds: float | None
    score_seconds: float | None
    published: PublishedResult | None
    difference: PairedDifference | None = None
    verdict: str = ""
    above_honest: AboveHonest | None = None

    @property
    def rho(self) -> float | None:
        """Mean rank correlation of the final score."""
        figure = self.figures[RHO]
        return None if figure is None else figure.mean


@dataclass(frozen=True, kw_only=True)
class Block:
    """Rows that may be compared: those of one protocol, best first.

    Attributes:
        protocol: of all rows.
        rows: those without a rho stand last.
    """

    protocol: str
    rows: tuple[Row, ...]

    @property
    def is_honest(self) -> bool:
        """Whether no test sample had a part in the choice of the epoch or in the score."""
        return self.protocol == HONEST


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """How well people rank as each other do: a line beside the rows.

    Attributes:
        label: what is compared.
        rho: rank correlation of the final score.
        interval: over the test samples.
    """

    label: str
    rho: float
    interval: tuple[float, float]


# keys of metrics.json that the table has a column of
FIGURES = (
    RHO,
    "spearman_execution",
    "rl2_x100",
    "mae",
    "nll",
    "coverage_90",
    "rejection_tau",
    "num_parameters",
    "gflop_per_performance",
)
PROTOCOL_FIGURES = (RHO, "rl2_x100")  # what papers report


def blocks_of(
    cells: Sequence[Cell],
    *,
    seeds: Mapping[str, Sequence[int]],
    published: Sequence[PublishedResult],
) -> list[Block]:
    """Return the rows in blocks, the honest one first, each with its verdicts.

    Args:
        cells: those that are finished.
        seeds: by name of a row, in the user's order, all its seeds.
        published: what others have reached on the dataset.

    Raises:
        EvaluationError: the cells of a row have different protocols.
    """
    rows = {}
    for name, wanted in seeds.items():
        own = [cell for cell in cells if cell.row == name]
        if own:
            row = _row(name, own, wanted, published)
            rows[name] = replace(row, above_honest=_above_honest(own, cells))
    protocols = sorted({row.protocol for row in rows.values()}, key=lambda each: each != HONEST)
    return [
        Block(
            protocol=protocol,
            rows=_ranked([row for row in rows.values() if row.protocol == protocol], cells),
        )
        for protocol in protocols
    ]


def ceilings_of(cells: Sequence[Cell]) -> list[Ceiling]:
    """Return the human ceilings that the evaluations hold; they are the same in all of them."""
    for cell in cells:
        found = human_ceiling.ceilings_of(cell.metrics)
        if found:
            return [
                Ceiling(
                    label=f"Human ceiling: {label[0].lower()}{label[1:]}",
                    rho=each.rho,
                    interval=(each.low, each.high),
                )
                for label, each in found.items()
            ]
    return []


def published_of(model: str, published: Sequence[PublishedResult]) -> PublishedResult | None:
    """Return what is published of a method: the first whose label begins with its name.

    Example: `dae_mt` finds the label 'DAE-MT, published'.
    """

    def name_in(label: str) -> str:
        return label.partition(", published")[0].lower().replace("-", "_")

    return next((item for item in published if name_in(item.label) == model), None)


def _row(
    name: str, cells: Sequence[Cell], wanted: Sequence[int], published: Sequence[PublishedResult]
) -> Row:
    protocols = {cell.protocol for cell in cells}
    if len(protocols) > 1:
        raise EvaluationError(
            f"row {name!r}: its seeds were evaluated under different protocols, "
            f"{' and '.join(sorted(protocols))}, which have no mean."
        )
    finished = tuple(cell.seed for cell in cells)
    intervals = [cell.interval for cell in cells]
    known = [ends for ends in intervals if ends is not None]
    return Row(
        name=name,
        protocol=protocols.pop(),
        seeds=finished,
        missing=tuple(seed for seed in wanted if seed not in finished),
        figures={key: _over_seeds(key, cells) for key in FIGURES},
        interval=(
            (statistics.fmean(low for low, _ in known), statistics.fmean(high for _, high in known))
            if len(known) == len(cells)
            else None
        ),
        train_seconds=_known_mean([cell.train_seconds for cell in cells]),
        score_seconds=_known_mean([cell.score_seconds for cell in cells]),
        published=published_of(cells[0].model, published),
    )


def _above_honest(own: Sequence[Cell], cells: Sequence[Cell]) -> AboveHonest | None:
    """Return by how much a row's cells are above those of the first honest row like it."""
    settings = own[0].settings
    if own[0].protocol == HONEST or settings is None:
        return None
    alike = [cell for cell in cells if cell.protocol == HONEST and cell.settings == settings]
    honest = {cell.seed: cell for cell in alike if cell.row == alike[0].row}
    both = [(cell, honest[cell.seed]) for cell in own if cell.seed in honest]
    if not both:
        return None
    figures: dict[str, MeanAndSpread | None] = {}
    for key in PROTOCOL_FIGURES:
        pairs = [(cell.figure(key), other.figure(key)) for cell, other in both]
        known = [a - b for a, b in pairs if a is not None and b is not None]
        figures[key] = MeanAndSpread.of(known) if len(known) == len(pairs) else None
    seeds = tuple(cell.seed for cell, _ in both)
    return AboveHonest(row=alike[0].row, seeds=seeds, figures=figures)


def _over_seeds(key: str, cells: Sequence[Cell]) -> MeanAndSpread | None:
    values = [cell.figure(key) for cell in cells]
    numbers = [value for value in values if value is not None]
    return MeanAndSpread.of(numbers) if len(numbers) == len(values) else None


def _known_mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _ranked(rows: Sequence[Row], cells: Sequence[Cell]) -> tuple[Row, ...]:
    """Return the rows, best first, with their verdicts against the best."""
    ranked = sorted(rows, key=lambda row: (row.rho is None, -(row.rho or 0.0)))
    best = ranked[0]
    if best.rho is None:
        return tuple(replace(row, verdict="no rho") for row in ranked)
    return (replace(best, verdict="best"), *(_judged(row, best, cells) for row in ranked[1:]))


def _judged(row: Row, best: Row, cells: Sequence[Cell]) -> Row:
    if row.rho is None:
        return replace(row, verdict="no rho")
    if any(cell.metrics.get("tasks") for cell in cells if cell.row in (row.name, best.name)):
        # rho is a mean over tasks, of few samples each: no resample of all tests it
        return replace(row, verdict="not tested: several tasks")
    tables = {
        name: {cell.seed: cell.predictions for cell in cells if cell.row == name}
        for name in (best.name, row.name)
    }
    try:
        difference = difference_over_seeds(tables[best.name], tables[row.name])
    except EvaluationError as error:
        return replace(row, verdict=f"not tested: {error}")
    if not difference.is_distinguishable:
        verdict = "not distinguishable"
    else:  # a row that lacks seeds of the best one may still lead on those of both
        verdict = "worse" if difference.high < 0 else "better on the seeds of both"
    return replace(row, difference=difference, verdict=verdict)
