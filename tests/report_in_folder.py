"""Writes the report of a few made-up predictions as the evaluate stage does.

Arguments: the folder and the file of parameters.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from dae_aqa.clips.layout import PUBLISHED_LAYOUT
from dae_aqa.datasets import DATASETS
from dae_aqa.evaluation.report_inputs import report_inputs
from dae_aqa.evaluation.tables import EvaluationTables
from dae_aqa.metrics.summary import evaluate_predictions
from dae_aqa.params import load_params
from dae_aqa.report import ReportInputs, write_report
from dae_aqa.tables.predictions import build_predictions
from dae_aqa.training.history import COLUMNS
from tests.packed_samples import draw_frames, write_pack

NUM = 12


def made_up_inputs(folder: Path, *, params: Path, checkpoint: str | None = None) -> ReportInputs:
    """Return the inputs of a report on twelve test samples, whose packed frames go to `folder`."""
    rng = np.random.default_rng(0)
    ids = [f"dive_{n:02d}" for n in range(NUM)]
    frames = folder / "frames"
    frames.mkdir()
    for name in ids:
        write_pack(frames, name, draw_frames(name, num_frames=12))
    annotations = pd.DataFrame(
        {
            "sample_id": ids,
            "video_id": "01",
            "start_frame": 0,
            "end_frame": 12,
            "final_score": rng.uniform(30, 90, NUM),
            "difficulty": rng.choice([2.0, 3.0], NUM),
            "judge_scores": "8;7.5;9",
            "split": "test",
            "task": "",
            "fold": "",
            "group": "",
            "action_class": rng.choice(["107B", "305C"], NUM),
        }
    )
    predictions = build_predictions(
        samples=annotations,
        mu_execution=rng.uniform(10, 30, NUM),
        sigma_execution=rng.uniform(1, 2, NUM),
        true_sigma_execution=rng.uniform(1, 2, NUM),
    )
    tables = EvaluationTables(
        annotations=annotations,
        splits=pd.DataFrame({"sample_id": ids, "split": "test", "part": ""}),
        truth=pd.DataFrame({"sample_id": ids, "fault_splash": rng.uniform(size=NUM)}),
        notes=pd.DataFrame({"sample_id": ids[:2], "kind": ["b", "a"], "detail": "differs"}),
        extraction_notes=pd.DataFrame(columns=["sample_id", "video_id", "note"]),
        excluded=pd.DataFrame(columns=["sample_id", "reason"]),
        missing_videos=pd.DataFrame(columns=["video_id"]),
        history=pd.DataFrame(rng.uniform(size=(3, len(COLUMNS))), columns=list(COLUMNS)).assign(
            epoch=range(3)
        ),
    )
    metrics = evaluate_predictions(predictions, num_bootstrap=100, seed=0)
    used = load_params(params)
    return report_inputs(
        used.training,
        evaluate=used.evaluate.replaced(checkpoint=checkpoint),
        dataset=DATASETS[used.dataset],
        params=used.used,
        tables=tables,
        predictions=predictions,
        metrics=metrics,
        part_metrics=None,
        layout=PUBLISHED_LAYOUT,
        num_leaked=0,
        exemplars=[],
        frames_dir=frames,
    )


def write_report_in(folder: Path, *, params: Path) -> None:
    """Write `index.html` of these samples into `folder`."""
    write_report(made_up_inputs(folder, params=params), output=folder / "index.html")


if __name__ == "__main__":
    write_report_in(Path(sys.argv[1]), params=Path(sys.argv[2]))
