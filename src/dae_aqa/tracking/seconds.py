"""How long a training and its evaluation took, from the MLflow run that holds the model.

No output of the pipeline holds a time, since the same inputs give the same outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dae_aqa.tracking.identity import MODEL_TAG, PARENT_TAG
from dae_aqa.tracking.store import Store, explained, open_existing_store

_EPOCH, _SCORE = "system/epoch_seconds", "system/score_seconds"


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """How long it took; None where it is not known.

    Attributes:
        train: the epochs of the training, those before an interruption included.
        score: predicting all test samples.
    """

    train: float | None = None
    score: float | None = None


def seconds_of(models: Sequence[str], *, root: Path, experiment: str) -> Seconds:
    """Return how long the models of one experiment took to train, and their test samples to score.

    A training that DVC restored from its cache has no times, unless the run that trained the same
    model is in the store.

    Args:
        models: the SHA-256 of the model file of each part.
        root: repository root.
        experiment: name of the MLflow experiment.

    Raises:
        TrackingError: the store cannot be read.
    """
    store = open_existing_store(root=root)
    if store is None:
        return Seconds()
    with explained(store.uri):
        found = store.client.get_experiment_by_name(experiment)
        if found is None:
            return Seconds()
        each = [_of_model(store, found.experiment_id, model) for model in models]
    train = [seconds.train for seconds in each if seconds.train is not None]
    return Seconds(
        train=sum(train) if len(train) == len(models) else None,
        score=next((seconds.score for seconds in each if seconds.score is not None), None),
    )


def _of_model(store: Store, experiment_id: str, model: str) -> Seconds:
    runs = store.client.search_runs(
        [experiment_id],
        filter_string=f"tags.`{MODEL_TAG}` = '{model}'",
        order_by=["attributes.start_time DESC"],
    )
    train = score = None
    for run in runs:
        if train is None and _EPOCH in run.data.metrics:
            history = store.client.get_metric_history(run.info.run_id, _EPOCH)
            train = sum(point.value for point in history)
        if score is None:
            parent = run.data.tags.get(PARENT_TAG)  # holds the evaluation of all parts
            holder = run if parent is None else store.client.get_run(parent)
            score = holder.data.metrics.get(_SCORE)
    return Seconds(train=train, score=score)
