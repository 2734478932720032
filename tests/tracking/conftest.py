"""Fixtures of the tracking tests: no settings from outside, processes that start quickly."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from dae_aqa.tracking.store import open_store


@pytest.fixture(scope="session")
def processes() -> ForkServerContext:
    """Starts processes that share nothing with this one but have mlflow imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "dae_aqa.tracking",
            "mlflow.store.tracking.sqlalchemy_store",
            "mlflow.system_metrics.system_metrics_monitor",
        ]
    )
    return context


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as MLflow's migrations leave it: they take seconds, a copy does not."""
    root = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        open_store(root=root)
    return root / ".mlflow" / "mlflow.db"


@pytest.fixture
def root(tmp_path: Path, empty_store: Path) -> Path:
    """A repository root with an empty store."""
    (tmp_path / ".mlflow").mkdir()
    shutil.copy(empty_store, tmp_path / ".mlflow" / "mlflow.db")
    return tmp_path


@pytest.fixture
def runs_of() -> Callable[[Path], list[Run]]:
    """Reads all runs of the store below a root, the oldest first, past the package's own code."""

    def read(root: Path) -> list[Run]:
        client = MlflowClient(f"sqlite:///{root}/.mlflow/mlflow.db")
        experiments = [found.experiment_id for found in client.search_experiments()]
        return list(client.search_runs(experiments, order_by=["attributes.start_time ASC"]))

    return read
