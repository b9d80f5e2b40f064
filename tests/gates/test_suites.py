from __future__ import annotations

import pytest

from sluice.core.errors import SpecInvalidError
from sluice.gates import suites

NOT_NULL = "expect_column_values_to_not_be_null"
QUERY = "unexpected_rows_expectation"


def test_check_suites_of_the_repository_are_valid(pipeline):
    suites.check(pipeline)
    assert {table: len(suites.load(pipeline, table).rules) > 4 for table in pipeline.tables} == dict.fromkeys(
        pipeline.tables, True
    )


def test_load_missing_suite_names_the_file_to_write(pipeline, suite):
    with pytest.raises(SpecInvalidError, match=r"flights\.arrivals has no suite.*arrivals\.json"):
        suites.load(pipeline, "arrivals")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"expectations": 3}'])
def test_load_not_a_suite_is_refused(pipeline, suite, text):
    suite("arrivals").write_text(text)
    with pytest.raises(SpecInvalidError, match="not a Great Expectations suite"):
        suites.load(pipeline, "arrivals")


def test_load_no_expectations_is_refused(pipeline, suite):
    suite("arrivals")
    with pytest.raises(SpecInvalidError, match="no expectations"):
        suites.load(pipeline, "arrivals")


def test_load_everything_wrong_is_listed_at_once(pipeline, suite, expect):
    suite(
        "arrivals",
        expect(NOT_NULL, "twice", column="carrier"),
        expect(NOT_NULL, "twice", column="origin"),
        expect(NOT_NULL, "no_such_severity", severity="critical", column="carrier"),
        expect("expect_the_unexpected", "no_such_type"),
        expect(NOT_NULL, "mistyped", colum="carrier"),
        expect(NOT_NULL, "unreachable", column="carrier", mostly=2),
        expect(QUERY, "reads_nothing", unexpected_rows_query="select 1 where false"),
        {"type": NOT_NULL, "kwargs": {"column": "carrier"}},
        "text",
    )
    with pytest.raises(SpecInvalidError) as error:
        suites.load(pipeline, "arrivals")
    for problem in (
        "rule name 'twice' is used twice",
        "expectation 3: meta.severity: Input should be 'hold', 'quarantine' or 'warn'",
        "expectation 4: expect_the_unexpected not found",
        "expectation 5: column: field required; colum: extra fields not permitted",
        "expectation 6: mostly: ensure this value is less than or equal to 1.0",
        "expectation 7: rule reads_nothing: the query does not read {batch}",
        "expectation 8: meta: Field required",
        "expectation 9: Input should be a valid dictionary",
    ):
        assert problem in str(error.value)


def test_load_rules_that_cannot_set_rows_aside_are_refused(pipeline, suite, expect):
    def aside(type: str, rule: str, limit: float | None = 0.01, **kwargs) -> dict:
        one = expect(type, rule, severity="quarantine", **kwargs)
        return {**one, "meta": {**one["meta"], "limit": limit}}

    no_limit = aside(NOT_NULL, "no_limit", None, column="carrier")
    held = expect(NOT_NULL, "held", column="carrier")
    suite(
        "arrivals",
        no_limit,
        {**held, "meta": {**held["meta"], "limit": 0.1}},
        aside(NOT_NULL, "all_of_it", 1, column="carrier"),
        aside("expect_column_mean_to_be_between", "mean", column="air_time", max_value=1),
        aside("expect_table_row_count_to_be_between", "count", max_value=1),
        aside(QUERY, "shares", unexpected_rows_query="select ds, count(*) from {batch} group by ds"),
        aside(QUERY, "part", unexpected_rows_query="select * exclude (tailnum) from {batch}"),
        aside(NOT_NULL, "mostly", column="carrier", mostly=0.9),
        aside("expect_compound_columns_to_be_unique", "fine", column_list=["carrier", "flight"]),
        aside(QUERY, "fine_too", unexpected_rows_query="select *, 1 as n from {batch} where flight < 0"),
    )
    with pytest.raises(SpecInvalidError) as error:
        suites.load(pipeline, "arrivals")
    said = str(error.value)
    for problem in (
        "expectation 1: meta: a rule of severity 'quarantine' needs a limit",
        "expectation 2: meta: a limit is only for severity 'quarantine', not for 'hold'",
        "expectation 3: meta.limit: Input should be less than 1",
        "rule mean: it cannot set rows aside, because expect_column_mean_to_be_between is not about single rows",
        "rule count: it cannot set rows aside",
        "rule shares: it cannot set rows aside, because its query does not return whole rows: 'flight_date' is missing",
        "rule part: it cannot set rows aside, because its query does not return whole rows: 'tailnum' is missing",
        "rule mostly: it cannot set rows aside, because `mostly` lets rows fail unseen",
    ):
        assert problem in said
    assert "fine" not in said


def test_check_unknown_columns_and_bad_sql_are_listed_for_all_tables(pipeline, suite, expect):
    for table in pipeline.tables:
        suite(table, expect(NOT_NULL, column="ds"))
    suite("arrivals", expect(NOT_NULL, "typo", column="carier"))
    suite(
        "weather",
        expect("expect_compound_columns_to_be_unique", "pair", column_list=["origin", "hour"]),
        expect(QUERY, "bad_sql", unexpected_rows_query="select * from {batch} where origin % 2 = 0"),
    )
    suite("features", expect(NOT_NULL, "no_such_feature", column="carrier_mood"))
    suite("predictions", expect(QUERY, "no_such_score", unexpected_rows_query="select scores from {batch}"))
    with pytest.raises(SpecInvalidError) as error:
        suites.check(pipeline)
    for problem in (
        "arrivals.json, rule typo: arrivals has no column 'carier'",
        "weather.json, rule pair: weather has no column 'hour'",
        "weather.json, rule bad_sql: Binder Error",
        "features.json, rule no_such_feature: features has no column 'carrier_mood'",
        "predictions.json, rule no_such_score: Binder Error",
    ):
        assert problem in str(error.value)
