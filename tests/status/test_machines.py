"""What of an installation another machine cannot reach."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from sluice.cli import main
from sluice.core.errors import SpecInvalidError
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.status import machines
from sluice.status.check import check_all

SHARED = {
    "SLUICE_CATALOG_URI": "postgresql+psycopg2://sluice@db/catalog",
    "SLUICE_LEDGER_URI": "postgresql+psycopg2://sluice@db/ledger",
    "SLUICE_MLFLOW_URI": "postgresql+psycopg2://sluice@db/mlflow",
    "SLUICE_WAREHOUSE": "s3://bucket/lake",
    "SLUICE_EVIDENCE": "s3://bucket/evidence",
    "SLUICE_MODELS": "/mnt/shared/models",
    "SLUICE_LANDING": "s3://bucket/landing",
}


@pytest.fixture
def set_to(home, make_home, monkeypatch):
    """Function: set the environment of an installation."""
    make_home(home)

    def change(executor: str, **variables: str) -> None:
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()

    return change


@pytest.mark.parametrize(
    ("executor", "several"),
    [
        ("LocalExecutor", False),
        ("CeleryExecutor", True),
        ("airflow.providers.celery.executors.celery_executor.CeleryExecutor", True),
        ("LocalExecutor,KubernetesExecutor", True),
        ("small:LocalExecutor", False),
    ],
)
def test_executor_says_whether_tasks_run_on_several_machines(set_to, executor, several):
    set_to(executor)
    assert machines.several() is several


def test_default_is_one_machine_and_the_check_says_so(set_to):
    set_to("LocalExecutor")
    machines.require_shared()
    assert set(machines.of_this_machine()) == SHARED.keys() - {"SLUICE_LANDING"}
    said = machines.sentence()
    assert "SLUICE_EVIDENCE" in said
    assert "landing of flights" in said
    assert f"note     settings {said}" in CliRunner().invoke(main, ["check", "flights"]).output


@pytest.mark.parametrize("missing", SHARED)
def test_each_setting_of_one_machine_is_refused_where_tasks_run_on_several(set_to, missing):
    set_to("CeleryExecutor", **{name: value for name, value in SHARED.items() if name != missing})
    found = dict(check_all("flights"))
    wrong = found["landing zone of flights" if missing == "SLUICE_LANDING" else "settings"]
    assert isinstance(wrong, SpecInvalidError)
    assert missing in str(wrong)
    assert "CeleryExecutor" in str(wrong)


def test_what_all_machines_reach_is_accepted(set_to):
    set_to("CeleryExecutor", **SHARED)
    machines.require_shared()
    machines.require_shared_landing(spec.load("flights"))
    assert machines.sentence() == ""
