"""The DuckDB file of one attempt: what dbt reads, and nothing else.

It is made anew for every attempt and thrown away after: derived state, never the truth. It holds views over the
Parquet files of the days that the run needs, so its cost does not grow with the age of the tables, and the table
`sluice.params`, which tells the models what to build. dbt would take the same as `--vars`, but parses the whole project
anew whenever a var changes (0.8 s instead of 0.15 s, measured on this project).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.core.sql import literal, quoted
from sluice.declare.spec import Pipeline

if TYPE_CHECKING:
    import duckdb

# dbt calls the database by the file's stem; a parsed project keeps that name, so it is the same for every attempt.
FILE = "dbt.duckdb"


def create(
    spec: Pipeline,
    start: str,
    end: str,
    files: Mapping[str, Sequence[str]],
    path: Path,
    *,
    history_days: int | None = None,
) -> None:
    """Write a fresh database.

    Args:
        start, end: first and last day (YYYY-MM-DD, inclusive) of the partitions to build.
        files: Parquet files by table; one without any becomes an empty view with its declared columns.
        path: the file; whatever is there is replaced.
        history_days: days before `start` that `files` reach back; the pipeline's, if not given.
    """
    from sluice.gates import suites

    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with connect(path) as con:
        con.execute("create schema raw")
        con.execute("create schema sluice")
        con.execute(
            "create table sluice.params as select ?::date as start_on, ?::date as end_on,"
            " ?::integer as history_days, ?::integer as prediction_hour, ?::varchar as timezone",
            [
                start,
                end,
                spec.history_days if history_days is None else history_days,
                spec.prediction_hour,
                spec.timezone,
            ],
        )
        for table, paths in files.items():
            rows = _read(paths) if paths else _empty(suites.columns_of(spec, table))
            con.execute(f'create view raw."{table}" as {rows}')


def connect(path: Path) -> duckdb.DuckDBPyConnection:
    """Open the database with instants in UTC, whatever the zone of the machine."""
    import duckdb

    con = duckdb.connect(str(path))
    con.execute("set TimeZone = 'UTC'")
    return con


def _read(paths: Sequence[str]) -> str:
    # A view takes no parameters, so the list is written out.
    listed = ", ".join(map(literal, paths))
    # `ds=<day>.parquet` looks like a Hive partition to DuckDB; the column is in the file.
    return f"select * from read_parquet([{listed}], hive_partitioning = false, can_have_nan = true)"  # noqa: S608 our own paths


def _empty(columns: Mapping[str, str]) -> str:
    typed = ", ".join(f"null::{kind} as {quoted(name)}" for name, kind in columns.items())
    return f"select {typed} where false"
