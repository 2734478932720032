"""Stage 4: train a model of each part, the epoch chosen on validation; or import a checkpoint.

Resumes by itself: kill it, run `dvc repro` again, and it goes on after the last whole epoch.
"""

from pathlib import Path

from dae_aqa.running.places import cache_dir
from dae_aqa.running.runtime import run_stage

ANNOTATIONS = Path("data/annotations.csv")
SPLITS = Path("data/splits.csv")
FRAMES_DIR = Path("data/frames")
MODELS_DIR = Path("models")
HISTORY = Path("reports/training.csv")


def main() -> None:
    """Write the trained models and their learning curves."""
    # imported here: Ctrl-C meanwhile is then no traceback
    from dae_aqa.options import flatten
    from dae_aqa.params import load_params
    from dae_aqa.splits.make import read_splits
    from dae_aqa.tables.annotations import read_annotations
    from dae_aqa.training.import_stage import import_and_track
    from dae_aqa.training.stage import TrainPlaces, train_and_track

    params = load_params()
    checkpoint = params.evaluate.checkpoint
    if checkpoint is not None:
        import_and_track(
            checkpoint,
            options=params.training,
            performances_of=params.dataset_options.PERFORMANCES_OF,
            params=flatten(params.used),
            frames=params.frames,
            splits=read_splits(SPLITS),
            frames_dir=FRAMES_DIR,
            models_dir=MODELS_DIR,
            history_path=HISTORY,
        )
        return
    train_and_track(
        params.training,
        scoring_rule=params.dataset_options.scoring_rule,
        frames=params.frames,
        performances_of=params.dataset_options.PERFORMANCES_OF,
        params=flatten(params.used),
        annotations=read_annotations(ANNOTATIONS),
        splits=read_splits(SPLITS),
        places=TrainPlaces(
            frames_dir=FRAMES_DIR,
            annotations_file=ANNOTATIONS,
            splits_file=SPLITS,
            trainings_dir=cache_dir("trainings"),
            features_dir=cache_dir("features"),
            models_dir=MODELS_DIR,
            history_path=HISTORY,
        ),
    )


if __name__ == "__main__":
    run_stage("train", main)
