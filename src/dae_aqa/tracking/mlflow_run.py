"""The MLflow run of a training: what is logged goes straight into the store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock

from dae_aqa.errors import TrackingError
from dae_aqa.files.hashing import file_sha256
from dae_aqa.tracking.identity import ERROR_TAG, MODEL_TAG, flat_metrics, flat_params
from dae_aqa.tracking.model import log_model
from dae_aqa.tracking.store import Store, explained, patiently
from dae_aqa.tracking.tracker import Tracker

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow.entities import Metric, Run

_SYSTEM_INTERVAL_SECONDS = 5.0
_MAX_PARAMS_PER_CALL = 100  # MLflow's limit
_MAX_VALUE_LENGTH = 5000  # MLflow's limits: 6000 for a param, 8000 for a tag

logger = logging.getLogger(__name__)


class MlflowTracker(Tracker):
    """Writes one MLflow run; `start_training_run` makes it.

    Once a training runs, a fault of the store never ends it: each write is tried again for some
    seconds, then reported in the log; metrics that did not get through go with the next ones.
    """

    def __init__(self, *, store: Store, run: Run, lock: FileLock) -> None:
        self._store = store
        self._experiment_id = str(run.info.experiment_id)
        self._lock = lock
        self._params = dict(run.data.params)
        self._held = frozenset(run.data.metrics)
        self._steps: dict[str, set[int]] = {}
        self._pending: list[Metric] = []
        self._monitor: Callable[[], None] | None = None
        self.run_id = str(run.info.run_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pending:
            self.log_metrics({}, step=0)
        if self._monitor is not None:
            with self._reported("system metrics"):
                self._monitor()
        if error is not None:
            reason = f"{type(error).__name__}: {error}"
            self.set_tags({ERROR_TAG: reason[:_MAX_VALUE_LENGTH]})
        self._write(
            "the end of the run",
            lambda: self._store.client.set_terminated(self.run_id, status=_status(error)),
        )
        self._lock.release()

    def log_params(self, params: Mapping[str, object]) -> None:
        """Add params; see `Tracker.log_params`."""
        from mlflow.entities import Param

        flat = {key: text[:_MAX_VALUE_LENGTH] for key, text in flat_params(params).items()}
        new = [Param(key, text) for key, text in flat.items() if key not in self._params]
        for key, text in flat.items():
            if self._params.setdefault(key, text) != text:
                logger.warning(
                    "MLflow keeps %s = %s for this run, now %s.", key, self._params[key], text
                )
        for start in range(0, len(new), _MAX_PARAMS_PER_CALL):
            part = new[start : start + _MAX_PARAMS_PER_CALL]
            self._write("params", partial(self._store.client.log_batch, self.run_id, params=part))

    def log_metrics(self, metrics: Mapping[str, object], *, step: int) -> None:
        """Add one point per number; see `Tracker.log_metrics`."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        for key, value in flat_metrics(metrics).items():
            steps = self._logged_steps(key)
            if step not in steps:
                steps.add(step)
                self._pending.append(Metric(key, value, now, step))
        if self._pending and self._write(
            "metrics",
            lambda: self._store.client.log_batch(self.run_id, metrics=self._pending),
        ):
            self._pending = []
            self._start_monitor()

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        from mlflow.entities import RunTag

        batch = [RunTag(key, value) for key, value in tags.items()]
        self._write("tags", lambda: self._store.client.log_batch(self.run_id, tags=batch))

    def log_dataset(self, *, name: str, digest: str, source: str) -> None:
        """Say what was trained on; see `Tracker.log_dataset`."""
        from mlflow.entities import Dataset, DatasetInput

        dataset = Dataset(name=name, digest=digest, source_type="dvc", source=source)
        inputs = [DatasetInput(dataset)]
        self._write("dataset", lambda: self._store.client.log_inputs(self.run_id, inputs))

    def log_artifact(self, path: Path, *, artifact_dir: str) -> None:
        """Copy a file into the run's folder `artifact_dir`."""
        self._write(
            path.name,
            lambda: self._store.client.log_artifact(self.run_id, str(path), artifact_dir or None),
        )

    def log_figure(self, figure: Figure, *, artifact_file: str) -> None:
        """Save a figure as the run's `artifact_file`."""
        self._write(
            artifact_file,
            lambda: self._store.client.log_figure(self.run_id, figure, artifact_file),
        )

    def log_model(self, *, model_path: Path, step: int) -> None:
        """Add the trained model; see `Tracker.log_model`."""
        tags = {MODEL_TAG: file_sha256(model_path)}
        self._write(
            "model",
            lambda: log_model(
                self._store,
                run_id=self.run_id,
                experiment_id=self._experiment_id,
                model_path=model_path,
                step=step,
                tags=tags,
            ),
        )
        self.set_tags(tags)

    def _start_monitor(self) -> None:
        """Record system metrics from the first epoch's figures on.

        MLflow's compare page opens on the metric that a run got first: rho, not the load of a CPU.
        """
        if self._monitor is not None:
            return
        self._monitor = _nothing  # one try is enough
        with self._reported("system metrics"):
            self._monitor = _watch_system(self._store.uri, self.run_id, resumed=bool(self._held))

    def _logged_steps(self, key: str) -> set[int]:
        """Return the steps of a metric that the run holds: MLflow would keep a second point there.

        They are looked up when the metric is first logged again, so that nobody reads the long
        histories of what MLflow records by itself.
        """
        if key not in self._steps:
            self._steps[key] = set()
            if key in self._held:
                with self._reported(f"the comparison with earlier points of {key}"):
                    history = patiently(
                        lambda: self._store.client.get_metric_history(self.run_id, key)
                    )
                    self._steps[key] = {int(point.step) for point in history}
        return self._steps[key]

    def _write(self, what: str, call: Callable[[], object]) -> bool:
        """Make a call, again after a while where it fails; say whether it succeeded."""
        with self._reported(what):
            patiently(call)
            return True
        return False

    @contextmanager
    def _reported(self, what: str) -> Iterator[None]:
        try:
            with explained(self._store.uri):
                yield
        except TrackingError as error:
            logger.error("The training goes on, but its MLflow run lacks %s. %s", what, error)


def _watch_system(uri: str, run_id: str, *, resumed: bool) -> Callable[[], None]:
    """Record load, memory, disk, network and GPU in the background; return what ends it."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor: Any = SystemMetricsMonitor(  # type: ignore[no-untyped-call]
        run_id,
        sampling_interval=_SYSTEM_INTERVAL_SECONDS,
        resume_logging=resumed,
        tracking_uri=uri,
    )
    monitor.start()
    finish: Callable[[], None] = monitor.finish
    return finish


def _nothing() -> None:
    """What ends a monitor that could not be started."""


def _status(error: BaseException | None) -> str:
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return "FINISHED"
    return "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
