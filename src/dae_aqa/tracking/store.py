"""The MLflow store: where it lies, how it comes into being, how it is opened.

One store serves all experiments of a repository, those that DVC runs in temporary copies of it
included. So every path here is absolute, and a store that does not exist yet is built once, under
a lock and aside, however many workers start at the same moment.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout

from dae_aqa.errors import TrackingError
from dae_aqa.files.whole import remove_leftovers, written_whole
from dae_aqa.running.places import project_root
from dae_aqa.running.retries import with_retries

if TYPE_CHECKING:
    from mlflow import MlflowClient

Result = TypeVar("Result")

STORE_FOLDER = ".mlflow"
_SQLITE = "sqlite:///"
_LOCK_TIMEOUT_SECONDS = 600.0  # building takes seconds, a crowd waits; a dead holder frees it
_BUSY_TIMEOUT_SECONDS = 20.0  # what MLflow itself grants a busy SQLite file
_HTTP_TIMEOUT_SECONDS = 10.0
_RETRY_SECONDS = (0.2, 1.0, 5.0)
# what MLflow's "Model training" sets, as against "GenAI"; some versions of the UI open by it
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Store:
    """An opened store.

    Attributes:
        uri: tracking URI, absolute.
        artifact_location: absolute URI of the folder for artifacts of new experiments; None where
            a server decides.
        client: MLflow's client, bound to `uri`.
    """

    uri: str
    artifact_location: str | None
    client: MlflowClient


def store_uri(*, root: Path) -> str:
    """Return the tracking URI: `MLFLOW_TRACKING_URI`, else `.mlflow/mlflow.db` at the root.

    Args:
        root: repository root, used where `DVC_ROOT` is not set. A relative SQLite path in
            `MLFLOW_TRACKING_URI` is taken from the real root, not from the working directory.
    """
    base = project_root(root)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}{STORE_FOLDER}/mlflow.db"
    return f"{_SQLITE}{base / _sqlite_path(uri)}" if uri.startswith(_SQLITE) else uri


def public_uri(uri: str) -> str:
    """Return `uri` without user name and password, fit for messages."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in uri else uri


def open_store(*, root: Path) -> Store:
    """Open the store, building it first where it does not exist; safe for many processes at once.

    Raises:
        TrackingError: the store cannot be reached, written or understood.
    """
    uri = store_uri(root=root)
    with explained(uri):
        if not uri.startswith(_SQLITE):
            _check_server(uri)
            artifacts = project_root(root) / STORE_FOLDER / "artifacts"
            location = None if uri.startswith("http") else artifacts.as_uri()
            return Store(uri=uri, artifact_location=location, client=_connect(uri))
        path = _sqlite_path(uri)
        artifacts = path.parent / "artifacts"
        artifacts.mkdir(parents=True, exist_ok=True)
        # The lock also covers opening: MLflow migrates the tables of an older store right there.
        with FileLock(path.parent / "init.lock", timeout=_LOCK_TIMEOUT_SECONDS):
            if not path.exists() or path.stat().st_size == 0:
                _build_sqlite(path, artifact_location=artifacts.as_uri())
            _check_writable(path)
            client = _connect(uri)
        return Store(uri=uri, artifact_location=artifacts.as_uri(), client=client)


def open_existing_store(*, root: Path) -> Store | None:
    """Open the store as `open_store` does, but return None where a SQLite store does not exist."""
    uri = store_uri(root=root)
    missing = uri.startswith(_SQLITE) and not _sqlite_path(uri).exists()
    return None if missing else open_store(root=root)


def experiment_id(store: Store, *, name: str) -> str:
    """Return the id of experiment `name`, creating it where it is new, reviving it where deleted.

    An experiment of an earlier version, or one made by hand, gets the tags that it lacks.

    Raises:
        TrackingError: the store refuses.
    """
    from mlflow.exceptions import MlflowException

    with explained(store.uri):
        found = store.client.get_experiment_by_name(name)
        if found is None:
            try:
                return store.client.create_experiment(
                    name, store.artifact_location, tags=_EXPERIMENT_TAGS
                )
            except MlflowException:
                found = store.client.get_experiment_by_name(name)  # another worker was faster
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            logger.info("Restoring the deleted MLflow experiment %r.", name)
            store.client.restore_experiment(found.experiment_id)
        for key, value in _EXPERIMENT_TAGS.items():
            if key not in found.tags:
                store.client.set_experiment_tag(found.experiment_id, key, value)
        return str(found.experiment_id)


def chart_addresses(store: Store, *, server: str) -> dict[str, str]:
    """Return by experiment where the UI of `server` draws the charts of its runs.

    A browser that has not been told otherwise opens MLflow's home page, and an experiment from
    there, for GenAI, whatever the experiment's kind; these addresses name the workflow.

    Raises:
        TrackingError: the store cannot be read.
    """
    with explained(store.uri):
        return {
            found.name: f"{server}/#/experiments/{found.experiment_id}/runs"
            "?workflowType=machine_learning&compareRunsMode=CHART"
            for found in store.client.search_experiments(order_by=["name ASC"])
            if found.name != "Default"
        }


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn what a store raises into a `TrackingError` that names the store and the next step."""
    try:
        yield
    except TrackingError:
        raise
    except Timeout as error:
        raise _store_error(uri, f"{error.lock_file} is held by another process") from error
    except Exception as error:  # MLflow, SQLAlchemy, SQLite, HTTP, OS: no common base
        reason = str(error).strip().splitlines()
        raise _store_error(uri, reason[0] if reason else type(error).__name__) from error


def patiently(call: Callable[[], Result]) -> Result:
    """Return what `call` returns; where it fails, make it again for some seconds.

    Under several writers SQLite refuses a transaction at times, and a server restarts at times.
    """
    return with_retries(
        call,
        pauses_seconds=_RETRY_SECONDS,
        is_passing=lambda _: True,  # whatever the store's transport raises
        report=lambda error: logger.debug("MLflow: a call failed (%s), trying again", error),
    )


def quiet_mlflow() -> None:
    """Switch MLflow's telemetry, log chatter and project detection off; a user's settings prevail.

    To be called before mlflow is imported, since it reads the first of them then.
    """
    settings = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_UV_AUTO_DETECT": "false",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def _store_error(uri: str, reason: str) -> TrackingError:
    step = _next_step(uri, reason.lower())
    return TrackingError(
        f"The MLflow store {public_uri(uri)} cannot be used: {reason.rstrip('. ')}. {step}, or let "
        f"MLFLOW_TRACKING_URI name another store (unset: {STORE_FOLDER}/mlflow.db at the "
        "repository root), or set `train.tracking: false` in params.yaml to train without tracking."
    )


def _next_step(uri: str, reason: str) -> str:
    """Return what to do about `reason`: what SQLite, MLflow or the system said, lower case."""
    if not uri.startswith(_SQLITE):
        return "Start its server"
    path = _sqlite_path(uri)
    if "not a database" in reason or "malformed" in reason:
        return (
            "The file is damaged, or no SQLite database at all. Move it aside "
            f"(mv '{path}' '{path}.damaged'): the next training makes a new store, and an "
            "evaluation records its model there anew; models and reports do not depend on it"
        )
    if "locked" in reason or "held by another process" in reason:
        return "Wait until the process that writes to it is done, or end that process"
    if "schema" in reason or "revision" in reason:
        return (
            "Another version of MLflow made it: where that was an older one, make a copy and run "
            f"`mlflow db upgrade {uri}`; where it was a newer one, install that"
        )
    if "full" in reason or "no space" in reason:
        return "Make room on its disk"
    return "Make its folder writable"


def _sqlite_path(uri: str) -> Path:
    return Path(uri.removeprefix(_SQLITE).partition("?")[0])


def _connect(uri: str) -> MlflowClient:
    quiet_mlflow()
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.search_experiments(max_results=1)  # connects now, so that a fault shows at the start
    return client


def _build_sqlite(path: Path, *, artifact_location: str) -> None:
    """Build the database aside and rename it, so that a kill leaves nothing half-built behind."""
    quiet_mlflow()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    remove_leftovers(path.parent)
    with written_whole(path) as part:
        store: Any = SqlAlchemyStore(f"{_SQLITE}{part}", artifact_location)  # type: ignore[no-untyped-call]
        store.engine.dispose()
    logger.info("Created the MLflow store %s.", path)


def _check_writable(path: Path) -> None:
    """Take and give back SQLite's write lock: MLflow itself would retry for minutes.

    Raises:
        sqlite3.Error: the file is read-only, locked for good or no database.
    """
    with closing(sqlite3.connect(path, timeout=_BUSY_TIMEOUT_SECONDS)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()


def _check_server(uri: str) -> None:
    """Raise OSError unless something answers at an http address: MLflow would retry for minutes."""
    if not uri.startswith(("http://", "https://")):
        return
    try:
        request = Request(public_uri(uri), method="HEAD")  # noqa: S310  http(s) alone, see above
        with urlopen(request, timeout=_HTTP_TIMEOUT_SECONDS):  # noqa: S310
            pass
    except HTTPError:
        pass  # it answers; whether it is MLflow and lets us in shows at the first call
    except URLError as error:
        raise OSError(f"no server answers ({error.reason})") from error
