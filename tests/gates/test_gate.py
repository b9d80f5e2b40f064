"""The gate as a whole, over real rows: what must pass, what must hold, what is set aside."""

from __future__ import annotations

import json

import pytest

from sluice import gates
from sluice.core.settings import settings
from sluice.gates.verdict import SAMPLE_ROWS, FailingRow, Verdict
from sluice.lake import batches

DAY = "2013-04-05"
NOT_NULL = "expect_column_values_to_not_be_null"
QUERY = "unexpected_rows_expectation"
# Days of 2013 that stand out: the blizzard, the most delayed and the earliest days, the fewest and the most flights,
# the least weather, the clocks going forward and back.
HARD_DAYS = ["2013-02-08", "2013-02-09", "2013-03-08", "2013-03-10", "2013-07-10", "2013-09-07", "2013-11-03"]
HARD_DAYS += ["2013-11-27", "2013-11-28", "2013-12-30"]

IN_SECONDS = "* replace (dep_delay * 60 as dep_delay, arr_delay * 60 as arr_delay, air_time * 60 as air_time)"
CORRUPT = {
    "minutes_as_seconds": ("arrivals", IN_SECONDS, "", "departure_delay_in_minutes"),
    "only_air_time_in_seconds": (
        "arrivals",
        "* replace (air_time * 60 as air_time)",
        "",
        "air_time_in_minutes",
    ),
    "columns_shifted": (
        "arrivals",
        "* replace (dep_delay as dep_time, arr_time as dep_delay, arr_delay as arr_time, air_time as arr_delay)",
        "",
        "clock_is_hhmm",
    ),
    "column_slipped_by_a_row": (
        "arrivals",
        "* replace (lag(arr_delay) over (order by flight, origin) as arr_delay)",
        "",
        "delays_agree",
    ),
    "yesterdays_file": (
        "arrivals",
        "* replace (flight_date - 1 as flight_date)",
        "",
        "day_is_the_partition",
    ),
    "half_the_rows": ("arrivals", "*", "where flight % 2 = 0", "flights_a_day"),
    "an_origin_missing": ("arrivals", "*", "where origin <> 'LGA'", "every_origin_reports"),
    "two_in_a_hundred_rows_twice": (
        "arrivals",
        "*",
        "union all (from landed limit 20)",
        "one_row_a_flight",
    ),
    "null_burst": ("arrivals", "* replace (cast(null as bigint) as arr_delay)", "", "arrivals_known"),
    "all_cancelled": (
        "arrivals",
        "* replace (cast(null as bigint) as dep_time, cast(null as bigint) as dep_delay, cast(null as bigint) as arr_time,"
        " cast(null as bigint) as arr_delay, cast(null as bigint) as air_time)",
        "",
        "departures_known",
    ),
    "unknown_carrier": ("arrivals", "* replace ('ZZ' as carrier)", "", "known_carrier"),
    "unknown_origin": ("schedule", "* replace ('BOS' as origin)", "", "known_origin"),
    "clock_out_of_range": (
        "schedule",
        "* replace (sched_dep_time + 60 as sched_dep_time)",
        "",
        "clock_is_hhmm",
    ),
    "times_swapped": (
        "schedule",
        "* replace (sched_arr_time as sched_dep_time, sched_dep_time as sched_arr_time)",
        "",
        "few_night_departures",
    ),
    "kilometres": (
        "schedule",
        "* replace (cast(distance * 1.609 as bigint) as distance)",
        "",
        "distance_in_miles",
    ),
    "morning_only": ("schedule", "*", "where sched_dep_time < 1400", "whole_day_planned"),
    "hours_missing": ("weather", "*", "where hour(observed_at) % 2 = 0", "hours_a_day"),
    "another_days_weather": (
        "weather",
        "* replace (observed_at - interval 1 day as observed_at)",
        "",
        "observed_on_the_day",
    ),
    "pascal": ("weather", "* replace (pressure * 100 as pressure)", "", "readings_possible"),
    "wind_not_measured": (
        "weather",
        "* replace (cast(null as double) as wind_speed)",
        "",
        "readings_present",
    ),
}


@pytest.mark.parametrize("table", ["arrivals", "schedule", "weather"])
def test_run_clean_day_passes(audit, table):
    verdict = audit(table, DAY)
    assert (verdict.outcome, verdict.reasons, verdict.sample) == ("PASS", (), ())
    assert verdict.publishes
    assert all(rule.passed for rule in verdict.rules)


@pytest.mark.slow
@pytest.mark.parametrize("table", ["arrivals", "schedule", "weather"])
def test_run_hard_days_do_not_hold(audit, table):
    outcomes = {day: audit(table, day).outcome for day in HARD_DAYS}
    warned = {"2013-02-08": "WARN", "2013-02-09": "WARN"} if table == "arrivals" else {}
    assert outcomes == {**dict.fromkeys(HARD_DAYS, "PASS"), **warned}


@pytest.mark.parametrize("name", CORRUPT)
def test_run_corrupt_batch_holds_by_the_rule_meant_for_it(audit, name):
    table, change, suffix, rule = CORRUPT[name]
    verdict = audit(table, DAY, change=change, suffix=suffix)
    assert verdict.outcome == "HOLD"
    assert rule in [failed.rule for failed in verdict.failed if failed.holds]


ONE_ROW = "if(row_number() over (order by flight, origin, dest) = 1, {0}, {1})"
SET_ASIDE = {
    "a_row_twice": ("arrivals", "*", "union all (from landed limit 1)", {"one_row_a_flight": 2}),
    "one_unknown_carrier": (
        "arrivals",
        f"* replace ({ONE_ROW.format(repr('ZZ'), 'carrier')} as carrier)",
        "",
        {"known_carrier": 1},
    ),
    "one_clock_of_75_minutes": (
        "schedule",
        f"* replace ({ONE_ROW.format(1275, 'sched_dep_time')} as sched_dep_time)",
        "",
        {"clock_is_hhmm": 1},
    ),
    "a_reading_twice": ("weather", "*", "union all (from landed limit 1)", {"one_row_an_hour": 2}),
}


@pytest.mark.parametrize("name", SET_ASIDE)
def test_run_single_bad_rows_are_set_aside(audit, name):
    table, change, suffix, quarantined = SET_ASIDE[name]
    verdict = audit(table, DAY, change=change, suffix=suffix)
    assert (verdict.outcome, verdict.quarantined) == ("WARN", quarantined)
    made = batches.load("flights", table, verdict.publish_batch_id)
    assert (made.split_of, made.rows) == (verdict.batch_id, verdict.rows - sum(quarantined.values()))


def test_run_a_bad_day_is_not_diluted_by_good_ones(suite, audit, expect):
    """1 of 29 days: below 10% of all rows, and all rows of that day."""
    rule = expect(
        "expect_column_values_to_be_in_set", severity="quarantine", column="origin", value_set=["A"]
    )
    rule["meta"]["limit"] = 0.1
    suite("arrivals", rule)
    days = [f"2013-04-{day:02}" for day in range(1, 30)]
    verdict = audit("arrivals", *days, change=f"* replace (if(ds = '{DAY}', origin, 'A') as origin)")
    (failed,) = verdict.failed
    assert (verdict.outcome, failed.worst_share, verdict.quarantined) == ("HOLD", 1.0, {})
    assert failed.failing_share < 0.1


def test_run_the_worst_of_two_bad_days_decides(suite, audit, expect):
    """A fifth of one day and a fiftieth of another: together they would be below the limit."""
    rule = expect(
        "expect_column_values_to_not_be_in_set", severity="quarantine", column="origin", value_set=["A"]
    )
    rule["meta"]["limit"] = 0.15
    suite("arrivals", rule)
    bad = f"(ds = '{DAY}' and flight % 5 = 0) or (ds = '2013-04-06' and flight % 50 = 0)"
    verdict = audit("arrivals", DAY, "2013-04-06", change=f"* replace (if({bad}, 'A', origin) as origin)")
    (failed,) = verdict.failed
    assert failed.failing_share < 0.15 < failed.worst_share
    assert (verdict.outcome, verdict.quarantined) == ("HOLD", {})


def test_run_day_that_would_be_left_empty_holds(suite, audit, expect):
    both = [
        expect(QUERY, f"flights_{n}", severity="quarantine", unexpected_rows_query=query)
        for n, query in enumerate(
            (f"select * from {{batch}} where flight % 2 = {rest}" for rest in (0, 1)), start=1
        )
    ]
    for rule in both:
        rule["meta"]["limit"] = 0.9
    suite("arrivals", *both)
    verdict = audit("arrivals", DAY)
    assert (verdict.outcome, verdict.publish_batch_id) == ("HOLD", verdict.batch_id)
    assert f"No row would be left of {DAY}" in verdict.reasons[0]


def test_run_more_failing_rows_than_gx_fetches_are_all_set_aside(suite, audit, expect):
    rule = expect(
        "expect_column_values_to_not_be_in_set", severity="quarantine", column="origin", value_set=["LGA"]
    )
    rule["meta"]["limit"] = 0.5
    suite("arrivals", rule)
    verdict = audit("arrivals", DAY)
    assert verdict.quarantined["some_rule"] == verdict.failed[0].failing_rows > 200


def test_run_good_rows_that_are_alike_all_stay(suite, audit, expect):
    rule = expect(
        "expect_column_values_to_not_be_in_set", severity="quarantine", column="origin", value_set=["LGA"]
    )
    rule["meta"]["limit"] = 0.5
    suite("arrivals", rule)
    verdict = audit("arrivals", DAY, suffix="union all (from landed where origin = 'EWR' limit 5)")
    made = batches.load("flights", "arrivals", verdict.publish_batch_id)
    assert made.rows == verdict.rows - verdict.quarantined["some_rule"]


def test_run_rows_that_are_not_the_batchs_are_never_set_aside(suite, audit, expect):
    rule = expect(
        QUERY,
        severity="quarantine",
        unexpected_rows_query="select * replace (1 as flight) from {batch} limit 3",
    )
    rule["meta"]["limit"] = 0.5
    suite("arrivals", rule)
    verdict = audit("arrivals", DAY)
    assert verdict.outcome == "ERROR"
    assert "3 of which are no rows of the batch" in verdict.reasons[0]


def test_run_impossible_reading_warns_and_publishes(audit):
    verdict = audit("weather", "2013-02-12")
    assert verdict.outcome == "WARN"
    assert verdict.publishes
    (failing,) = verdict.sample
    assert failing.rules == ("reading_extreme",)
    assert failing.row["wind_speed"] == pytest.approx(1048.36058)
    assert failing.row["observed_at"] == "2013-02-12T08:00:00Z"


def test_run_one_bad_day_in_a_long_batch_holds(audit):
    days = [f"2013-04-{day:02}" for day in range(1, 31)]
    change = f"* replace (if(ds = '{DAY}', air_time * 60, air_time) as air_time)"
    verdict = audit("arrivals", *days, change=change)
    assert verdict.outcome == "HOLD"
    assert {one.row["ds"] for one in verdict.sample} == {DAY}


def test_run_failing_rows_are_few_and_json(audit):
    verdict = audit("arrivals", DAY, change=IN_SECONDS)
    assert 0 < len(verdict.sample) <= SAMPLE_ROWS
    assert {rule for one in verdict.sample for rule in one.rules} == {rule.rule for rule in verdict.failed}
    json.dumps([one.row for one in verdict.sample], allow_nan=False)
    failed = verdict.failed[0]
    assert failed.severity == "hold"
    assert failed.failing_share == pytest.approx(failed.failing_rows / verdict.rows)


def test_run_failing_rows_are_distinct_and_each_has_all_rules_that_it_fails(suite, audit, expect):
    """Three rules that fail on the same flights, and one that fails on another: as many flights as fit, each once."""
    suite(
        "arrivals",
        expect(QUERY, rule="late", unexpected_rows_query="select * from {batch} where arr_delay > 0"),
        expect(QUERY, rule="later", unexpected_rows_query="select * from {batch} where arr_delay > 1"),
        expect("expect_column_values_to_be_between", rule="much_later", column="arr_delay", max_value=20),
        expect(QUERY, rule="early", unexpected_rows_query="select * from {batch} where arr_delay < -40"),
    )
    verdict = audit("arrivals", DAY)

    assert len(verdict.sample) == SAMPLE_ROWS
    assert len({json.dumps(one.row) for one in verdict.sample}) == SAMPLE_ROWS
    limits = {
        "late": lambda d: d > 0,
        "later": lambda d: d > 1,
        "much_later": lambda d: d > 20,
        "early": lambda d: d < -40,
    }
    for one in verdict.sample:
        assert set(one.rules) == {rule for rule, fails in limits.items() if fails(one.row["arr_delay"])}
    assert any(len(one.rules) == 3 for one in verdict.sample)
    assert any(one.rules == ("early",) for one in verdict.sample)


def test_verdict_written_with_a_row_for_each_rule_is_read(audit):
    written = audit("arrivals", DAY, change=IN_SECONDS).model_dump(mode="json")
    written["sample"] = [{"rule": "air_time_in_minutes", "row": {"flight": 1}}]

    assert Verdict.model_validate(written).sample == (
        FailingRow(rules=("air_time_in_minutes",), row={"flight": 1}),
    )


def test_run_evidence_is_the_verdict(audit):
    verdict = audit("arrivals", DAY)
    page = settings().home / "reports" / verdict.report
    assert page.is_file()
    assert Verdict.model_validate_json(page.with_suffix(".json").read_text()) == verdict
    assert verdict.report == f"flights/gates/arrivals/{DAY}/{verdict.batch_id}.html"


def test_run_personal_data_is_not_shown(pipeline, rows, stage):
    source = pipeline.sources["arrivals"].model_copy(update={"pii": "direct"})
    private = pipeline.model_copy(update={"sources": {**pipeline.sources, "arrivals": source}})
    data = rows("arrivals", DAY, change="* replace ('N-SECRET' as tailnum, 'ZZ' as carrier)")
    verdict = gates.run(private, stage("arrivals", data, DAY))
    assert verdict.outcome == "HOLD"
    assert verdict.sample == ()
    evidence = (settings().home / "reports" / verdict.report).read_text() + verdict.model_dump_json()
    assert "N-SECRET" not in evidence
    assert "ZZ" not in evidence


def test_run_personal_data_in_an_error_is_not_shown(pipeline, rows, stage, suite, expect):
    source = pipeline.sources["arrivals"].model_copy(update={"pii": "direct"})
    private = pipeline.model_copy(update={"sources": {**pipeline.sources, "arrivals": source}})
    query = "select * from {batch} where cast(tailnum as int) > 1"
    most = expect("expect_column_distinct_values_to_be_in_set", "listed", column="tailnum", value_set=["A"])
    suite("arrivals", expect(QUERY, "numeric", unexpected_rows_query=query), most)
    data = rows("arrivals", DAY, change="* replace ('N-SECRET' as tailnum)")
    verdict = gates.run(private, stage("arrivals", data, DAY))
    assert [(rule.passed, rule.broken) for rule in verdict.rules] == [(False, True), (False, False)]
    assert (
        "N-SECRET"
        not in (settings().home / "reports" / verdict.report).read_text() + verdict.model_dump_json()
    )
