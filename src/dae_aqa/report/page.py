"""The page: one self-contained HTML file."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from dae_aqa.errors import EvaluationError
from dae_aqa.files.whole import written_whole
from dae_aqa.metrics.calibration import interval_half_width
from dae_aqa.report.accuracy import accuracy_figures
from dae_aqa.report.answers import answer_all
from dae_aqa.report.curves import training_figures
from dae_aqa.report.explanations import few_samples, metric_rows
from dae_aqa.report.figure import signed
from dae_aqa.report.inputs import ReportInputs
from dae_aqa.report.references import references_of
from dae_aqa.report.residuals import error_figures
from dae_aqa.report.uncertainty import coverage_rows, uncertainty_figures
from dae_aqa.tables.annotations import parse_judge_scores

_FOLDER = Path(__file__).parent
_LEVEL = 0.9  # of the intervals in cards and table


def write_report(inputs: ReportInputs, *, output: Path) -> None:
    """Write the page to `output`, whole or not at all.

    Raises:
        EvaluationError: predictions, annotations and provenance do not fit each other.
    """
    text = render_report(inputs)
    with written_whole(output) as part:
        part.write_text(text, encoding="utf-8")


def render_report(inputs: ReportInputs) -> str:
    """Return the page as HTML; the same inputs give the same text.

    Raises:
        EvaluationError: predictions, annotations and provenance do not fit each other.
    """
    samples = inputs.samples()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = signed
    worst = samples.sort_values(["abs_error", "sample_id"], ascending=[False, True])
    worst = worst.head(inputs.num_worst)
    surprising = samples.iloc[:0]
    if inputs.has_sigma:
        surprising = samples.sort_values(["surprise", "sample_id"], ascending=[False, True])
        surprising = surprising.head(inputs.num_worst)
    new = surprising[~surprising["sample_id"].isin(worst["sample_id"])]
    worst_cards, surprising_cards = (_cards(inputs, samples, chosen) for chosen in (worst, new))
    return environment.get_template("template.html.j2").render(
        dataset=inputs.dataset,
        model=str(inputs.provenance["model"]),
        num_test=len(samples),
        num_train=inputs.num_train,
        num_val=inputs.num_val,
        is_imported="imported_checkpoint" in inputs.provenance,
        few=few_samples(inputs),
        style=Markup((_FOLDER / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - our own
        script=Markup((_FOLDER / "report.js").read_text(encoding="utf-8")),  # noqa: S704 - our own
        answers=answer_all(inputs, samples),
        accuracy=accuracy_figures(inputs, samples),
        errors=error_figures(inputs, samples),
        uncertainty=uncertainty_figures(inputs, samples),
        training=training_figures(inputs),
        svg=Markup,
        metric_groups=[
            {"name": name, "rows": list(group)}
            for name, group in itertools.groupby(metric_rows(inputs), key=lambda row: row.group)
        ],
        coverage_rows=coverage_rows(samples) if inputs.has_sigma else [],
        references=[item for item in references_of(inputs) if item.source],
        worst=worst_cards,
        surprising=surprising_cards,
        also_worst=[name for name in surprising["sample_id"] if name in set(worst["sample_id"])],
        num_surprising=len(surprising),
        has_sigma=inputs.has_sigma,
        rows=_rows(samples),
        has_classes=bool((samples["action_class"] != "").any()),
        has_difficulty=samples["difficulty"].nunique() > 1,
        excluded=_excluded(inputs.excluded),
        notes=list(inputs.notes),
        provenance={_words(key): _text(value) for key, value in inputs.provenance.items()},
        params=_flatten(inputs.params),
    )


def _rows(samples: pd.DataFrame) -> list[dict[str, object]]:
    half = interval_half_width(level=_LEVEL) * samples["sigma"].to_numpy(np.float64)
    bound = samples["abs_error"].max() or 1.0
    rows = []
    for row, half_width in zip(samples.to_dict("records"), half, strict=True):
        outside = bool(row["abs_error"] > half_width)  # False without sigma
        rows.append(
            {
                **{str(key): value for key, value in row.items()},
                "outside": outside,
                "bar": 50 * row["abs_error"] / bound,
                "text": f"{row['sample_id']} {row['action_class']} {row['video_id']}".lower(),
            }
        )
    return rows


def _cards(
    inputs: ReportInputs, samples: pd.DataFrame, chosen: pd.DataFrame
) -> list[dict[str, object]]:
    """Return what the page shows of single performances: facts, interval, film strip."""
    half = interval_half_width(level=_LEVEL)
    reach = samples["sigma"].fillna(0.0).to_numpy() * half
    low = float(min(samples["final_score"].min(), (samples["mu"] - reach).min()))
    high = float(max(samples["final_score"].max(), (samples["mu"] + reach).max()))
    span = (high - low) or 1.0

    def percent(value: float) -> float:
        return round(100 * (value - low) / span, 2)

    cards: list[dict[str, object]] = []
    for row in chosen.to_dict("records"):
        width = half * row["sigma"]
        marks = parse_judge_scores(row["judge_scores"])
        cards.append(
            {
                **{str(key): value for key, value in row.items()},
                "marks": " · ".join(f"{mark:.1f}" for mark in marks),
                "scale": (f"{low:.0f}", f"{high:.0f}"),
                "judged_at": percent(row["final_score"]),
                "predicted_at": percent(row["mu"]),
                "interval": None
                if np.isnan(width)
                else (percent(row["mu"] - width), percent(row["mu"] + width)),
                "frames": _film_strip(inputs, str(row["sample_id"])),
            }
        )
    return cards


def _film_strip(inputs: ReportInputs, sample_id: str) -> list[str]:
    if inputs.thumbnails is None:
        return []
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
        "columns": [_words(str(name)) for name in table.columns],
        "rows": table.astype(str).to_numpy().tolist(),
    }


def _flatten(params: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in params.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(value, ensure_ascii=False, default=str).strip('"')
    return flat


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)


def _words(key: str) -> str:
    return key.replace("_", " ")
