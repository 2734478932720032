"""Stage 5: predict the test samples once; write predictions, calibration, metrics and report."""

from pathlib import Path

from dae_aqa.running.places import cache_dir
from dae_aqa.running.runtime import run_stage

DATA = Path("data")
FRAMES_DIR = DATA / "frames"
MODELS_DIR = Path("models")
HISTORY = Path("reports/training.csv")
REPORTS_DIR = Path("reports")


def main() -> None:
    """Write predictions.csv, calibration.csv, metrics.json and index.html."""
    # imported here: Ctrl-C meanwhile is then no traceback
    import pandas as pd

    from dae_aqa.datasets import DATASETS
    from dae_aqa.evaluation.stage import evaluate_and_report
    from dae_aqa.evaluation.tables import EvaluationTables
    from dae_aqa.params import load_params
    from dae_aqa.splits.make import read_splits
    from dae_aqa.tables.annotations import read_annotations

    params = load_params()
    evaluate_and_report(
        params.training,
        evaluate=params.evaluate,
        dataset=DATASETS[params.dataset],
        params=params.used,
        tables=EvaluationTables(
            annotations=read_annotations(DATA / "annotations.csv"),
            splits=read_splits(DATA / "splits.csv"),
            truth=pd.read_csv(DATA / "truth.csv", dtype={"sample_id": str}),
            notes=pd.read_csv(DATA / "notes.csv", dtype=str),
            extraction_notes=pd.read_csv(
                DATA / "extraction_notes.csv", dtype=str, keep_default_na=False
            ),
            excluded=pd.read_csv(DATA / "excluded.csv", dtype=str),
            missing_videos=pd.read_csv(DATA / "missing_videos.csv", dtype=str),
            history=pd.read_csv(HISTORY),
            protocol=params.protocol,
        ),
        frames_dir=FRAMES_DIR,
        models_dir=MODELS_DIR,
        reports_dir=REPORTS_DIR,
        trainings_dir=cache_dir("trainings"),
        features_dir=cache_dir("features"),
    )


if __name__ == "__main__":
    run_stage("evaluate", main)
