"""The train stage: a training that resumes and is tracked, or a checkpoint in its place."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from dae_aqa.files.hashing import file_sha256
from dae_aqa.inference.device import resolve_device
from dae_aqa.inference.processes import joined, start_processes
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.options import flatten
from dae_aqa.packs.digest import frames_digest
from dae_aqa.running.places import check_outputs, user_path
from dae_aqa.tracking import NullTracker
from dae_aqa.tracking.record import log_epoch, log_result, open_run
from dae_aqa.training.checkpoint import mark_finished, remove_abandoned, sole_use
from dae_aqa.training.fingerprint import training_fingerprint
from dae_aqa.training.history import no_history, write_history
from dae_aqa.training.options import TrainingOptions
from dae_aqa.training.session import inputs_of, train_model

logger = logging.getLogger(__name__)
_PACKAGE = Path(__file__).resolve().parents[1]


def train_and_track(
    options: TrainingOptions,
    *,
    scoring_rule: str | None,
    params: Mapping[str, Any],
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
        options: how to train.
        scoring_rule: the dataset's rule for the marks of judges; None where it has none.
        params: all that the run is told, by dotted key, for its record.
        annotations: annotations table.
        splits: split table.
        frames_dir: folder of packed samples.
        data_files: files that say which data these are, for the fingerprint.
        trainings_dir: holds one work folder per unfinished training.
        features_dir: cache of clip features.
        model_path: where the model goes.
        history_path: where the learning curves go.

    Raises:
        DaeAqaError: see `train_model`; or, before training, the results cannot be written, another
            process trains the same, or the tracking store cannot be reached.
    """
    check_outputs(model_path, history_path)
    start_processes(options.train.num_processes)
    key = _fingerprint(
        options,
        scoring_rule=scoring_rule,
        data_files=data_files,
        sample_ids=splits.loc[splits["split"] != "test", "sample_id"],
        frames_dir=frames_dir,
    )
    work_dir = trainings_dir / key
    with (
        joined(resolve_device(options.device)) as processes,
        # the first process alone reports and writes
        sole_use(work_dir) if processes.is_first else nullcontext(),
        open_run(params, resume_key=key) if processes.is_first else NullTracker() as tracker,
    ):
        if processes.is_first:
            remove_abandoned(trainings_dir)
        trained, result = train_model(
            options,
            scoring_rule=scoring_rule,
            annotations=annotations,
            splits=splits,
            inputs=inputs_of(options, frames_dir=frames_dir, features_dir=features_dir),
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


def import_and_track(
    checkpoint: str,
    *,
    options: TrainingOptions,
    params: Mapping[str, Any],
    model_path: Path,
    history_path: Path,
) -> None:
    """Write a released checkpoint as the model file, and a table of learning curves with no row.

    Args:
        checkpoint: names the file, which is as the released DAE code saves it.
        options: say which model it is and how its clips are made.
        params: all that the run is told, by dotted key, for its record.
        model_path: where the model goes.
        history_path: where the learning curves go.

    Raises:
        DaeAqaError: the checkpoint is none, or cannot be had; the results cannot be written; or the
            tracking store cannot be reached.
    """
    check_outputs(model_path, history_path)
    trained = TrainedModel.released(
        user_path(checkpoint), model=options.model, clips=options.train.clips
    )
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


def _fingerprint(
    options: TrainingOptions,
    *,
    scoring_rule: str | None,
    data_files: Iterable[Path],
    sample_ids: Iterable[str],
    frames_dir: Path,
) -> str:
    """Return the name of a training's work folder: trainings with one name end with equal bits."""
    return training_fingerprint(
        flatten(options) | {"scoring_rule": scoring_rule},
        data_files=[*data_files, *_named_files(options)],
        frames=frames_digest(frames_dir, sample_ids),
        package_dir=_PACKAGE,
    )


def _named_files(options: TrainingOptions) -> list[Path]:
    """Return the files that a training reads by the name that `options` give.

    Their content is part of what determines a result; one that is missing stops the training with
    a message of its own.
    """
    weights = options.train.backbone_weights
    named = [] if weights is None else [user_path(weights)]
    return [path for path in named if path.is_file()]
