"""The train stage: a training that resumes and is tracked, or a checkpoint in its place."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pandas as pd

from dae_aqa.device import resolve_device
from dae_aqa.params import Params, flatten
from dae_aqa.run_record import log_epoch, log_result, open_run
from dae_aqa.runtime import check_outputs
from dae_aqa.tracking import NullTracker
from dae_aqa.tracking.identity import file_sha256
from dae_aqa.trained_model import TrainedModel
from dae_aqa.training.checkpoint import mark_finished, sole_use
from dae_aqa.training.fingerprint import frames_digest, training_fingerprint
from dae_aqa.training.history import no_history, write_history
from dae_aqa.training.processes import joined, start_processes
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

    Where `evaluate.checkpoint` is set, nothing is trained: the model is that checkpoint, and the
    table of learning curves has no row.

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
        DaeAqaError: see `train_model`; the checkpoint is none, or cannot be had; or, before
            training, the results cannot be written, another process trains the same, or the
            tracking store cannot be reached.
    """
    check_outputs(model_path, history_path)
    if params.evaluate.checkpoint is not None:
        _import_and_track(
            params,
            Path(params.evaluate.checkpoint),
            model_path=model_path,
            history_path=history_path,
        )
        return
    start_processes(params.train.num_processes)
    used = splits.loc[splits["split"] != "test", "sample_id"]
    key = training_fingerprint(
        flatten(params),
        data_files=[*data_files, *_named_files(params)],
        frames=frames_digest(frames_dir, used),
        package_dir=_PACKAGE,
    )
    work_dir = trainings_dir / key
    with (
        joined(resolve_device(params.device)) as processes,
        # the first process alone reports and writes
        sole_use(work_dir) if processes.is_first else nullcontext(),
        open_run(params, resume_key=key) if processes.is_first else NullTracker() as tracker,
    ):
        trained, result = train_model(
            params,
            annotations=annotations,
            splits=splits,
            frames_dir=frames_dir,
            features_dir=features_dir,
            work_dir=work_dir,
            on_epoch=partial(log_epoch, tracker),
            processes=processes,
        )
        if not processes.is_first:
            return
        write_history(result.history, history_path)
        trained.save(model_path)
        mark_finished(work_dir, model_sha256=file_sha256(model_path))
        log_result(
            tracker,
            trained,
            result.history,
            best_epoch=result.best_epoch,
            chosen_by=result.chosen_by,
            model_path=model_path,
            history_path=history_path,
        )
    logger.info(
        "kept epoch %d of 0 to %d: %s", result.best_epoch, len(result.history) - 1, result.chosen_by
    )


def _named_files(params: Params) -> list[Path]:
    """Return the files that a training reads by the name that `params` gives.

    Their content is part of what determines a result; one that is missing stops the training with
    a message of its own.
    """
    weights = params.train.backbone_weights
    return [] if weights is None or not Path(weights).is_file() else [Path(weights)]


def _import_and_track(
    params: Params, checkpoint: Path, *, model_path: Path, history_path: Path
) -> None:
    """Write a released checkpoint as the model file, and an empty table of learning curves."""
    trained = TrainedModel.released(checkpoint, model=params.model, clips=params.train.clips)
    history = no_history()
    with open_run(params, resume_key=None) as tracker:
        write_history(history, history_path)
        trained.save(model_path)
        log_result(
            tracker,
            trained,
            history,
            best_epoch=None,
            chosen_by=None,
            model_path=model_path,
            history_path=history_path,
        )
    logger.info("imported %s as %s; nothing was trained", checkpoint, model_path)
