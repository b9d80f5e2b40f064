from __future__ import annotations

import pytest

from sluice.core.errors import SpecInvalidError
from sluice.gates import suites

NOT_NULL = "expect_column_values_to_not_be_null"
QUERY = "unexpected_rows_expectation"
ROWS = "expect_rows_to_satisfy_condition"
GROUPS = "expect_groups_to_satisfy_condition"


def test_check_suites_of_the_repository_are_valid(pipeline):
    suites.check(pipeline)
    assert {table: len(suites.load(pipeline, table).rules) > 2 for table in pipeline.tables} == dict.fromkeys(
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
        "expectation 5: rule mistyped: expect_column_values_to_not_be_null has no argument 'colum' (allowed: column,"
        " condition_parser, mostly, row_condition); did you mean 'column'?",
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
        aside(GROUPS, "shares", aggregates={"flights": "count(*)"}, condition="flights > 1"),
        aside(NOT_NULL, "mostly", column="carrier", mostly=0.9),
        aside(ROWS, "most_of_a_day", condition="flight > 0", mostly=0.9),
        aside("expect_compound_columns_to_be_unique", "fine", column_list=["carrier", "flight"]),
        aside(ROWS, "fine_too", condition="flight >= 0"),
        aside("expect_key_to_be_unique", "fine_key", key=["carrier", "flight"]),
        aside("expect_column_values_to_be_declared", "fine_values", column="carrier"),
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
        "rule shares: it cannot set rows aside, because expect_groups_to_satisfy_condition is not about single rows",
        "rule most_of_a_day: it cannot set rows aside, because `mostly` lets rows fail unseen",
        "rule mostly: it cannot set rows aside, because `mostly` lets rows fail unseen",
    ):
        assert problem in said
    assert "fine" not in said


def test_check_queries_that_do_not_return_whole_rows_cannot_set_rows_aside(pipeline, suite, expect):
    for table in pipeline.tables:
        suite(table, expect(NOT_NULL, column="ds"))
    queries = {
        "shares": "select ds, count(*) from {batch} group by ds",
        "part": "select * exclude (tailnum) from {batch}",
        "whole": "select *, 1 as n from {batch} where flight < 0",
    }
    rules = [
        expect(QUERY, name, severity="quarantine", unexpected_rows_query=sql) for name, sql in queries.items()
    ]
    suite("arrivals", *({**rule, "meta": {**rule["meta"], "limit": 0.01}} for rule in rules))
    with pytest.raises(SpecInvalidError) as error:
        suites.check(pipeline)
    said = str(error.value)
    assert (
        "rule shares: it cannot set rows aside, because its query does not return whole rows: 'flight_date'"
        in said
    )
    assert (
        "rule part: it cannot set rows aside, because its query does not return whole rows: 'tailnum'" in said
    )
    assert "rule whole" not in said


def test_load_values_of_a_rule_come_from_the_contract(pipeline, suite, expect):
    declared = {"column": "origin", "value": "upper(trim(origin))"}
    suite("arrivals", expect("expect_column_values_to_be_declared", **declared))
    (rule,) = suites.load(pipeline, "arrivals").rules
    assert rule.expectation.value_set == ["EWR", "JFK", "LGA"]
    assert rule.columns == ("origin",)


@pytest.mark.parametrize(("table", "column"), [("weather", "origin"), ("features", "schedule.origin")])
def test_load_value_set_of_any_rule_may_be_that_of_a_contract(pipeline, suite, expect, table, column):
    named = {"column": "origin", "values_of": column}
    suite(table, expect("expect_column_values_to_be_in_set", **named))
    (rule,) = suites.load(pipeline, table).rules
    assert rule.expectation.value_set == ["EWR", "JFK", "LGA"]
    suite(table, expect("expect_column_values_to_be_in_set", **named, value_set=["EWR"]))
    with pytest.raises(SpecInvalidError, match="give either `value_set` or `values_of`"):
        suites.load(pipeline, table)


@pytest.mark.parametrize(
    ("table", "column", "extra", "problem"),
    [
        (
            "arrivals",
            "dest",
            {},
            "no contract declares values of column 'dest' (declared: schedule.carrier, schedule.origin, arrivals.carrier, carrier, "
            "arrivals.origin, origin, weather.origin, ",
        ),
        (
            "features",
            "origin",
            {},
            "no contract declares values of column 'origin' (declared: schedule.carrier, schedule.origin, ",
        ),
        (
            "arrivals",
            "origin",
            {"value_set": ["EWR"]},
            "has no argument 'value_set' (allowed: column, mostly, value)",
        ),
    ],
)
def test_load_declared_values_that_are_not_declared_are_refused(
    pipeline, suite, expect, table, column, extra, problem
):
    suite(table, expect("expect_column_values_to_be_declared", column=column, **extra))
    with pytest.raises(SpecInvalidError) as error:
        suites.load(pipeline, table)
    assert problem in str(error.value)


def test_shipped_suites_have_a_line_for_each_part_of_a_rule(pipeline):
    """Type, arguments and meta each begin a line, so that a suite reads as a table and a change shows as one."""
    for table in pipeline.tables:
        lines = suites.path_of(pipeline, table).read_text().splitlines()
        rules = suites.load(pipeline, table).rules
        for start in ('      "type": "', '      "kwargs": {', '      "meta": {"rule": "'):
            assert sum(line.startswith(start) for line in lines) == len(rules), (table, start)
        assert len(lines) < 12 * len(rules), table


def test_shipped_suites_repeat_no_values_that_a_contract_declares(pipeline):
    declared = [
        (name, column)
        for name, source in pipeline.sources.items()
        for column, about in source.contract.columns.items()
        if about.values
    ]
    assert ("planes", "type") in declared
    for name, column in declared:
        kinds = {
            one.kind for one in suites.load(pipeline, name).rules if one.arguments.get("column") == column
        }
        assert "expect_column_values_to_be_in_set" not in kinds, f"{name}.{column}: use the contract's values"


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
    suite("outcomes", expect(ROWS, "no_such_outcome", condition="is_latte"))
    with pytest.raises(SpecInvalidError) as error:
        suites.check(pipeline)
    for problem in (
        "arrivals.json, rule typo: arrivals has no column 'carier'",
        "weather.json, rule pair: weather has no column 'hour'",
        "weather.json, rule bad_sql: Binder Error",
        "features.json, rule no_such_feature: features has no column 'carrier_mood'",
        "predictions.json, rule no_such_score: Binder Error",
        "outcomes.json, rule no_such_outcome: Binder Error",
    ):
        assert problem in str(error.value)


NULLS, MAGNITUDES = "expect_column_null_shares_to_fit_history", "expect_column_magnitudes_to_fit_history"
SPAN = {"days": 28, "min_days": 21}


def test_rule_about_all_columns_but_some_has_those_of_its_kind(pipeline, suite, expect):
    but = [{"columns": ["distance"], "why": "It is judged by another rule."}]
    suite(
        "schedule",
        expect(NULLS, "nulls", **SPAN, width=1, slack=0.1, all_columns_but=[]),
        expect(MAGNITUDES, "magnitudes", **SPAN, limit=3, all_columns_but=but),
        expect(
            "expect_column_values_not_to_spike", "by", **SPAN, limit=0.1, by="carrier", all_columns_but=but
        ),
    )
    nulls, magnitudes, by = suites.load(pipeline, "schedule").rules
    declared = pipeline.sources["schedule"].contract.sql_types
    # What the platform adds differs each day.
    assert set(nulls.columns) == set(declared) - {"ds", "delivery_id"}
    assert set(by.arguments["column_list"]) == set(nulls.columns) - {"distance", "carrier"}
    assert {declared[name] for name in magnitudes.columns} == {"BIGINT"}
    assert set(magnitudes.columns) == {
        name for name, kind in declared.items() if kind == "BIGINT" and name != "distance"
    }


def test_rule_about_all_columns_of_predictions_leaves_out_their_key_and_what_the_platform_adds(
    pipeline, suite, expect
):
    suite("predictions", expect(NULLS, "nulls", **SPAN, width=1, slack=0.1, all_columns_but=[]))
    (rule,) = suites.load(pipeline, "predictions").rules
    assert "score" in rule.columns
    assert not {"ds", "flight_id", "made_late", "has_waived_input", "missing_history_days"} & set(
        rule.columns
    )


@pytest.mark.parametrize(
    ("kind", "arguments", "problem"),
    [
        (NULLS, {"all_columns_but": [{"columns": ["distnce"], "why": "w"}]}, r"rule r: all_columns_but: there is no column 'distnce' \(it has "),
        (NULLS, {"all_columns_but": [{"columns": ["distance"]}]}, r"rule r: all_columns_but\.0\.why: Field required"),
        (NULLS, {"all_columns_but": [{"columns": [], "why": "w"}]}, r"rule r: all_columns_but\.0\.columns: "),
        (NULLS, {"all_columns_but": [], "column_list": ["distance"]}, "give either `column_list` or `all_columns_but`"),
        ("expect_rows_to_differ_from_earlier_days", {"all_columns_but": [], "limit": 0.5}, "has no argument 'all_columns_but'"),
    ],
)  # fmt: skip
def test_columns_to_leave_out_that_cannot_be_are_refused(pipeline, suite, expect, kind, arguments, problem):
    given = {"width": 1, "slack": 0.1} if kind == NULLS else {}
    suite("schedule", expect(kind, "r", **SPAN, **given, **arguments))
    with pytest.raises(SpecInvalidError, match=problem):
        suites.load(pipeline, "schedule")


def test_rule_that_leaves_out_all_columns_is_refused(pipeline, suite, expect):
    but = [{"columns": list(suites.columns_of(pipeline, "schedule")), "why": "w"}]
    suite("schedule", expect(NULLS, "r", **SPAN, width=1, slack=0.1, all_columns_but=but))
    with pytest.raises(SpecInvalidError, match="rule r: all_columns_but: no column is left"):
        suites.load(pipeline, "schedule")
