"""The train stage where a checkpoint is imported in the place of a training."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dae_aqa.inference.trained_model import model_file
from dae_aqa.packs.options import NumberedFrameOptions
from dae_aqa.running.places import check_outputs
from dae_aqa.splits.make import part_names, rows_of_part
from dae_aqa.tracking import Tracker
from dae_aqa.tracking.record import log_result, open_run
from dae_aqa.training.history import no_history, write_history
from dae_aqa.training.imported import import_models
from dae_aqa.training.leaks import leak_tags
from dae_aqa.training.options import TrainingOptions
from dae_aqa.wording import first_few

logger = logging.getLogger(__name__)


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
        performances_of: see `datasets.options.DatasetOptions.PERFORMANCES_OF`.
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
