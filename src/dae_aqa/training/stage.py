"""The train stage: a training that resumes and is tracked, or a checkpoint in its place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from dae_aqa.files.hashing import file_sha256, value_sha256
from dae_aqa.files.whole import copy_file
from dae_aqa.inference.device import resolve_device
from dae_aqa.inference.inputs import Inputs
from dae_aqa.inference.processes import Processes, joined, start_processes
from dae_aqa.inference.trained_model import Seen, model_file
from dae_aqa.options import flatten
from dae_aqa.packs.digest import frames_digest
from dae_aqa.packs.options import NumberedFrameOptions
from dae_aqa.running.places import check_outputs, user_path
from dae_aqa.splits.make import part_names, rows_of_part
from dae_aqa.tracking import NullTracker, Tracker
from dae_aqa.tracking.record import log_epoch, log_result, open_run
from dae_aqa.training.at_once import run_at_once, threads_of_each
from dae_aqa.training.checkpoint import (
    FINISHED_HISTORY,
    FINISHED_MODEL,
    finished_history,
    mark_finished,
    remove_abandoned,
    sole_use,
)
from dae_aqa.training.fingerprint import training_fingerprint
from dae_aqa.training.history import no_history, write_history
from dae_aqa.training.imported import import_models
from dae_aqa.training.leaks import leak_tags, seen_with
from dae_aqa.training.options import TrainingOptions, splits_seen
from dae_aqa.training.session import inputs_of, train_model
from dae_aqa.wording import first_few

logger = logging.getLogger(__name__)
_NUM_KEY_DIGITS = 32
_PACKAGE = Path(__file__).resolve().parents[1]


def train_and_track(
    options: TrainingOptions,
    *,
    scoring_rule: str | None,
    frames: NumberedFrameOptions,
    performances_of: str,
    params: Mapping[str, Any],
    annotations: pd.DataFrame,
    splits: pd.DataFrame,
    frames_dir: Path,
    annotations_file: Path,
    splits_file: Path,
    trainings_dir: Path,
    features_dir: Path,
    models_dir: Path,
    history_path: Path,
) -> None:
    """Train each part in turn, and write the model files and the learning curves.

    Where there are several parts, the store gets a run for all of them, and below it one for each.
    A part that is finished is not trained again when a later one was interrupted.

    Args:
        options: how to train.
        scoring_rule: the dataset's rule for the marks of judges; None where it has none.
        frames: how the samples' frames were made, for the model files.
        performances_of: see `datasets.options.DatasetOptions.PERFORMANCES_OF`.
        params: all that the run is told, by dotted key, for its record.
        annotations: annotations table.
        splits: split table.
        frames_dir: folder of packed samples.
        annotations_file: the file of the annotations table, for the fingerprint.
        splits_file: the file of the split table, likewise.
        trainings_dir: holds one work folder per unfinished training.
        features_dir: cache of clip features.
        models_dir: where the models go, see `inference.trained_model.model_file`.
        history_path: where the learning curves go.

    Raises:
        DaeAqaError: see `train_model`; or, before training, the results cannot be written, another
            process trains the same, or the tracking store cannot be reached.
    """
    names = part_names(splits)
    check_outputs(model_file(models_dir, names[0]), history_path)
    start_processes(options.train.num_processes)
    fingerprint = partial(
        _fingerprint,
        options,
        scoring_rule=scoring_rule,
        frames=frames,
        annotations_file=annotations_file,
        splits_file=splits_file,
        frames_dir=frames_dir,
    )
    trainings = []
    for name in names:
        rows = rows_of_part(splits, name)
        trainings.append(_PartTraining(part=name, splits=rows, key=fingerprint(name, rows)))
    with joined(resolve_device(options.device)) as processes:
        if processes.is_first:
            remove_abandoned(trainings_dir)
        train = partial(
            _train_part,
            options=options,
            scoring_rule=scoring_rule,
            frames=frames,
            performances_of=performances_of,
            params=params,
            annotations=annotations,
            inputs=inputs_of(options, frames_dir=frames_dir, features_dir=features_dir),
            trainings_dir=trainings_dir,
            models_dir=models_dir,
            processes=processes,
        )
        if names == [""]:
            history = train(trainings[0], parent=None)
        else:
            history = _train_all(
                trainings, train, params=params, options=options, processes=processes
            )
        if processes.is_first:
            write_history(history, history_path)


@dataclass(frozen=True)
class _PartTraining:
    """One training: its part, the rows of the split table, and the name of its work folder."""

    part: str
    splits: pd.DataFrame
    key: str


def _train_all(
    trainings: Sequence[_PartTraining],
    train: Callable[..., pd.DataFrame],
    *,
    params: Mapping[str, Any],
    options: TrainingOptions,
    processes: Processes,
) -> pd.DataFrame:
    """Call `train` for each of several parts below one run; return the learning curves of all.

    Where several are trained at once, other processes finish them first.
    """
    key = value_sha256([training.key for training in trainings])[:_NUM_KEY_DIGITS]
    histories = []
    with open_run(params, resume_key=key) if processes.is_first else NullTracker() as parent:
        if options.train.parts_at_once > 1:
            run_at_once(
                partial(_finish_part, train, options=options, run_id=parent.run_id),
                trainings,
                count=options.train.parts_at_once,
            )
        for number, training in enumerate(trainings, start=1):
            logger.info("part %d of %d: %s", number, len(trainings), training.part)
            history = train(training, parent=parent)
            history.insert(0, "part", training.part)
            histories.append(history)
    return pd.concat(histories, ignore_index=True)


def _finish_part(
    train: Callable[..., pd.DataFrame],
    training: _PartTraining,
    *,
    options: TrainingOptions,
    run_id: str,
) -> str:
    """Train a part in a process of its own, below the run `run_id`; return the part's name."""
    parent = Tracker()
    parent.run_id = run_id
    section = options.train
    threads = threads_of_each(section.num_threads, count=section.parts_at_once)
    train(
        training,
        options=options.replaced(train=section.replaced(num_threads=threads)),
        parent=parent,
    )
    return training.part


def _train_part(
    training: _PartTraining,
    *,
    options: TrainingOptions,
    scoring_rule: str | None,
    frames: NumberedFrameOptions,
    performances_of: str,
    params: Mapping[str, Any],
    parent: Tracker | None,
    annotations: pd.DataFrame,
    inputs: Inputs,
    trainings_dir: Path,
    models_dir: Path,
    processes: Processes,
) -> pd.DataFrame:
    """Train one part, write its model and return its learning curves.

    Args:
        training: what to train on.
        options: as in `train_and_track`, like what is not named here.
        scoring_rule: likewise.
        frames: likewise.
        performances_of: likewise.
        params: likewise.
        parent: the run of all parts; None where there is but one part.
        annotations: annotations table.
        inputs: where clips or features come from.
        trainings_dir: holds the training's work folder.
        models_dir: where the model goes.
        processes: those that train together.
    """
    work_dir, model_path = trainings_dir / training.key, model_file(models_dir, training.part)
    with sole_use(work_dir) if processes.is_first else nullcontext():
        finished = processes.agree(finished_history(work_dir) if parent is not None else None)
        if finished is not None:
            logger.info("taken from %s, where it is finished", work_dir)
            if processes.is_first:
                copy_file(source=work_dir / FINISHED_MODEL, target=model_path)
            return finished
        # the first process alone reports and writes
        tracker = (
            open_run(params, resume_key=training.key, part=training.part, parent=parent)
            if processes.is_first
            else NullTracker()
        )
        with tracker:
            weights_seen = _seen_by_weights(options)
            leaks = leak_tags(
                weights_seen,
                training.splits,
                performances_of=performances_of,
                source="train.backbone_weights",
            )
            tracker.set_tags({"protocol": options.protocol, **leaks})
            trained, result = train_model(
                options,
                scoring_rule=scoring_rule,
                frames=frames,
                annotations=annotations,
                splits=training.splits,
                inputs=inputs,
                work_dir=work_dir,
                on_epoch=partial(log_epoch, tracker),
                processes=processes,
            )
            if not processes.is_first:
                return result.history
            seen = seen_with(
                weights_seen,
                training.splits,
                performances_of=performances_of,
                protocol=options.protocol,
            )
            trained = replace(trained, seen=seen)
            trained.save(model_path)
            curves = work_dir / FINISHED_HISTORY
            write_history(result.history, curves)
            log_result(
                tracker,
                result.history,
                best_epoch=result.best_epoch,
                chosen_by=result.chosen_by,
                model_path=model_path,
                history_path=curves,
            )
            if parent is not None:
                copy_file(source=model_path, target=work_dir / FINISHED_MODEL)
            mark_finished(work_dir, model_sha256=file_sha256(model_path))
    logger.info(
        "kept epoch %d of 0 to %d: %s", result.best_epoch, len(result.history) - 1, result.chosen_by
    )
    return result.history


def import_and_track(
    checkpoint: str,
    *,
    options: TrainingOptions,
    performances_of: str,
    params: Mapping[str, Any],
    frames: NumberedFrameOptions,
    splits: pd.DataFrame,
    frames_dir: Path,
    models_dir: Path,
    history_path: Path,
) -> None:
    """Write an imported model as that of each part, and learning curves with no row.

    A file is one run in the store. Of a folder of models, each is a run below one of all parts.

    Args:
        checkpoint: names a file, or a folder with one for each part, see `import_models`.
        options: say which model it is, and how the clips of a released one are made.
        performances_of: as in `train_and_track`.
        params: all that the run is told, by dotted key, for its record.
        frames: how the samples' frames are made.
        splits: split table.
        frames_dir: folder of packed samples.
        models_dir: where the models go.
        history_path: where the learning curves go.

    Raises:
        DaeAqaError: see `import_models`; or the results cannot be written; or the
            tracking store cannot be reached.
    """
    parts = part_names(splits)
    check_outputs(model_file(models_dir, parts[0]), history_path)
    models = import_models(
        checkpoint,
        options=options,
        frames=frames,
        splits=splits,
        parts=parts,
        frames_dir=frames_dir,
    )
    history = no_history()

    def record(tracker: Tracker, part: str) -> None:
        log_result(
            tracker,
            history,
            best_epoch=None,
            chosen_by=None,
            model_path=model_file(models_dir, part),
            history_path=history_path,
        )

    has_own_models = len({id(trained) for trained in models.values()}) > 1
    with open_run(params, resume_key=None) as parent:
        write_history(history, history_path)
        for part, trained in models.items():
            trained.save(model_file(models_dir, part))
            leaks = leak_tags(
                trained.seen,
                rows_of_part(splits, part),
                performances_of=performances_of,
                source=checkpoint,
            )
            if has_own_models:
                with open_run(params, resume_key=None, part=part, parent=parent) as tracker:
                    tracker.set_tags(leaks)
                    record(tracker, part)
            else:
                parent.set_tags(leaks)
        if not has_own_models:
            record(parent, parts[0])
    logger.info(
        "imported %s as %s; nothing was trained",
        checkpoint,
        first_few([model_file(models_dir, part) for part in parts]),
    )


def _fingerprint(
    options: TrainingOptions,
    part: str,
    splits: pd.DataFrame,
    *,
    scoring_rule: str | None,
    frames: NumberedFrameOptions,
    annotations_file: Path,
    splits_file: Path,
    frames_dir: Path,
) -> str:
    """Return the name of a training's work folder: trainings with one name end with equal bits.

    One part is the whole split table. Of several, each counts its own rows alone, so that it is
    found again where the others change.

    Args:
        options: how to train.
        part: name of the part.
        splits: rows of the part.
        scoring_rule: as in `train_and_track`, like the rest.
        frames: likewise.
        annotations_file: likewise.
        splits_file: likewise.
        frames_dir: likewise.
    """
    values = flatten(options) | {"scoring_rule": scoring_rule} | flatten(frames, prefix="frames.")
    if part:
        values["rows"] = splits.to_csv(index=False)
    is_seen = splits["split"].isin(splits_seen(options.protocol))
    tables = [annotations_file] if part else [annotations_file, splits_file]
    return training_fingerprint(
        values,
        data_files=[*tables, *_named_files(options)],
        frames=frames_digest(frames_dir, splits.loc[is_seen, "sample_id"]),
        package_dir=_PACKAGE,
    )


def _seen_by_weights(options: TrainingOptions) -> Seen | None:
    """Return what the weights have seen from which the backbone starts."""
    weights = options.train.backbone_weights
    return None if weights is None else Seen.of_weights(user_path(weights))


def _named_files(options: TrainingOptions) -> list[Path]:
    """Return the files that a training reads by the name that `options` give.

    Their content is part of what determines a result; one that is missing stops the training with
    a message of its own.
    """
    weights = options.train.backbone_weights
    named = [] if weights is None else [user_path(weights)]
    return [path for path in named if path.is_file()]
