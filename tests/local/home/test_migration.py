"""What an earlier version made is brought to this one, and what a newer one made is refused."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from alembic import command

from sluice import ledger
from sluice.core import identity
from sluice.core.settings import settings
from sluice.declare import pipeline_clock, spec
from sluice.lake import tables
from sluice.ledger import model_records, records
from sluice.local import home as homes
from sluice.local import stack
from sluice.models.config import registry
from tests.models.conftest import publish

pytestmark = pytest.mark.slow

KEPT = sorted(Path(__file__).with_name("kept").glob("*.tar.xz"))
BEFORE, DAY = "2013-03-30", "2013-03-31"
# An Airflow whose schema is another one than that of 3.3.
OLDER_AIRFLOW = "3.2.0"


@pytest.fixture(params=KEPT, ids=lambda archive: archive.name.removesuffix(".tar.xz"))
def kept(request, home) -> Path:
    """A home that an earlier version left, adopted at a place of its own."""
    with tarfile.open(request.param) as archive:
        archive.extractall(home, filter="data")
    list(homes.adopt())
    return home


def _sluice(*arguments: str, exit_code: int = 0) -> str:
    """What a command says; in a process of its own, because `migrate` imports Airflow with the settings of this home."""
    program = str(Path(sys.executable).with_name("sluice"))
    done = subprocess.run(
        [program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == exit_code, done.stdout
    return " ".join(done.stdout.split())


def _change(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)


def _databases(home: Path) -> dict[str, list[str]]:
    found = {}
    for name in ("ledger.db", "mlflow.db", "airflow/airflow.db"):
        with closing(sqlite3.connect(home / name)) as connection:
            found[name] = list(connection.iterdump())
    return found


def _make_older(home: Path) -> None:
    """Take the schemas back: Airflow's by its own command, the registry's by its last migration, the ledger's by an index."""
    airflow = [str(Path(sys.executable).with_name("airflow")), "db", "downgrade", "--yes"]
    subprocess.run([*airflow, "--to-version", OLDER_AIRFLOW], env=stack.environment(), check=True)
    from mlflow.store.db.utils import _get_alembic_config

    command.downgrade(_get_alembic_config(settings().mlflow_url), "-1")
    _change(home / "ledger.db", "drop index sluice_ledger_by_kind")
    (home / "clock").mkdir()
    (home / "clock" / "flights.json").write_text('{"today": "2013-04-05"}')


def test_older_installation_is_migrated_and_goes_on(kept):
    _make_older(kept)
    before = _databases(kept)

    said = _sluice("migrate", "--dry-run")
    assert "Airflow's database is migrated from the schema" in said
    assert "The registry's database is migrated from the schema" in said
    assert "The ledger gets the indexes sluice_ledger_by_kind." in said
    assert "The clock of flights moves into the ledger's database." in said
    assert "Nothing was changed" in said
    assert _databases(kept) == before

    assert "Nothing was changed" not in _sluice("migrate")
    assert _sluice("migrate", "--dry-run") == "Nothing to migrate: everything is of this version."

    flights = spec.load("flights")
    assert pipeline_clock.today(flights) == date(2013, 4, 5)
    assert ledger.verify() == len(ledger.entries()) == 2
    (trained,) = ledger.entries(model_records.Trained)
    assert registry().load(flights.model.name, trained.record.version, threads=1).version == 1
    assert tables.scan("flights", "features", BEFORE, BEFORE)["flight_id"].to_pylist() == ["a", "b"]
    rows = {
        "flight_id": ["c"],
        "ds": pa.array([date.fromisoformat(DAY)], pa.date32()),
        "has_waived_input": [False],
    }
    publish(flights, "features", pa.table(rows))
    grown = tables.scan("flights", "features", BEFORE, DAY)
    assert grown["has_waived_input"].to_pylist() == [None, None, False]
    assert len(ledger.entries(records.Published)) == 2


@pytest.mark.parametrize("dry_run", [["--dry-run"], []])
def test_database_that_a_newer_version_migrated_is_refused_and_left_as_it_is(kept, dry_run):
    _change(kept / "ledger.db", "drop index sluice_ledger_by_kind")
    _change(kept / "mlflow.db", "update alembic_version set version_num = 'of_2031'")
    before = _databases(kept)

    said = _sluice("migrate", *dry_run, exit_code=1)
    assert (
        "The registry's database has the schema of_2031, which the mlflow installed here does not know"
        in said
    )
    assert "restore the backup" in said
    assert _databases(kept) == before


def test_home_of_a_newer_layout_is_refused_by_every_command(kept):
    stored = json.loads((kept / identity.FILE).read_text())
    (kept / identity.FILE).write_text(json.dumps({**stored, "layout": identity.LAYOUT + 1, "unknown_yet": 1}))
    for command_ in (["migrate"], ["ledger"], ["home", "adopt"], ["home", "status"]):
        assert f"has layout {identity.LAYOUT + 1}, of a newer version of Sluice" in _sluice(
            *command_, exit_code=1
        )
