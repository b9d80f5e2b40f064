"""Rows that Great Expectations leaves out, because a value is missing, are counted, and do not pass by accident."""

from __future__ import annotations

import random
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.core.errors import SpecInvalidError
from sluice.core.settings import settings
from sluice.gates import engine, suites
from sluice.lake import batches

DAY = "2013-04-05"
NOT_LESS = "expect_column_pair_values_a_to_be_greater_than_b"
# Where one of these is not above the other, or cannot be compared with it.
GAPS = "* replace (if(flight % 10 = 0, null, 5) as dep_delay, if(flight % 15 = 0, null, 5) as arr_delay)"


@pytest.fixture
def judge(tmp_path, suite, expect, pipeline):
    """Function: what one rule says of rows with columns a, b and c."""

    def run(rows: list[tuple], type: str, *, meta: dict | None = None, **kwargs):
        rule = expect(type, **kwargs)
        suite("arrivals", {**rule, "meta": {**rule["meta"], **(meta or {})}})
        columns = dict(zip("abc", zip(*rows, strict=True), strict=True))
        table = pa.table({name: pa.array(values, pa.int64()) for name, values in columns.items()})
        table = table.append_column("ds", pa.array([date(2013, 4, 5)] * len(rows), pa.date32()))
        pq.write_table(table, tmp_path / "rows.parquet")
        with engine.opened({DAY: str(tmp_path / "rows.parquet")}) as staged:
            (found,) = staged.evaluate(suites.load(pipeline, "arrivals").rules, show_rows=True)
        return found

    return run


# Each is kept by all rows that have all values.
COMPARE = {
    "expect_column_pair_values_a_to_be_greater_than_b": {"column_A": "a", "column_B": "b", "or_equal": True},
    "expect_column_pair_values_to_be_in_set": {"column_A": "a", "column_B": "b", "value_pairs_set": [[1, 1]]},
    "expect_multicolumn_sum_to_equal": {"column_list": ["a", "b", "c"], "sum_total": 3},
}


@pytest.mark.parametrize("type", COMPARE)
def test_row_that_lacks_a_value_of_several_columns_fails(judge, type):
    rows = [(1, 1, 1), (1, 1, 1), (None, 1, 1), (1, None, 1)]
    found = judge(rows, type, **COMPARE[type])
    assert (found.result.passed, found.result.failing_rows, found.result.unjudged_rows) == (False, 2, 2)
    assert "2 of 4 rows fail" in found.result.observed
    assert "2 of them not judged (no value)" in found.result.observed
    assert len(found.rows) == 2


def test_repeated_key_of_which_a_part_is_missing_is_not_unjudged_and_silent(judge):
    rows = [(1, 1, 1), (2, 1, 1), (None, 1, 1), (None, 1, 2), (None, None, 3)]
    found = judge(rows, "expect_compound_columns_to_be_unique", column_list=["a", "b"])
    assert (found.result.passed, found.result.failing_rows, found.result.unjudged_rows) == (False, 3, 3)


@pytest.mark.parametrize("type", COMPARE)
def test_row_that_lacks_a_value_passes_where_the_rule_says_so_and_is_still_counted(judge, type):
    rows = [(1, 1, 1), (1, 1, 1), (None, 1, 1), (1, None, 1)]
    found = judge(rows, type, meta={"unjudged": "pass"}, **COMPARE[type])
    assert (found.result.passed, found.result.failing_rows, found.result.unjudged_rows) == (True, 0, 2)
    assert found.result.observed == "0 of 4 rows fail; 2 not judged (no value)"


@pytest.mark.parametrize("type", COMPARE)
def test_rows_that_have_all_values_pass_without_a_word(judge, type):
    found = judge([(1, 1, 1)] * 3, type, **COMPARE[type])
    assert (found.result.passed, found.result.unjudged_rows) == (True, 0)
    assert found.result.observed == "0 of 3 rows fail"


def test_one_value_missing_that_the_type_judges_is_counted_once(judge):
    """Of two columns that have to be equal one null is a difference, two nulls are nothing to compare."""
    rows = [(1, 1, 1), (1, None, 1), (None, 1, 1), (None, None, 1), (1, 2, 1)]
    found = judge(rows, "expect_column_pair_values_to_be_equal", column_A="a", column_B="b")
    assert (found.result.failing_rows, found.result.unjudged_rows) == (4, 1)


def test_null_of_one_column_passes_and_is_counted(judge):
    rows = [(1, 1, 1), (None, 1, 1), (None, 1, 1)]
    found = judge(rows, "expect_column_values_to_be_between", column="a", min_value=1, max_value=9)
    assert (found.result.passed, found.result.failing_rows, found.result.unjudged_rows) == (True, 0, 2)
    strict = judge(
        rows, "expect_column_values_to_be_between", meta={"unjudged": "fail"}, column="a", max_value=9
    )
    assert (strict.result.passed, strict.result.failing_rows) == (False, 2)


def test_column_without_any_value_has_shown_nothing(judge):
    rows = [(None, 1, 1)] * 3
    found = judge(rows, "expect_column_values_to_be_between", column="a", max_value=9)
    assert (found.result.passed, found.result.broken, found.result.failing_rows) == (False, False, 3)
    told = judge(
        rows, "expect_column_values_to_be_between", meta={"unjudged": "pass"}, column="a", max_value=9
    )
    assert told.result.passed


def test_rows_that_a_condition_leaves_out_are_none_of_the_rule(judge):
    rows = [(1, 1, 1), (None, 1, 1), (None, 1, 2)]
    given = {"row_condition": 'col("c") == 1', "condition_parser": "great_expectations"}
    found = judge(rows, NOT_LESS, column_A="a", column_B="b", or_equal=True, **given)
    assert (found.result.failing_rows, found.result.unjudged_rows) == (1, 1)


def test_mostly_counts_rows_that_were_not_judged(judge):
    rows = [(1, 1, 1)] * 8 + [(None, 1, 1), (0, 1, 1)]
    given = {"column_A": "a", "column_B": "b", "or_equal": True}
    assert judge(rows, NOT_LESS, mostly=0.8, **given).result.passed
    assert not judge(rows, NOT_LESS, mostly=0.9, **given).result.passed


def test_condition_says_for_how_many_rows_it_is_unknown(judge):
    rows = [(1, 2, 1), (None, 1, 1), (3, 1, 1)]
    found = judge(rows, "expect_rows_to_satisfy_condition", condition="a <= b")
    assert (found.result.failing_rows, found.result.unjudged_rows) == (1, 1)
    query = "select * from {batch} where a > b"
    found = judge(rows, "unexpected_rows_expectation", unexpected_rows_query=query)
    assert (found.result.failing_rows, found.result.unjudged_rows) == (1, None)


def test_random_rows_are_failing_judged_or_unjudged(judge):
    """By hand: a pair fails where a < b, and is not judged where either is missing."""
    rng = random.Random(19)
    for _ in range(6):
        rows = [(rng.choice((None, 0, 1)), rng.choice((None, 0, 1)), 1) for _ in range(rng.randint(2, 40))]
        failing = sum(a is not None and b is not None and a < b for a, b, _ in rows)
        missing = sum(a is None or b is None for a, b, _ in rows)
        found = judge(rows, NOT_LESS, column_A="a", column_B="b", or_equal=True).result
        assert (found.failing_rows, found.unjudged_rows) == (failing + missing, missing), rows


def test_run_holds_what_was_not_judged_and_says_so_on_the_page_and_in_the_reasons(suite, audit, expect):
    suite("arrivals", expect(NOT_LESS, column_A="dep_delay", column_B="arr_delay", or_equal=True))
    verdict = audit("arrivals", DAY, change=GAPS)
    (rule,) = verdict.rules
    assert (verdict.outcome, rule.failing_rows) == ("HOLD", rule.unjudged_rows)
    assert "not judged (no value)" in verdict.reasons[0]
    assert "not judged (no value)" in (settings().home / "reports" / verdict.report).read_text()


def test_run_sets_aside_what_was_not_judged(suite, audit, expect):
    rule = expect(NOT_LESS, severity="quarantine", column_A="dep_delay", column_B="arr_delay", or_equal=True)
    suite("arrivals", {**rule, "meta": {**rule["meta"], "limit": 0.5}})
    change = GAPS.replace("null, 5) as arr_delay", "null, if(flight % 7 = 0, 6, 5)) as arr_delay")
    verdict = audit("arrivals", DAY, change=change)
    (found,) = verdict.rules
    assert 0 < found.unjudged_rows < found.failing_rows
    assert (verdict.outcome, verdict.quarantined) == ("WARN", {"some_rule": found.failing_rows})
    made = batches.load("flights", "arrivals", verdict.publish_batch_id)
    assert made.rows == verdict.rows - found.failing_rows


def test_load_unjudged_is_refused_where_it_means_nothing(pipeline, suite, expect):
    def said(type, rule, *, severity="hold", **given):
        made = expect(type, rule, severity=severity, **given)
        limit = {"limit": 0.1} if severity == "quarantine" else {}
        return {**made, "meta": {**made["meta"], **limit}}

    query = said(
        "unexpected_rows_expectation", "query", unexpected_rows_query="select * from {batch} where flight < 0"
    )
    query["meta"]["unjudged"] = "fail"
    odd = said("expect_column_values_to_not_be_null", "odd", column="carrier")
    odd["meta"]["unjudged"] = "perhaps"
    part = {"row_condition": 'col("flight") == 1', "condition_parser": "great_expectations"}
    aside = said(NOT_LESS, "aside", severity="quarantine", column_A="flight", column_B="dep_delay", **part)
    suite("arrivals", query, odd, aside)
    with pytest.raises(SpecInvalidError) as caught:
        suites.load(pipeline, "arrivals")
    for problem in (
        "rule query: `unjudged` is for expectations that look at each row",
        "expectation 2: meta.unjudged: Input should be 'fail' or 'pass'",
        "rule aside: with a row_condition it cannot tell which rows it did not judge",
    ):
        assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("type", "columns", "meta"),
    [
        (NOT_LESS, {"column_A": "flight", "column_B": "dep_delay"}, {"unjudged": "pass"}),
        ("expect_column_values_to_not_be_null", {"column": "carrier"}, {}),
    ],
    ids=["rows that pass", "one column"],
)
def test_load_rule_with_a_condition_that_sets_no_unjudged_row_aside_is_read(
    pipeline, suite, expect, type, columns, meta
):
    part = {"row_condition": 'col("flight") == 1', "condition_parser": "great_expectations"}
    rule = expect(type, "aside", severity="quarantine", **columns, **part)
    suite("arrivals", {**rule, "meta": {**rule["meta"], "limit": 0.1, **meta}})
    (read,) = suites.load(pipeline, "arrivals").rules
    assert (read.meta.rule, read.meta.severity) == ("aside", "quarantine")
