"""How Great Expectations, DuckDB and the object store behave together: what the gate's own engine is there for."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime

import duckdb
import great_expectations as gx
import great_expectations.expectations as gxe
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.execution_engine import SqlAlchemyExecutionEngine

from sluice import gates
from sluice.gates import engine, suites

DAY = "2013-04-05"


@pytest.fixture
def rule(suite, expect, pipeline):
    """Function: one rule as the gate loads it."""

    def load(type: str, **kwargs) -> suites.Rule:
        suite("arrivals", expect(type, **kwargs))
        return suites.load(pipeline, "arrivals").rules[0]

    return load


def test_gx_own_engine_still_reads_duckdb_results_too_late(tmp_path):
    """If this fails, GX has learnt to read DuckDB's results in time: remove `DuckDBExecutionEngine`."""
    database = tmp_path / "one.duckdb"
    with duckdb.connect(str(database)) as con:
        con.execute("create table batch as select 1 as x")
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_sql(name="stock", connection_string=f"duckdb:///{database}")
    batch = source.add_table_asset("batch").add_batch_definition_whole_table("batch").get_batch()
    result = batch.validate(gxe.ExpectColumnValuesToNotBeNull(column="x"))
    assert not result.success
    assert any(info["raised_exception"] for info in result.exception_info.values())


def test_evaluate_nan_is_found_though_parquet_statistics_hide_it(tmp_path, rule):
    path = tmp_path / "nan.parquet"
    pq.write_table(pa.table({"ds": [1, 2], "score": [float("nan"), 0.5]}), path)
    above = rule("unexpected_rows_expectation", unexpected_rows_query="select * from {batch} where score > 1")
    with engine.opened({DAY: str(path)}) as staged:
        (found,) = staged.evaluate([above], show_rows=True)
    assert (found.result.failing_rows, found.result.passed) == (1, False)


def test_evaluate_looks_at_a_bounded_number_of_rows_of_many(tmp_path, rule):
    path = tmp_path / "many.parquet"
    pq.write_table(
        pa.table({"ds": [1] * 50_000, "x": [None] * 50_000}, schema=pa.schema({"ds": "int64", "x": "int64"})),
        path,
    )
    not_null = rule("expect_column_values_to_not_be_null", column="x")
    query = rule("unexpected_rows_expectation", unexpected_rows_query="select * from {batch} where x is null")
    with engine.opened({DAY: str(path)}) as staged:
        found = staged.evaluate([not_null], show_rows=True) + staged.evaluate([query], show_rows=True)
    assert [(one.result.failing_rows, one.result.failing_share, len(one.rows)) for one in found] == [
        (50_000, 1.0, engine.LOOKED_AT)
    ] * 2


def test_evaluate_queries_are_few(pipeline, rows, stage, monkeypatch):
    """Two a rule: its count and, for the rows, either its query's or (LIMIT 0) none; counts mostly come together."""
    asked = []
    execute = SqlAlchemyExecutionEngine.execute_query

    def counting(self, query):
        asked.append(str(query))
        return execute(self, query)

    monkeypatch.setattr(SqlAlchemyExecutionEngine, "execute_query", counting)
    assert gates.run(pipeline, stage("arrivals", rows("arrivals", DAY), DAY)).outcome == "PASS"
    assert 0 < len(asked) <= 2 * len(suites.load(pipeline, "arrivals").rules) + 2


def test_run_leaves_nothing_in_the_temporary_folder(tmp_path, monkeypatch, audit):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    audit("arrivals", DAY)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_run_batch_in_a_bucket_is_audited(warehouse, pipeline, rows, stage):
    manifest = stage("arrivals", rows("arrivals", DAY), DAY)
    assert manifest.files[DAY].startswith(f"s3://{warehouse}/")
    verdict = gates.run(pipeline, manifest)
    assert (verdict.outcome, verdict.rows) == ("PASS", manifest.rows)


_ELSEWHERE = """
import sys
from sluice.declare import spec
from sluice.gates import engine, suites

with engine.opened({"2013-04-05": sys.argv[1]}) as staged:
    found = staged.evaluate(suites.load(spec.load("flights"), "arrivals").rules, show_rows=True)
    print([one.result.failing_rows for one in found])
"""


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_evaluate_instants_are_in_utc_wherever_the_gate_runs(tmp_path, suite, expect, zone):
    """Asked together with others, and alone: both go by UTC, and never by the time zone of the machine."""
    path, script = tmp_path / "instants.parquet", tmp_path / "evaluate.py"
    seen = pa.array([datetime(2013, 4, 5, 22, tzinfo=UTC)] * 3, pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({"ds": [date(2013, 4, 5)] * 3, "seen": seen}), path)
    query = "select * from {batch} where hour(seen) = 22 and cast(seen as date) = ds"
    suite(
        "arrivals",
        expect("unexpected_rows_expectation", "together", unexpected_rows_query=query),
        expect("unexpected_rows_expectation", "alone", unexpected_rows_query=f"{query} order by seen"),
    )
    script.write_text(_ELSEWHERE)
    done = subprocess.run(
        [sys.executable, str(script), str(path)],
        env={**os.environ, "TZ": zone},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[3, 3]\n"


_ON_A_FULL_DISK = """
import resource, signal, sys
from sluice.declare import spec
from sluice.gates import engine, suites
from sluice.lake import storage

engine.MEMORY = "60MB"
rules = suites.load(spec.load("flights"), "arrivals").rules
with engine.opened({"2013-04-05": sys.argv[1]}) as staged:
    # Without the signal a file that would grow beyond it is an error (setrlimit(2)).
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, resource.RLIM_INFINITY))
    try:
        print([(one.result.broken, one.result.observed) for one in staged.evaluate(rules, show_rows=True)])
    except Exception as error:
        print("full" if storage.is_full(error) else repr(error))
"""


@pytest.mark.long
def test_evaluate_on_a_full_disk_is_no_broken_rule(tmp_path, suite, expect):
    """What does not fit into memory lies on disk: where that is full nothing was judged."""
    path, script = tmp_path / "many.parquet", tmp_path / "evaluate.py"
    keys = pc.binary_join_element_wise("a rather long key", pa.array(map(str, range(3_000_000))), " ")
    pq.write_table(pa.table({"ds": pa.repeat(date(2013, 4, 5), len(keys)), "name": keys}), path)
    query = "select * from {batch} qualify row_number() over (partition by name order by name) > 1"
    suite("arrivals", expect("unexpected_rows_expectation", unexpected_rows_query=query))
    script.write_text(_ON_A_FULL_DISK)
    command = [sys.executable, str(script), str(path)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "full\n"
