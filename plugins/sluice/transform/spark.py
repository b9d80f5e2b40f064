"""Spark as the engine of a derived table: the same dbt models, over the same pinned snapshots, on a cluster.

The rule kept here: nothing but a build is different. dbt runs in this process, whose Spark session is the driver; what the models
read are views over the snapshots that the attempt has recorded, through Iceberg's own catalog; what they write is the attempt's own,
in a scratch folder that every executor sees, and is thrown away after. The rows come back as DuckDB's do, and are staged, judged
and published by the same code. Unit tests, the comparison after a change of code and the replay before a promotion are of single
days, and stay on DuckDB.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sluice.core.errors import SpecInvalidError, TransformFailedError
from sluice.core.settings import settings
from sluice.core.sql import literal
from sluice.declare.spec import Pipeline
from sluice.lake import connection

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

# As pyiceberg's: a SQL catalog finds its tables by its own name.
_CATALOG = "sluice"
SCHEMA = "main"
# Of DuckDB's types, those that Spark calls otherwise.
_TYPES = {"VARCHAR": "string", "TIMESTAMPTZ": "timestamp", "TIMESTAMP WITH TIME ZONE": "timestamp"}
# What bounds the memory of the driver, of each executor and of its Python, unless SLUICE_SPARK_CONF says otherwise. 1 GB was
# enough for a month of flights; what a driver collects is a table's days, once in Spark and once in Arrow.
_BOUNDS = {
    "spark.driver.memory": "1g",
    "spark.driver.maxResultSize": "512m",
    "spark.executor.memory": "1g",
    "spark.executor.pyspark.memory": "256m",
}
# What DuckDB reads and Spark 3.5 does not, in the SQL of a model before its macros are expanded.
_DUCKDB_ONLY = {
    "`::`": r":{2}",
    "`//`": r"//",
    "`qualify`": r"\bqualify\b",
    "`* exclude`": r"\*\s*exclude\b",
    "`* replace`": r"\*\s*replace\b",
    "`at time zone`": r"\bat\s+time\s+zone\b",
    "`anti join`": r"(?<!left )\banti\s+join\b",
    "a function of DuckDB's": r"\b(generate_series|unnest|isodow|date_diff|to_hours|to_minutes|list_\w+|strptime)\s*\(",
}
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/|\{#.*?#\}", re.DOTALL)

# There is one Spark context in a process.
_ONE_AT_A_TIME = threading.Lock()


def require(spec: Pipeline) -> None:
    """Refuse an installation in which Spark cannot be started.

    Raises:
        SpecInvalidError: says what is missing.
    """
    where = f"engine in dags/pipelines/{spec.pipeline}.yml"
    if not settings().spark_master:
        raise SpecInvalidError(
            "A table has the engine spark, and no master is set.",
            where=f"{where}, variable SLUICE_SPARK_MASTER",
            allowed="spark://host:7077, yarn, k8s://https://host:6443 or local[2]",
            todo="set it, or take `engine` out",
        )
    missing = [name for name in ("pyspark", "dbt.adapters.spark") if not _installed(name)]
    if missing or not shutil.which("java"):
        raise SpecInvalidError(
            f"A table has the engine spark, and there is no {', '.join([*missing, *([] if shutil.which('java') else ['java'])])}.",
            where=where,
            allowed="Java 17, and the packages of docker/spark.txt",
            todo="install both, as docs/scale.md says",
        )


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def check_sql(spec: Pipeline, sql: Mapping[str, str]) -> None:
    """Refuse models that are written for DuckDB alone.

    Args:
        sql: SQL of each model that a table of the engine is made of, with its Jinja.

    Raises:
        SpecInvalidError: names the model and what Spark does not read.
    """
    found = [
        f"{model} has {what}"
        for model, text in sql.items()
        for what, pattern in _DUCKDB_ONLY.items()
        if re.search(pattern, _COMMENT.sub("", text), re.IGNORECASE)
    ]
    if found:
        raise SpecInvalidError(
            f"Models of a table with the engine spark are DuckDB's alone: {'; '.join(found)}.",
            where=f"dbt_project/models/{spec.pipeline}",
            allowed="SQL that both read, and the macros of dbt_project/macros/dialect.sql",
            todo="write the model so, or build its tables with `engine: duckdb`",
        )


@contextmanager
def session(
    spec: Pipeline,
    table: str,
    start: str,
    end: str,
    inputs: Sequence[Mapping[str, Any]],
    workdir: Path,
) -> Iterator[Reader]:
    """A Spark session in which dbt finds what it reads: views over the recorded snapshots, and the parameters of the run.

    Raises:
        SpecInvalidError: see `require`.
    """
    from pyspark.sql import SparkSession

    from sluice.gates import suites

    require(spec)
    scratch = f"{settings().spark_scratch.rstrip('/') or connection.uri(str(workdir.resolve().parent))}/{workdir.name}/spark"
    builder = SparkSession.builder.appName(f"sluice {spec.pipeline}.{table} {start} to {end}")
    for name, value in _conf(scratch).items():
        builder = builder.config(name, value)
    with _ONE_AT_A_TIME:
        spark = builder.master(settings().spark_master).getOrCreate()
        try:
            spark.sql("create schema raw")
            spark.sql("create schema sluice_run")
            for read in inputs:
                columns = suites.columns_of(spec, read["table"])
                spark.sql(f"create view raw.`{read['table']}` as {_view(spec, read, columns)}")
            hour = "null" if spec.prediction_hour is None else spec.prediction_hour
            spark.sql(
                f"create view sluice_run.params as select date {literal(start)} as start_on, date {literal(end)} as end_on,"
                f" {spec.history_of(table)} as history_days, cast({hour} as int) as prediction_hour,"
                f" {literal(spec.timezone)} as timezone"
            )
            yield Reader(spark, scratch)
        finally:
            spark.stop()
            SparkSession.builder._options.clear()
    _remove(scratch)


class Reader:
    """What the models made, as the rest of the platform takes it."""

    def __init__(self, spark: SparkSession, scratch: str) -> None:
        self._spark, self._scratch = spark, scratch

    def rows(self, relation: str, order: Sequence[str], required: Sequence[str]) -> pa.Table:
        """All rows of a relation, sorted; instants are timestamp[us, UTC].

        Args:
            required: columns that may hold no null: Spark does not enforce it.

        Raises:
            TransformFailedError: one does.
        """
        import pyarrow.dataset as ds

        made = f"{self._scratch}/rows"
        self._spark.table(relation).write.parquet(made)
        fs, path = connection.filesystem(made)
        found = ds.dataset(path, filesystem=fs, format="parquet").to_table()
        if null := [name for name in required if found[name].null_count]:
            raise TransformFailedError(
                f"Columns without a value in some row: {', '.join(null)}.",
                where=relation,
                allowed="a value in every row, as `not_null` in the yml of the model says",
                todo="correct the model, or take the constraint out",
            )
        return found.sort_by([(name, "ascending") for name in order]).combine_chunks()

    def counts(self, model: str, by: str, of: str) -> dict[str, int]:
        """Rows of a model, or the sum of a column, by another."""
        query = f"select {by}, cast({of} as bigint) from {SCHEMA}.`{model}` group by {by} order by {by}"  # noqa: S608 - dbt's own names
        return {row[0]: row[1] for row in self._spark.sql(query).collect()}


def _conf(scratch: str) -> dict[str, str]:
    warehouse, url = settings().warehouse_path, settings().catalog_url
    catalog = f"spark.sql.catalog.{_CATALOG}"
    made = {
        **_BOUNDS,
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalog}.warehouse": warehouse,
        **{f"{catalog}.{name}": value for name, value in _catalog(url).items()},
        "spark.sql.warehouse.dir": f"{scratch}/warehouse",
        # As DuckDB: an instant is one whatever the machine's zone, and a value that does not fit is an error.
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.legacy.createHiveTableByDefault": "false",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.ui.showConsoleProgress": "false",
    }
    if warehouse.startswith("s3"):
        made[f"{catalog}.io-impl"] = "org.apache.iceberg.aws.s3.S3FileIO"
    if settings().spark_packages:
        made["spark.jars.packages"] = settings().spark_packages
    return made | settings().spark_conf


def _catalog(url: str) -> dict[str, str]:
    """Iceberg's own client of the catalog that pyiceberg uses; a password comes from PGPASSFILE, which both drivers read."""
    if not url.startswith(("postgresql", "sqlite")):
        return {"type": "rest", "uri": url}
    made = {"type": "jdbc", "jdbc.schema-version": "V1"}
    if url.startswith("sqlite"):
        return made | {"uri": f"jdbc:sqlite:{url.removeprefix('sqlite:///')}"}
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    made["uri"] = f"jdbc:postgresql://{parts.hostname}:{parts.port or 5432}{parts.path}{query}"
    return made | ({"jdbc.user": parts.username} if parts.username else {})


def _view(spec: Pipeline, read: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    if read["snapshot_id"] is None:
        typed = (
            f"cast(null as {_TYPES.get(kind.upper(), kind)}) as `{name}`" for name, kind in columns.items()
        )
        return f"select {', '.join(typed)} where false"
    days = f"ds between date {literal(read['first'])} and date {literal(read['last'])}"
    table = f"{_CATALOG}.`{spec.pipeline}`.`{read['table']}`"
    return f"select * from {table} version as of {int(read['snapshot_id'])} where {days}"  # noqa: S608 - declared names


def _remove(scratch: str) -> None:
    fs, path = connection.filesystem(scratch)
    fs.delete_dir(path)
