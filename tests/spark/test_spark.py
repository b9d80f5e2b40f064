"""The same models by Spark and by DuckDB, over the same snapshots."""

from __future__ import annotations

import json

import pytest

from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.transform import runner
from sluice.transform.stage import stage_derived

DAY = "2013-02-08"


def _executors(events) -> set[str]:
    """Executors that have run a task."""
    lines = [json.loads(line) for path in events.iterdir() for line in path.read_text().splitlines()]
    return {one["Task Info"]["Executor ID"] for one in lines if one["Event"] == "SparkListenerTaskEnd"}


# No tolerance: every sum of the models is one of whole numbers, so that no digit depends on the order of rows, and a quotient of
# two whole numbers is rounded once, by the same rule of IEEE 754.
@pytest.mark.parametrize(
    ("table", "first", "last"),
    [
        ("features", DAY, DAY),
        ("features", "2013-02-01", "2013-02-28"),
        ("outcomes", "2013-02-01", "2013-02-28"),
    ],
    ids=["a day", "a month", "outcomes"],
)
def test_rows_are_duckdbs_to_the_last_bit(on_spark, events, tmp_path, table, first, last):
    by_duckdb = on_spark.model_copy(update={"engine": "duckdb"})
    (tmp_path / "duckdb").mkdir()
    (tmp_path / "spark").mkdir()
    expected = runner.build(by_duckdb, table, first, last, workdir=tmp_path / "duckdb")
    made = runner.build(on_spark, table, first, last, workdir=tmp_path / "spark")
    assert made.data.num_rows > 900
    assert list(zip(made.data.column_names, made.data.schema.types, strict=True)) == list(
        zip(expected.data.column_names, expected.data.schema.types, strict=True)
    )
    for name in expected.data.column_names:
        assert made.data[name].combine_chunks().equals(expected.data[name].combine_chunks()), name
    counted = ("received", "dropped", "unmatched", "inputs")
    assert {name: getattr(made, name) for name in counted} == {
        name: getattr(expected, name) for name in counted
    }
    assert not (tmp_path / "spark" / "spark").exists()
    assert {"0", "1"} <= _executors(events)


def test_a_day_is_staged_from_the_pinned_snapshots(on_spark):
    manifest = stage_derived(on_spark, "outcomes", ["2013-02-09"], Run(run_id="test"))
    by_duckdb = on_spark.model_copy(update={"engine": "duckdb"})
    expected = stage_derived(by_duckdb, "outcomes", ["2013-02-09"], Run(run_id="test"))
    assert (manifest.rows, manifest.content_hash) == (expected.rows, expected.content_hash)
    assert not list(settings().work.glob("flights-outcomes-*"))


@pytest.fixture(scope="session")
def evaluated():
    """Function: what both engines make of an expression with the macros of dialect.sql; (DuckDB's, Spark's) as text."""
    import duckdb
    import jinja2
    from pyspark.sql import SparkSession

    text = (settings().dbt_project / "macros" / "dialect.sql").read_text()
    spark = SparkSession.builder.master("local[1]").config("spark.sql.session.timeZone", "UTC").getOrCreate()

    def both(expression: str) -> tuple[str, str]:
        made = []
        for dialect in ("default", "spark"):
            jinja = jinja2.Environment(autoescape=False)
            module = jinja.from_string(text).make_module()
            names = {
                name.removeprefix(f"{dialect}__"): macro
                for name, macro in vars(module).items()
                if name.startswith(f"{dialect}__")
            }
            made.append(jinja.from_string(expression).render(names))
        with duckdb.connect() as con:
            con.execute("set TimeZone = 'UTC'")
            ((by_duckdb,),) = con.execute(f"select cast({made[0]} as varchar)").fetchall()
        ((by_spark,),) = spark.sql(f"select cast({made[1]} as string)").collect()
        return by_duckdb and by_duckdb.removesuffix("+00"), by_spark

    yield both
    spark.stop()


@pytest.mark.parametrize(
    "expression",
    [
        # An hour that there is not, one that there is twice, and one of a zone that changes on another day.
        "{{ instant(\"timestamp '2013-03-10 02:30:00'\", \"'America/New_York'\") }}",
        "{{ instant(\"timestamp '2013-11-03 01:30:00'\", \"'America/New_York'\") }}",
        "{{ instant(\"timestamp '2013-11-03 01:30:00'\", \"'Europe/Berlin'\") }}",
        "{{ instant(\"timestamp '2013-11-03 01:30:00'\", 'cast(null as ' ~ 'varchar(9)' ~ ')') }}",
        "{{ one_blank(\"'\u00a0l\u00a0 a\t\u2003b\u000bc'\") }}",
        "{{ plus_minutes(\"timestamp '2013-03-10 02:30:00'\", '60 * 24') }}",
        "{{ minutes_between(\"timestamp '2013-03-10 02:30:00'\", \"timestamp '2013-03-09 02:29:00'\") }}",
        "{{ day_of_week(\"date '2013-02-10'\") }}",
        "{{ whole('1859', '100') }}",
    ],
)
def test_dialects_mean_the_same(evaluated, expression):
    by_duckdb, by_spark = evaluated(expression)
    assert by_spark == by_duckdb
