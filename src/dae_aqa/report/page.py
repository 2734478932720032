"""The page: one self-contained HTML file."""

from __future__ import annotations

import base64
import itertools
import json
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from dae_aqa.errors import EvaluationError
from dae_aqa.files.whole import written_whole
from dae_aqa.options import flatten
from dae_aqa.report.accuracy import accuracy_figures
from dae_aqa.report.answers import answer_all
from dae_aqa.report.curves import training_figures
from dae_aqa.report.explanations import few_samples, metric_rows
from dae_aqa.report.figure import signed
from dae_aqa.report.inputs import ReportInputs
from dae_aqa.report.parts import part_figures, part_table
from dae_aqa.report.residuals import error_figures
from dae_aqa.report.uncertainty import coverage_rows, uncertainty_figures
from dae_aqa.tables.annotations import parse_judge_scores

_FOLDER = Path(__file__).parent
_Row = dict[str, Any]


def write_report(inputs: ReportInputs, *, output: Path) -> None:
    """Write the page to `output`, whole or not at all.

    Raises:
        EvaluationError: predictions and annotations do not fit each other, or a film strip is not
            of JPEG images.
    """
    text = render_report(inputs)
    with written_whole(output) as part:
        part.write_text(text, encoding="utf-8")


def render_report(inputs: ReportInputs) -> str:
    """Return the page as HTML; the same inputs give the same text.

    Raises:
        EvaluationError: see `write_report`.
    """
    samples = inputs.samples()
    return render_page(
        "template.html.j2",
        inputs=inputs,
        num_test=len(samples),
        few=few_samples(inputs),
        answers=answer_all(inputs, samples),
        accuracy=accuracy_figures(inputs, samples),
        errors=error_figures(inputs, samples),
        uncertainty=uncertainty_figures(inputs, samples),
        training=training_figures(inputs),
        metric_groups=[
            {"name": name, "rows": list(group)}
            for name, group in itertools.groupby(metric_rows(inputs), key=lambda row: row.group)
        ],
        coverage_rows=coverage_rows(samples),
        published=[item for item in inputs.references if item.kind == "published"],
        **_cards(inputs, samples),
        rows=_rows(samples),
        has_classes=bool((samples["action_class"] != "").any()),
        has_difficulty=samples["difficulty"].nunique() > 1,
        excluded=_excluded(inputs.excluded),
        part_table=part_table(inputs),
        part_figures=part_figures(inputs),
        has_parts="part" in samples.columns,
        params={key: _text(value) for key, value in flatten(inputs.params).items()},
    )


def render_page(template: str, folder: Path = _FOLDER, /, **values: object) -> str:
    """Return a template as HTML, with the style and the script of all pages.

    Args:
        template: its file name.
        folder: where it lies.
        values: what it says, by name; each is escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = signed
    return environment.get_template(template).render(
        style=_own_markup("report.css"),
        script=_own_markup("report.js"),
        svg=Markup,
        **values,
    )


def _own_markup(name: str) -> Markup:
    return Markup((_FOLDER / name).read_text(encoding="utf-8"))  # noqa: S704 - our own


def _rows(samples: pd.DataFrame) -> list[_Row]:
    """Return what the table of predictions shows: the columns of `samples`, and two more."""
    bound = samples["abs_error"].max() or 1.0
    named = [name for name in ("part",) if name in samples.columns]
    words = samples[["sample_id", "action_class", "video_id", *named]].agg(" ".join, axis="columns")
    return _records(samples.assign(bar=50 * samples["abs_error"] / bound, text=words.str.lower()))


def _cards(inputs: ReportInputs, samples: pd.DataFrame) -> dict[str, object]:
    """Return the cards of the worst errors, and of the surprises that are not among them."""
    worst, surprising = (
        samples.sort_values([by, "sample_id"], ascending=[False, True]).head(inputs.num_worst)
        for by in ("abs_error", "surprise")
    )
    is_worst = surprising["sample_id"].isin(worst["sample_id"])
    told = samples[["final_score", "mu", "low", "high"]]
    scale = float(told.to_numpy().min()), float(told.to_numpy().max())
    return {
        "scale": scale,
        "worst": [_card(inputs, row, scale) for row in _records(worst)],
        "surprising": [_card(inputs, row, scale) for row in _records(surprising[~is_worst])],
        "also_worst": surprising.loc[is_worst, "sample_id"].tolist(),
        "num_surprising": len(surprising),
    }


def _card(inputs: ReportInputs, row: _Row, scale: tuple[float, float]) -> _Row:
    """Return the card of one performance, with its places in percent of `scale`, (low, high)."""
    low, high = scale
    places = {
        "judged_at": row["final_score"],
        "predicted_at": row["mu"],
        "band_from": row["low"],
        "band_to": row["high"],
    }
    span = (high - low) or 1.0
    return {
        **row,
        **{name: round(100 * (value - low) / span, 2) for name, value in places.items()},
        "marks": " · ".join(f"{mark:.1f}" for mark in parse_judge_scores(row["judge_scores"])),
        "frames": _film_strip(inputs, row["sample_id"]),
    }


def _film_strip(inputs: ReportInputs, sample_id: str) -> list[str]:
    frames = inputs.thumbnails(sample_id)
    if any(not frame.startswith(b"\xff\xd8") for frame in frames):
        raise EvaluationError(
            f"the film strip of sample {sample_id!r} needs JPEG images, got something else; see "
            "`ReportInputs.thumbnails`."
        )
    return [f"data:image/jpeg;base64,{base64.b64encode(frame).decode()}" for frame in frames]


def _excluded(excluded: pd.DataFrame) -> dict[str, list[Any]] | None:
    if excluded.empty:
        return None
    table = excluded.sort_values(str(excluded.columns[0]), kind="stable").fillna("")
    return {
        "columns": [str(name).replace("_", " ") for name in table.columns],
        "rows": table.astype(str).to_numpy().tolist(),
    }


def _records(table: pd.DataFrame) -> list[_Row]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).strip('"')
