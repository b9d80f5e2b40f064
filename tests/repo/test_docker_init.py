"""The step that prepares an installation in containers, with a real PostgreSQL and without containers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import make_url

from sluice import ledger
from sluice.core.settings import ROOT, settings
from sluice.ledger import records, schema
from sluice.local import stack
from tests.proof.postgres import Postgres, binaries

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

DATABASES = {
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "airflow",
    "SLUICE_CATALOG_URI": "catalog",
    "SLUICE_LEDGER_URI": "ledger",
    "SLUICE_MLFLOW_URI": "mlflow",
}


@pytest.fixture
def server(home, monkeypatch) -> Iterator[Postgres]:
    """An empty PostgreSQL server, named for every database as compose.yml does."""
    folder = binaries()
    if folder is None:
        pytest.skip("there is no PostgreSQL on this machine (initdb, postgres)")
    made = Postgres(folder)
    for variable, name in DATABASES.items():
        monkeypatch.setenv(variable, made.url(name))
    settings.cache_clear()
    yield made
    made.close()


def _init(exit_code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docker" / "init.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=stack.environment(),
        check=False,
    )
    assert done.returncode == exit_code, done.stdout
    return done.stdout


def test_empty_server_is_prepared_an_older_ledger_completed_and_a_newer_registry_refused(server):
    said = _init()
    assert [f"created database {name}" in said for name in DATABASES.values()] == [True] * len(DATABASES)
    assert "Airflow's database is made" in said
    ledger.append(
        records.Skipped(by="operator"), pipeline="flights", subject="arrivals", partition="2013-04-01"
    )
    server.do("drop index sluice_ledger_by_kind", "ledger")
    assert "The ledger gets the indexes sluice_ledger_by_kind." in _init()
    assert not schema.lacking()
    again = _init()
    assert "Nothing to migrate: everything is of this version." in again
    assert "created database" not in again
    assert ledger.verify() == 1

    server.do("update alembic_version set version_num = 'of_2031'", "mlflow")
    said = _init(exit_code=1)
    assert "The registry's database has the schema of_2031" in said
    assert make_url(settings().mlflow_url).database in said
