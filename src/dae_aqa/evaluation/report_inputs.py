"""What the evaluate stage hands to the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torchvision.io import encode_jpeg

from dae_aqa.clips.decode import decode_frames
from dae_aqa.clips.layout import ClipLayout
from dae_aqa.datasets import Dataset
from dae_aqa.evaluation.notes import ExemplarCounts, note_sentences
from dae_aqa.evaluation.options import EvaluateOptions
from dae_aqa.evaluation.references import references_of
from dae_aqa.evaluation.tables import EvaluationTables
from dae_aqa.metrics.parts import PartMetrics
from dae_aqa.metrics.summary import Metrics
from dae_aqa.packs.store import PackedSample
from dae_aqa.report import KeptEpoch, ReportInputs
from dae_aqa.training.history import EpochChoice, history_of_part
from dae_aqa.training.options import TrainingOptions

_NUM_THUMBNAILS = 10


def report_inputs(
    options: TrainingOptions,
    *,
    evaluate: EvaluateOptions,
    dataset: Dataset,
    params: Mapping[str, Any],
    tables: EvaluationTables,
    predictions: pd.DataFrame,
    metrics: Metrics,
    part_metrics: PartMetrics | None,
    layout: ClipLayout,
    num_leaked: int,
    exemplars: Sequence[ExemplarCounts],
    frames_dir: Path,
) -> ReportInputs:
    """Return all that the page says; see `evaluate_and_report` for what it is made of.

    `layout` is that of the clips of the first part's model; `num_leaked` test samples had a part in
    training; `exemplars` tells of each part whose model compares.
    """
    return ReportInputs(
        dataset=params["dataset"],
        model=options.model,
        backbone=options.backbone,
        checkpoint=evaluate.checkpoint,
        predictions=predictions,
        metrics=metrics,
        part_metrics=part_metrics,
        parts_of=_parts_of(tables),
        references=references_of(dataset, metrics),
        annotations=tables.annotations,
        truth=tables.truth,
        excluded=tables.excluded,
        notes=list(
            note_sentences(
                tables,
                checkpoint=evaluate.checkpoint,
                layout=layout,
                num_leaked=num_leaked,
                exemplars=exemplars,
            )
        ),
        learning_curves=tables.history,
        kept_epochs=_kept_epochs(options, tables),
        num_warmup_epochs=options.num_warmup_epochs,
        params=params,
        thumbnails=partial(_thumbnails, frames_dir),
        num_worst=evaluate.num_worst,
        num_train=tables.num_train,
        num_val=tables.num_val,
        protocol=options.protocol,
    )


def _parts_of(tables: EvaluationTables) -> dict[str, str]:
    """Return by sample the part that tests it; nothing where it has no name or is not the only."""
    tested = tables.splits[tables.splits["split"] == "test"]
    if (tested["part"] == "").all() or tested["sample_id"].duplicated().any():
        return {}
    return dict(zip(tested["sample_id"], tested["part"], strict=True))


def _kept_epochs(options: TrainingOptions, tables: EvaluationTables) -> dict[str, KeptEpoch]:
    """Return by part the epoch whose weights its model has; none of one not trained here."""
    kept = {}
    for part, size in tables.sizes.items():
        choice = EpochChoice.of(options, num_val=size["num_val"])
        history = history_of_part(tables.history, part)
        best = choice.best_epoch(history)
        if best is not None:
            kept[part] = KeptEpoch(best, choice.in_words(history))
    return kept


def _thumbnails(frames_dir: Path, sample_id: str) -> list[bytes]:
    """Return JPEG frames evenly spread over the sample's window."""
    pack = PackedSample.open(frames_dir / f"{sample_id}.zip")
    offset, length = pack.meta.window_offset, pack.meta.window_length
    rows = np.linspace(offset, offset + length - 1, _NUM_THUMBNAILS).astype(int).tolist()
    images = pack.read(rows)
    if pack.meta.image_format == "jpeg":
        return images
    return [encode_jpeg(frame).numpy().tobytes() for frame in decode_frames(images)]
