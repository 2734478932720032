"""The train stage: trainings that resume and are tracked, one for each part."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from dae_aqa.files.hashing import file_sha256, value_sha256
from dae_aqa.files.whole import copy_file
from dae_aqa.inference.device import resolve_device
from dae_aqa.inference.processes import Processes, joined, start_processes
from dae_aqa.inference.trained_model import Seen, TrainedModel, model_file
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
from dae_aqa.training.history import write_history
from dae_aqa.training.leaks import leak_tags, seen_with
from dae_aqa.training.loop import FitResult
from dae_aqa.training.options import TrainingOptions, splits_seen
from dae_aqa.training.session import inputs_of, train_model

logger = logging.getLogger(__name__)
_NUM_KEY_DIGITS = 32
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class TrainPlaces:
    """Where the stage reads and writes.

    Attributes:
        frames_dir: folder of packed samples.
        annotations_file: the file of the annotations table, for the fingerprint.
        splits_file: the file of the split table, likewise.
        trainings_dir: holds one work folder per unfinished training.
        features_dir: cache of clip features.
        models_dir: where the models go, see `inference.trained_model.model_file`.
        history_path: where the learning curves go.
    """

    frames_dir: Path
    annotations_file: Path
    splits_file: Path
    trainings_dir: Path
    features_dir: Path
    models_dir: Path
    history_path: Path


def train_and_track(
    options: TrainingOptions,
    *,
    scoring_rule: str | None,
    frames: NumberedFrameOptions,
    performances_of: str,
    params: Mapping[str, Any],
    annotations: pd.DataFrame,
    splits: pd.DataFrame,
    places: TrainPlaces,
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
        places: where the stage reads and writes.

    Raises:
        DaeAqaError: see `train_model`; or, before training, the results cannot be written, another
            process trains the same, or the tracking store cannot be reached.
    """
    names = part_names(splits)
    check_outputs(model_file(places.models_dir, names[0]), places.history_path)
    start_processes(options.train.num_processes)
    fingerprint = partial(
        _fingerprint, options, scoring_rule=scoring_rule, frames=frames, places=places
    )
    trainings = []
    for name in names:
        rows = rows_of_part(splits, name)
        trainings.append(_PartTraining(part=name, splits=rows, key=fingerprint(name, rows)))
    with joined(resolve_device(options.device)) as processes:
        trainer = _Trainer(
            options=options,
            scoring_rule=scoring_rule,
            frames=frames,
            performances_of=performances_of,
            params=params,
            annotations=annotations,
            places=places,
            processes=processes,
        )
        if processes.is_first:
            remove_abandoned(places.trainings_dir)
        history = trainer.train_all(trainings)
        if processes.is_first:
            write_history(history, places.history_path)


@dataclass(frozen=True)
class _PartTraining:
    """One training: its part, the rows of the split table, and the name of its work folder."""

    part: str
    splits: pd.DataFrame
    key: str


@dataclass(frozen=True, kw_only=True)
class _Trainer:
    """Trains parts; it holds what the trainings of all parts share, as `train_and_track` is told.

    Attributes:
        options: how to train.
        scoring_rule: the dataset's rule for the marks of judges.
        frames: how the samples' frames were made.
        performances_of: the dataset whose sample_ids the split table holds, or ''.
        params: all that a run is told, by dotted key.
        annotations: annotations table.
        places: where the stage reads and writes.
        processes: those that train together; the first alone reports and writes.
    """

    options: TrainingOptions
    scoring_rule: str | None
    frames: NumberedFrameOptions
    performances_of: str
    params: Mapping[str, Any]
    annotations: pd.DataFrame
    places: TrainPlaces
    processes: Processes

    def train_all(self, trainings: Sequence[_PartTraining]) -> pd.DataFrame:
        """Train the only part, or several below one run; return their learning curves."""
        if [training.part for training in trainings] == [""]:
            return self.train_part(trainings[0], parent=None)
        key = value_sha256([training.key for training in trainings])[:_NUM_KEY_DIGITS]
        histories = []
        with self._open_run(key) as parent:
            if self.options.train.parts_at_once > 1:
                self._finish_at_once(trainings, run_id=parent.run_id)
            for number, training in enumerate(trainings, start=1):
                logger.info("part %d of %d: %s", number, len(trainings), training.part)
                history = self.train_part(training, parent=parent)
                history.insert(0, "part", training.part)
                histories.append(history)
        return pd.concat(histories, ignore_index=True)

    def train_part(self, training: _PartTraining, *, parent: Tracker | None) -> pd.DataFrame:
        """Train one part, write its model and return its learning curves.

        Args:
            training: what to train on.
            parent: the run of all parts; None where there is but one part.
        """
        work_dir = self.places.trainings_dir / training.key
        model_path = model_file(self.places.models_dir, training.part)
        with sole_use(work_dir) if self.processes.is_first else nullcontext():
            found = finished_history(work_dir) if parent is not None else None
            finished = self.processes.agree(found)
            if finished is not None:
                logger.info("taken from %s, where it is finished", work_dir)
                if self.processes.is_first:
                    copy_file(source=work_dir / FINISHED_MODEL, target=model_path)
                return finished
            with self._open_run(training.key, part=training.part, parent=parent) as tracker:
                trained, result = self._fit(training, work_dir=work_dir, tracker=tracker)
                if not self.processes.is_first:
                    return result.history
                trained.save(model_path)
                self._log_result(result, tracker, model_path=model_path, work_dir=work_dir)
                if parent is not None:
                    copy_file(source=model_path, target=work_dir / FINISHED_MODEL)
                mark_finished(work_dir, model_sha256=file_sha256(model_path))
        last = len(result.history) - 1
        logger.info("kept epoch %d of 0 to %d: %s", result.best_epoch, last, result.chosen_by)
        return result.history

    def finish_part(self, training: _PartTraining, *, run_id: str) -> str:
        """Train a part in a process of its own, below the run `run_id`; return the part's name."""
        parent = Tracker()
        parent.run_id = run_id
        self.train_part(training, parent=parent)
        return training.part

    def _finish_at_once(self, trainings: Sequence[_PartTraining], *, run_id: str) -> None:
        """Let other processes finish the parts, which share out the CPU threads."""
        section = self.options.train
        threads = threads_of_each(section.num_threads, count=section.parts_at_once)
        options = self.options.replaced(train=section.replaced(num_threads=threads))
        each = replace(self, options=options)
        run_at_once(
            partial(each.finish_part, run_id=run_id), trainings, count=section.parts_at_once
        )

    def _open_run(self, key: str, *, part: str = "", parent: Tracker | None = None) -> Tracker:
        """Return the run that `key` names in the store; the first process alone reports."""
        if not self.processes.is_first:
            return NullTracker()
        return open_run(self.params, resume_key=key, part=part, parent=parent)

    def _fit(
        self, training: _PartTraining, *, work_dir: Path, tracker: Tracker
    ) -> tuple[TrainedModel, FitResult]:
        """Return the model of the best epoch, which knows what it has seen, and its curves."""
        weights_seen = _seen_by_weights(self.options)
        leaks = leak_tags(
            weights_seen,
            training.splits,
            performances_of=self.performances_of,
            source="train.backbone_weights",
        )
        tracker.set_tags({"protocol": self.options.protocol, **leaks})
        trained, result = train_model(
            self.options,
            scoring_rule=self.scoring_rule,
            frames=self.frames,
            annotations=self.annotations,
            splits=training.splits,
            inputs=inputs_of(
                self.options,
                frames_dir=self.places.frames_dir,
                features_dir=self.places.features_dir,
            ),
            work_dir=work_dir,
            on_epoch=partial(log_epoch, tracker),
            processes=self.processes,
        )
        seen = seen_with(
            weights_seen,
            training.splits,
            performances_of=self.performances_of,
            protocol=self.options.protocol,
        )
        return replace(trained, seen=seen), result

    def _log_result(
        self, result: FitResult, tracker: Tracker, *, model_path: Path, work_dir: Path
    ) -> None:
        """Add what a training ended with to its run; its learning curves stay in `work_dir`."""
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


def _fingerprint(
    options: TrainingOptions,
    part: str,
    splits: pd.DataFrame,
    *,
    scoring_rule: str | None,
    frames: NumberedFrameOptions,
    places: TrainPlaces,
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
        places: likewise.
    """
    values = flatten(options) | {"scoring_rule": scoring_rule} | flatten(frames, prefix="frames.")
    if part:
        values["rows"] = splits.to_csv(index=False)
    is_seen = splits["split"].isin(splits_seen(options.protocol))
    tables = [places.annotations_file] if part else [places.annotations_file, places.splits_file]
    return training_fingerprint(
        values,
        data_files=[*tables, *_named_files(options)],
        frames=frames_digest(places.frames_dir, splits.loc[is_seen, "sample_id"]),
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
