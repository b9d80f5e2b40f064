"""A feed's clock is that of all processes, and machines, that share a ledger's database."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest

from sluice.core.settings import settings
from sluice.declare import pipeline_clock, spec
from tests.proof.postgres import Postgres, binaries

FIRST = date(2013, 1, 1)
MOVE = """
import sys
from datetime import date
from sluice.declare import pipeline_clock, spec
pipeline_clock.advance(spec.load("flights"), date.fromisoformat(sys.argv[1]))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, home, monkeypatch):
    """The ledger's database, with no table in it yet."""
    if request.param == "sqlite":
        yield
        return
    if (folder := binaries()) is None:
        pytest.skip("there is no PostgreSQL on this machine (initdb, postgres)")
    server = Postgres(folder)
    server.do("create database ledger")
    monkeypatch.setenv("SLUICE_LEDGER_URI", server.url("ledger"))
    settings.cache_clear()
    yield
    server.close()


@pytest.mark.slow
def test_of_many_who_move_it_at_once_the_latest_day_stays(database):
    flights = spec.load("flights")
    days = [FIRST + timedelta(days=(7 * number) % 20) for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda day: pipeline_clock.advance(flights, day), days))
    assert pipeline_clock.today(flights) == max(days)
    pipeline_clock.advance(flights, FIRST)
    assert pipeline_clock.today(flights) == max(days)


@pytest.mark.slow
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_machine_with_a_home_of_its_own_moves_the_clock_of_all(database, tmp_path):
    elsewhere = {**os.environ, "SLUICE_HOME": str(tmp_path / "another home")}
    subprocess.run([sys.executable, "-c", MOVE, "2013-01-05"], env=elsewhere, check=True)
    assert pipeline_clock.today(spec.load("flights")) == date(2013, 1, 5)
