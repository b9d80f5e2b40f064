"""The one way to an MLflow installation: quiet, and safe to be first.

MLflow decides at import whether to send usage data and how much to log, and creates its schema without a lock on first use; both are dealt
with here, before anything else can ask it for something.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient


def connect(uri: str) -> MlflowClient:
    """A client of the tracking server and registry at `uri`, connected, its schema there.

    Over SQLite any number of processes may be first at once. Over another database create the schema ahead of time, by
    calling this once.
    """
    _be_quiet()
    from mlflow import MlflowClient

    with _one_at_a_time(uri):
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        # The client connects only when it is first asked something, and its two stores each on their own.
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
    return client


def migrate(uri: str) -> None:
    """Make the schema at `uri`, or bring one that an earlier MLflow made to this one's; a server does so for its own.

    MLflow itself refuses an older schema, unless it lacks whole tables.
    """
    if not uri.startswith(("http://", "https://")):
        _be_quiet()
        from mlflow.db import upgrade

        with _one_at_a_time(uri):
            upgrade.main([uri], standalone_mode=False)
    connect(uri)


def experiment_id(client: MlflowClient, name: str, artifacts: str) -> str:
    """The experiment of this name, created where needed, its files under `artifacts` (empty: the server's choice)."""
    known = client.get_experiment_by_name(name)
    if known is None:
        location = f"{artifacts}/{name}" if artifacts else None
        create(lambda: client.create_experiment(name, artifact_location=location))
        return experiment_id(client, name, artifacts)
    return known.experiment_id


def create(make: Callable[[], object]) -> None:
    """Create what may be there already, or be created by another process at this moment."""
    from mlflow.exceptions import MlflowException

    try:
        make()
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _be_quiet() -> None:
    """What MLflow reads when it is imported for the first time."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")


@contextmanager
def _one_at_a_time(uri: str) -> Iterator[None]:
    if not uri.startswith("sqlite:///"):
        yield
        return
    database = Path(uri.removeprefix("sqlite:///"))
    database.parent.mkdir(parents=True, exist_ok=True)
    with open(database.with_name(f"{database.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
