"""Every way to break the gate itself: what it cannot judge is an ERROR, and never a pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluice import gates
from sluice.core.settings import settings

DAY = "2013-04-05"
NOT_NULL = "expect_column_values_to_not_be_null"
QUERY = "unexpected_rows_expectation"


def test_run_no_rows_is_error(pipeline, rows, stage):
    verdict = gates.run(pipeline, stage("arrivals", rows("arrivals", DAY).slice(0, 0), DAY))
    assert (verdict.outcome, verdict.reasons) == ("ERROR", ("The batch has no rows.",))
    assert (settings().home / "reports" / verdict.report).is_file()


def test_run_partition_without_rows_is_error(pipeline, rows, stage):
    verdict = gates.run(pipeline, stage("arrivals", rows("arrivals", DAY), DAY, "2013-04-06"))
    assert verdict.outcome == "ERROR"
    assert "No rows for 2013-04-06." in verdict.reasons


def test_run_missing_suite_is_error(suite, audit):
    verdict = audit("arrivals", DAY)
    assert verdict.outcome == "ERROR"
    assert "has no suite" in verdict.reasons[0]


def test_run_suite_without_rules_is_error(suite, audit):
    suite("arrivals")
    verdict = audit("arrivals", DAY)
    assert verdict.outcome == "ERROR"
    assert "it has no expectations" in verdict.reasons[0]


@pytest.mark.parametrize("pii", ["none", "pseudonymised"])
def test_run_that_raises_quotes_values_only_where_nobody_is_meant(pipeline, rows, stage, monkeypatch, pii):
    """The message is a real one of DuckDB; that it gets past the single rules is what is made up."""
    import duckdb

    from sluice.gates import engine

    def convert(*_, **__):
        duckdb.execute("select 'Jane Doe'::integer")

    monkeypatch.setattr(engine.StagedRows, "evaluate", convert)
    source = pipeline.sources["arrivals"].model_copy(update={"pii": pii})
    declared = pipeline.model_copy(update={"sources": {**pipeline.sources, "arrivals": source}})
    verdict = gates.run(declared, stage("arrivals", rows("arrivals", DAY), DAY))
    assert verdict.outcome == "ERROR"
    assert "ConversionException" in verdict.reasons[0]
    assert ("Jane" in verdict.model_dump_json()) is (pii == "none")
    kept = list((settings().work / "errors").glob("*.txt"))
    assert [
        ("Jane" in file.read_text(), file.stat().st_mode & 0o777, str(file) in verdict.reasons[0])
        for file in kept
    ] == ([] if pii == "none" else [(True, 0o600, True)])


@pytest.mark.parametrize("severity", ["hold", "warn"])
def test_run_rule_that_raises_is_error_and_alone_broken(suite, audit, expect, severity):
    broken = expect(
        "expect_column_mean_to_be_between", "mean_of_a_name", column="carrier", severity=severity, max_value=1
    )
    suite(
        "arrivals",
        expect(NOT_NULL, "carrier_known", column="carrier"),
        broken,
        expect("expect_column_max_to_be_between", "longest", column="air_time", max_value=900),
        expect(QUERY, "none_cancelled", unexpected_rows_query="select * from {batch} where dep_time is null"),
    )
    verdict = audit("arrivals", DAY)
    assert verdict.outcome == "ERROR"
    assert {rule.rule: (rule.passed, rule.broken) for rule in verdict.rules} == {
        "carrier_known": (True, False),
        "mean_of_a_name": (False, True),
        "longest": (True, False),
        "none_cancelled": (False, False),
    }
    assert verdict.reasons[0].startswith("Rule mean_of_a_name could not be evaluated: ")
    assert not verdict.reasons[0].endswith(("!.", "..")), (
        "one sentence, whatever the library's message ends with"
    )


@pytest.mark.parametrize(
    "query",
    [
        "select * from {batch} where no_such_column > 1",
        "select * from {batch} where cast(carrier as int) > 1",
        "select * from {batch} where error('broken')",
        "selec * from {batch}",
    ],
)
def test_run_query_that_raises_is_error(suite, audit, expect, query):
    suite(
        "arrivals",
        expect(NOT_NULL, "carrier_known", column="carrier"),
        expect(QUERY, unexpected_rows_query=query),
    )
    verdict = audit("arrivals", DAY)
    assert verdict.outcome == "ERROR"
    assert [rule.broken for rule in verdict.rules] == [False, True]


def test_run_value_of_no_rows_is_error(suite, audit, expect):
    suite("arrivals", expect("expect_column_max_to_be_between", "latest", column="dep_time", max_value=2400))
    verdict = audit("arrivals", DAY, change="* replace (cast(null as bigint) as dep_time)")
    assert verdict.outcome == "ERROR"
    assert "it gave no value" in verdict.reasons[0]


def test_run_condition_that_leaves_no_rows_is_error(suite, audit, expect):
    condition = {"row_condition": 'col("origin") == "BOS"', "condition_parser": "great_expectations"}
    suite("arrivals", expect(NOT_NULL, column="dep_time", **condition))
    verdict = audit("arrivals", DAY)
    assert verdict.outcome == "ERROR"
    assert "it had no rows to check" in verdict.reasons[0]


def test_run_column_that_is_not_there_is_error(pipeline, rows, stage):
    verdict = gates.run(pipeline, stage("arrivals", rows("arrivals", DAY).drop_columns(["air_time"]), DAY))
    assert verdict.outcome == "ERROR"


def test_run_truncated_file_is_error(pipeline, rows, stage):
    manifest = stage("arrivals", rows("arrivals", DAY), DAY)
    path = Path(manifest.files[DAY])
    path.write_bytes(path.read_bytes()[:-100])
    verdict = gates.run(pipeline, manifest)
    assert verdict.outcome == "ERROR"
    assert "The gate broke with InvalidInputException" in verdict.reasons[0]


def test_run_missing_file_is_error(pipeline, rows, stage):
    manifest = stage("arrivals", rows("arrivals", DAY), DAY)
    Path(manifest.files[DAY]).unlink()
    assert gates.run(pipeline, manifest).outcome == "ERROR"


def test_run_other_rows_than_the_manifests_is_error(pipeline, rows, stage):
    manifest = stage("arrivals", rows("arrivals", DAY), DAY)
    other = stage("arrivals", rows("arrivals", DAY).slice(1), DAY)
    Path(manifest.files[DAY]).write_bytes(Path(other.files[DAY]).read_bytes())
    verdict = gates.run(pipeline, manifest)
    assert verdict.outcome == "ERROR"
    assert verdict.reasons[0] == "The staged files do not hold the rows that the manifest says."


def test_run_evidence_that_cannot_be_written_is_error(pipeline, rows, stage):
    manifest = stage("arrivals", rows("arrivals", DAY), DAY)
    (settings().home / "reports").write_text("a file where the folder should be")
    verdict = gates.run(pipeline, manifest)
    assert verdict.outcome == "ERROR"
    assert verdict.reasons[0].startswith("The evidence could not be written: ")


@pytest.mark.parametrize("point", ["audit.profile_written", "audit.page_written"])
def test_run_whose_answer_is_lost_judges_nothing(pipeline, rows, stage, monkeypatch, point):
    """It may pass: the task is tried again, and nothing is held for it."""
    manifest = stage("arrivals", rows("arrivals", DAY), DAY)
    monkeypatch.setenv("SLUICE_FAILPOINT", f"{point}=lost")
    settings.cache_clear()
    with pytest.raises(ConnectionError, match=point):
        gates.run(pipeline, manifest)
