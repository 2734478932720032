"""The train stage: a training that resumes, is tracked, and writes its model and history."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dae_aqa.params import Params, flatten
from dae_aqa.run_record import log_result, open_run
from dae_aqa.tracking.identity import file_sha256
from dae_aqa.training.checkpoint import mark_finished
from dae_aqa.training.fingerprint import frames_digest, training_fingerprint
from dae_aqa.training.session import train_model

logger = logging.getLogger(__name__)
_PACKAGE = Path(__file__).resolve().parent


def train_and_track(
    params: Params,
    *,
    annotations: pd.DataFrame,
    splits: pd.DataFrame,
    frames_dir: Path,
    data_files: Sequence[Path],
    trainings_dir: Path,
    features_dir: Path,
    model_path: Path,
    history_path: Path,
) -> None:
    """Train, and write the model file and the learning curves.

    Args:
        params: the whole parameters.
        annotations: annotations table.
        splits: split table.
        frames_dir: folder of packed samples.
        data_files: files that say which data these are, for the fingerprint.
        trainings_dir: holds one work folder per unfinished training.
        features_dir: cache of clip features.
        model_path: where the model goes.
        history_path: where the learning curves go.

    Raises:
        DaeAqaError: see `train_model`; or the tracking store cannot be reached, before training.
    """
    used = splits.loc[splits["split"] != "test", "sample_id"]
    key = training_fingerprint(
        flatten(params),
        data_files=data_files,
        frames=frames_digest(frames_dir, used),
        package_dir=_PACKAGE,
    )
    work_dir = trainings_dir / key
    work_dir.mkdir(parents=True, exist_ok=True)
    with open_run(params, resume_key=key) as tracker:
        trained, result = train_model(
            params,
            annotations=annotations,
            splits=splits,
            frames_dir=frames_dir,
            features_dir=features_dir,
            work_dir=work_dir,
            on_epoch=lambda epoch, figures: tracker.log_metrics(figures, step=epoch),
        )
        history_path.parent.mkdir(parents=True, exist_ok=True)
        result.history.to_csv(history_path, index=False, lineterminator="\n")
        trained.save(model_path)
        mark_finished(work_dir, model_sha256=file_sha256(model_path))
        log_result(
            tracker,
            trained,
            result.history,
            best_epoch=result.best_epoch,
            model_path=model_path,
            history_path=history_path,
        )
    logger.info("best epoch %d of %d, chosen on validation", result.best_epoch, len(result.history))
