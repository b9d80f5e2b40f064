"""Import the heavy libraries once, in the parent of all task processes.

A LocalExecutor worker forks its tasks, so what the scheduler imported before it forked its workers is free in every
task. Together these imports cost more than the work on a day's batch. Where workers are started anew (Celery,
Kubernetes, or `spawn` on macOS) nothing here runs in them, and tasks import what they need when they need it.
"""

from __future__ import annotations

import importlib
import logging
import time

MODULES = (
    "pandas",
    "pyarrow.acero",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "duckdb",
    "duckdb_engine",
    "pyiceberg.avro.decoder_fast",
    "pyiceberg.catalog.sql",
    "pyiceberg.io.pyarrow",
    "great_expectations",
    "great_expectations.expectations.core",
    "dbt.cli.main",
    "dbt.adapters.__about__",
    "dbt.adapters.duckdb.__version__",
    "dbt.adapters.duckdb.connections",
    "dbt.adapters.duckdb.environments.local",
    "dbt.task.build",
    "dbt.runners",
    "xgboost",
    "sklearn.linear_model",
    "mlflow.tracking",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_workspace_store",
    "evidently.presets",
    "plotly.animation",
    "plotly.graph_objs",
    "plotly.offline",
    "boto3",
    "jinja2",
    "sluice.gates",
    "sluice.lake.tables",
    "sluice.models.monitoring",
    "sluice.models.scoring",
    "sluice.notify.delivery",
    "sluice.notify.resolved_mails",
    "sluice.notify.report",
    "sluice.transform.stage",
    "sluice_ml.reports",
)

log = logging.getLogger(__name__)


def preload() -> None:
    """Import every module of `MODULES`; one that cannot be imported is an error, as it would be in the task."""
    started = time.monotonic()
    for name in MODULES:
        importlib.import_module(name)
    log.info("Preloaded %d libraries in %.1f s", len(MODULES), time.monotonic() - started)
