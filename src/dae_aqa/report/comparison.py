"""The page that compares two models on the same test samples, and its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dae_aqa.files.whole import written_whole
from dae_aqa.metrics.comparison import FigureComparison, Verdict
from dae_aqa.report import drawing
from dae_aqa.report.drawing import ALERT, MUTED, PREDICTION
from dae_aqa.report.figure import ReportFigure, signed
from dae_aqa.report.page import render_page

VERDICTS: dict[Verdict, str] = {
    "first": "A is better",
    "second": "B is better",
    "neither": "not distinguishable",
    "different": "different, neither is nearer to 90 %",
    "undefined": "undefined",
}


@dataclass(frozen=True, kw_only=True)
class ModelWords:
    """How the page names a model.

    Attributes:
        name: as it was asked for.
        place: where its evaluation was found.
        protocol: how its epoch was chosen.
        mean_over_tasks: its mean rho over tasks; None where there are none.
    """

    name: str
    place: str
    protocol: str
    mean_over_tasks: float | None


@dataclass(frozen=True, kw_only=True)
class ComparisonInputs:
    """Everything that the page says.

    Attributes:
        first: model A.
        second: model B.
        figures: of `dae_aqa.metrics.comparison.compare_figures`.
        samples: of `dae_aqa.metrics.comparison.changed_samples`.
        level: of the intervals.
        num_resamples: resamples behind them.
    """

    first: ModelWords
    second: ModelWords
    figures: Sequence[FigureComparison]
    samples: pd.DataFrame
    level: float
    num_resamples: int

    def notes(self) -> list[str]:
        """Return what a reader must know before any figure."""
        notes = []
        if self.first.protocol != self.second.protocol:
            notes.append(
                f"A follows the protocol {self.first.protocol}, B the protocol "
                f"{self.second.protocol}: they chose their epochs in different ways, and a "
                "difference may come from that alone."
            )
        means = (self.first.mean_over_tasks, self.second.mean_over_tasks)
        if means[0] is not None and means[1] is not None:
            notes.append(
                f"Mean ρ over tasks: A {means[0]:.3f}, B {means[1]:.3f}. The figures below are of "
                "all tasks together; the mean has no interval."
            )
        return notes


@dataclass(frozen=True, kw_only=True)
class FigureRow:
    """One line of the table of figures, as texts.

    Attributes:
        name: the figure.
        better: which values are better: ↑, ↓, or a number.
        first: of A, or a dash.
        second: of B.
        difference: B - A.
        interval: of the difference, or why there is none.
        verdict: in words.
        kind: the verdict, for colours.
    """

    name: str
    better: str
    first: str
    second: str
    difference: str
    interval: str
    verdict: str
    kind: Verdict


def figure_rows(figures: Sequence[FigureComparison]) -> list[FigureRow]:
    """Return the table of figures as texts, for page and terminal."""
    return [_row(found) for found in figures]


def summary(figures: Sequence[FigureComparison]) -> str:
    """Return how often which verdict was given, in a sentence."""
    counts = {verdict: sum(found.verdict == verdict for found in figures) for verdict in VERDICTS}
    parts = [
        f"B is better in {counts['second']}",
        f"A in {counts['first']}",
        f"{counts['neither']} cannot tell them apart",
    ]
    if counts["different"]:
        parts.append(f"{counts['different']} differs without either being better")
    if counts["undefined"]:
        parts.append(f"{counts['undefined']} cannot be computed")
    return f"Of {len(figures)} figures, {', '.join(parts)}."


def write_comparison(inputs: ComparisonInputs, *, output: Path) -> None:
    """Write the page to `output`, whole or not at all."""
    text = render_comparison(inputs)
    with written_whole(output) as part:
        part.write_text(text, encoding="utf-8")


def render_comparison(inputs: ComparisonInputs) -> str:
    """Return the page as HTML; the same inputs give the same text."""
    samples = inputs.samples
    return render_page(
        "comparison.html.j2",
        inputs=inputs,
        summary=summary(inputs.figures),
        rows=figure_rows(inputs.figures),
        figures=[_predictions(samples), _errors(samples)],
        samples=_sample_rows(samples),
        has_difficulty=samples["difficulty"].nunique() > 1,
    )


def _row(found: FigureComparison) -> FigureRow:
    decimals = found.compared.decimals

    def text(value: float | None) -> str:
        return "–" if value is None else f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}")

    difference = found.difference
    return FigureRow(
        name=found.compared.name,
        better={"higher": "↑", "lower": "↓", "near 0.9": "0.9"}[found.compared.better],
        first=text(found.first),
        second=text(found.second),
        difference="–" if difference is None else signed(difference.difference, decimals),
        interval=found.reason
        if difference is None
        else f"{signed(difference.low, decimals)} to {signed(difference.high, decimals)}",
        verdict=VERDICTS[found.verdict],
        kind=found.verdict,
    )


def _predictions(samples: pd.DataFrame) -> ReportFigure:
    figure, axes = drawing.new_figure()
    a, b = samples["mu_first"].to_numpy(), samples["mu_second"].to_numpy()
    low, high = float(min(a.min(), b.min())), float(max(a.max(), b.max()))
    margin = 0.05 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, **drawing.GUIDE)
    drawing.add_points(axes, a, b, colors=_colors(samples))
    axes.set(xlim=limits, ylim=limits, xlabel="predicted by A", ylabel="predicted by B")
    axes.annotate(
        "B more generous", (0.02, 0.97), xycoords="axes fraction", **drawing.HINT, va="top"
    )
    axes.annotate("B stricter", (0.98, 0.03), xycoords="axes fraction", **drawing.HINT, ha="right")
    change = samples["change"].abs()
    return drawing.finish(
        figure,
        name="predictions",
        title="What they predict",
        label=f"Predictions of B against those of A, {len(samples)} samples.",
        samples=_with_hints(samples),
        finding=f"B moves a prediction by {change.mean():.1f} points on average, by "
        f"{change.max():.1f} at most; its mean is {signed(samples['change'].mean(), 1)} points "
        "from that of A.",
        reading="Each dot is one performance; on the dashed line both models say the same. Blue: "
        "B is nearer to the judges; orange: A is nearer. Hover over a dot for its name, click it "
        "to find its row in the table.",
    )


def _errors(samples: pd.DataFrame) -> ReportFigure:
    figure, axes = drawing.new_figure()
    a, b = samples["error_first"].abs().to_numpy(), samples["error_second"].abs().to_numpy()
    top = 1.05 * float(max(a.max(), b.max())) or 1.0
    axes.plot((0, top), (0, top), **drawing.GUIDE)
    drawing.add_points(axes, a, b, colors=_colors(samples))
    axes.set(xlim=(0, top), ylim=(0, top), xlabel="points by which A misses")
    axes.set_ylabel("points by which B misses")
    axes.annotate("A nearer", (0.02, 0.97), xycoords="axes fraction", **drawing.HINT, va="top")
    axes.annotate("B nearer", (0.98, 0.03), xycoords="axes fraction", **drawing.HINT, ha="right")
    nearer, farther = int((samples["gain"] > 0).sum()), int((samples["gain"] < 0).sum())
    return drawing.finish(
        figure,
        name="errors",
        title="By how much they miss",
        label=f"Absolute errors of B against those of A, {len(samples)} samples.",
        samples=_with_hints(samples),
        finding=f"B is nearer to the judges for {nearer} performances, A for {farther}.",
        reading="Each dot is one performance. Below the dashed line B misses the judged score by "
        "less than A (blue), above it by more (orange). Dots along the line are hard or easy for "
        "both.",
    )


def _colors(samples: pd.DataFrame) -> list[str]:
    return [PREDICTION if gain > 0 else ALERT if gain < 0 else MUTED for gain in samples["gain"]]


def _with_hints(samples: pd.DataFrame) -> pd.DataFrame:
    hints = [
        f"{sample_id}: judged {score:.1f}, A {first:.1f}, B {second:.1f}"
        for sample_id, score, first, second in zip(
            *(samples[name] for name in ("sample_id", "final_score", "mu_first", "mu_second")),
            strict=True,
        )
    ]
    return samples.assign(hint=hints)


def _sample_rows(samples: pd.DataFrame) -> list[dict[str, Any]]:
    bound = float(samples["gain"].abs().max()) or 1.0
    nearer = np.select([samples["gain"] > 0, samples["gain"] < 0], ["second", "first"], "")
    table = samples.assign(bar=50 * samples["gain"].abs() / bound, nearer=nearer)
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
