"""What a training reports to, whether it is tracked or not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Tracker:
    """A context manager around one training. This base records nothing.

    Attributes:
        run_id: the run's name in the store; '' where nothing is recorded.
    """

    run_id = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the record: finished, failed, or killed by Ctrl-C, as `error` says."""

    def log_params(self, params: Mapping[str, object]) -> None:
        """Add params; nested ones become dotted keys. A param keeps its first value."""

    def log_metrics(self, metrics: Mapping[str, object], *, step: int) -> None:
        """Add one point per number; what the run already holds at `step` stays as it is."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags."""

    def log_dataset(self, *, name: str, digest: str, source: str) -> None:
        """Say what was trained on: `digest` is DVC's hash of `source`, at most 36 characters."""

    def log_artifact(self, path: Path, *, artifact_dir: str) -> None:
        """Copy a file into the run's folder `artifact_dir` ('' is its top)."""

    def log_figure(self, figure: Figure, *, artifact_file: str) -> None:
        """Save a figure as the run's `artifact_file`, e.g. `plots/loss.png`."""

    def log_model(self, *, model_path: Path, step: int) -> None:
        """Add the trained model; its hash is what an evaluation finds the run by.

        Args:
            model_path: the model file.
            step: epoch whose weights these are.
        """


class NullTracker(Tracker):
    """Tracks nothing: for a training with tracking switched off."""
