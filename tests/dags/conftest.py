"""The DAG bag, parsed once, with an Airflow home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sluice.core.settings import ROOT

# Run apart: Airflow reads its configuration when it is imported, and this process may have imported it already.
_DESCRIBE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag

def assets(condition):
    if hasattr(condition, "objects"):
        return [name for each in condition.objects for name in assets(each)]
    return [condition.name] if hasattr(condition, "name") else []

bag = DagBag(dag_folder=sys.argv[1], load_op_links=False)
heavy = ("pandas", "numpy", "pyarrow", "duckdb", "great_expectations", "dbt", "xgboost", "mlflow", "evidently",
         "pyiceberg", "boto3", "sklearn", "scipy", "optuna")
print("BAG", json.dumps({
    "import_errors": bag.import_errors,
    "heavy": [name for name in heavy if name in sys.modules],
    "dags": {dag_id: {
        "doc": dag.doc_md, "tags": sorted(dag.tags), "schedule": type(dag.timetable).__name__,
        "woken_by": sorted(assets(getattr(dag.timetable, "asset_condition", None))),
        "catchup": dag.catchup, "paused": dag.is_paused_upon_creation, "start": str(dag.start_date), "max_active_runs": dag.max_active_runs,
        "timeout": dag.dagrun_timeout.total_seconds() if dag.dagrun_timeout else None,
        "callbacks": [callback.__name__ for callback in [dag.on_failure_callback] if callback],
        "tasks": {task.task_id: {
            "downstream": sorted(task.downstream_task_ids), "owner": task.owner, "retries": task.retries,
            "timeout": task.execution_timeout.total_seconds() if task.execution_timeout else None,
            "callbacks": [callback.__name__ for callback in task.on_failure_callback or []],
            "outlets": sorted(asset.name for asset in task.outlets), "pool": task.pool,
            "explains": getattr(getattr(task, "python_callable", None) or type(task).execute, "explains_failure", False),
        } for task in dag.tasks},
    } for dag_id, dag in bag.dags.items()},
}))
"""


@pytest.fixture(scope="session")
def live_bag(tmp_path_factory) -> dict:
    """The same, of a pipeline that runs by the wall clock."""
    return describe_live(tmp_path_factory.mktemp("live_pipeline"))


@pytest.fixture(scope="session")
def mistyped_bag(tmp_path_factory) -> dict:
    """The same, of flights, of a pipeline with a key that there is not, and of one without derived tables and model."""
    base = tmp_path_factory.mktemp("mistyped_pipeline")
    text = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()
    assert text.count("\nhistory_days:") == 1
    (base / "flights.yml").write_text(text)
    ships = yaml.safe_load(text) | {"pipeline": "ships"}
    for part in ("derived", "model", "monitoring"):
        del ships[part]
    (base / "ships.yml").write_text(yaml.safe_dump(ships))
    text = text.replace("pipeline: flights", "pipeline: trains").replace("\nhistory_days:", "\nhistroy_days:")
    (base / "trains.yml").write_text(text)
    return describe(tmp_path_factory.mktemp("airflow"), SLUICE_PIPELINES=str(base))


@pytest.fixture(scope="session")
def shadow_bag(tmp_path_factory) -> dict:
    """The same, of flights with days in shadow, and roll-backs by the gate."""
    base = tmp_path_factory.mktemp("shadow_pipeline")
    text = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()
    declared = "\nmodel:\n  shadow_days: 14\n  rollback: {automatic: true}\n"
    (base / "flights.yml").write_text(text.replace("\nmodel:\n", declared))
    return describe(tmp_path_factory.mktemp("airflow"), SLUICE_PIPELINES=str(base))


@pytest.fixture(scope="session")
def critical_bag(tmp_path_factory) -> dict:
    """The same, of flights with a model that is critical."""
    base = tmp_path_factory.mktemp("critical_pipeline")
    text = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()
    critical = "\nmodel:\n  criticality: critical\n  shadow_days: 14\n"
    (base / "flights.yml").write_text(text.replace("\nmodel:\n", critical))
    return describe(tmp_path_factory.mktemp("airflow"), SLUICE_PIPELINES=str(base))


@pytest.fixture(scope="session")
def tuned_bag(tmp_path_factory) -> dict:
    """The same, of flights with a search for parameters."""
    base = tmp_path_factory.mktemp("tuned_pipeline")
    text = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()
    declared = "\nmodel:\n  tuning: {cpu_minutes: 60}\n"
    (base / "flights.yml").write_text(text.replace("\nmodel:\n", declared))
    return describe(tmp_path_factory.mktemp("airflow"), SLUICE_PIPELINES=str(base))


@pytest.fixture(scope="session")
def bag(tmp_path_factory) -> dict:
    """What Airflow's own parser sees, as plain data."""
    return describe(tmp_path_factory.mktemp("airflow"))


def describe_live(base: Path) -> dict:
    """What the parser sees of flights as a live pipeline, declared in `base`."""
    text = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()
    assert text.count("clock: feed\n") == 1
    live = "clock: wall\nstarts: 2026-01-05\nstale_input: mark\n"
    (base / "flights.yml").write_text(text.replace("clock: feed\n", live))
    home = base / "airflow"
    home.mkdir()
    return describe(home, SLUICE_PIPELINES=str(base))


def describe(home: Path, **settings: str) -> dict:
    """Parse all DAG files in a process of its own, with an empty `home` and further settings."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # No network, lake or database may be needed to parse: there is none here.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/never_created/airflow.db",
        "SLUICE_HOME": str(home / "never_created"),
        **settings,
    }
    done = subprocess.run(
        [sys.executable, "-c", _DESCRIBE, str(ROOT / "dags")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("BAG ")]
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    assert not (home / "never_created").exists(), "parsing the DAG files wrote something"
    return json.loads(found[0].removeprefix("BAG "))
