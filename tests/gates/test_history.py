"""Rules that compare with history: real days behind the batch, and each rule of the suites alone against its fault.

A warehouse of nine weeks is published once. The rules are those of `expectations/`, so that a width that no longer
catches its fault, or no longer lets a clean day pass, is noticed here.
"""

from __future__ import annotations

import json
from datetime import date, timedelta

import duckdb
import pytest

from sluice import gates
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.gates import history, suites
from sluice.lake import batches, tables

FIRST, DAY, STORM = "2013-02-01", "2013-04-05", "2013-03-08"
SUITES = settings().expectations / "flights"


def staged(table: str, data) -> batches.Manifest:
    days = sorted({str(day) for day in data["ds"].to_pylist()})
    counts = {"received": data.num_rows, "dropped": {}, "inputs": [], "run": Run(run_id="r1")}
    return batches.stage("flights", table, data, partitions=days, sort_by=["ds"], **counts)


def _between(first: str, end: str) -> list[str]:
    start = date.fromisoformat(first)
    return [str(start + timedelta(days=n)) for n in range((date.fromisoformat(end) - start).days)]


@pytest.fixture(scope="module")
def warehouse(rows, tmp_path_factory):
    """A home in which the days before DAY are published."""
    folder = tmp_path_factory.mktemp("history")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_HOME", str(folder))
        settings.cache_clear()
        for table in ("arrivals", "schedule", "weather"):
            tables.publish(staged(table, rows(table, *_between(FIRST, DAY))), verdict_id="v")
    settings.cache_clear()
    return folder


@pytest.fixture
def home(warehouse, monkeypatch):
    monkeypatch.setenv("SLUICE_HOME", str(warehouse))
    settings.cache_clear()
    yield warehouse
    settings.cache_clear()


@pytest.fixture
def only(suite):
    """Function: make one rule of the real suite the whole suite."""

    def choose(table: str, rule: str) -> None:
        all_rules = json.loads((SUITES / f"{table}.json").read_text())["expectations"]
        suite(table, *(one for one in all_rules if one["meta"]["rule"] == rule))

    return choose


def _first(share: float, wanted: str) -> str:
    """SQL: a row is one of the first `share` of its day's rows, those that are `wanted` first."""
    return f"(row_number() over (order by coalesce({wanted}, false) desc, hash(flight)) <= {share} * count(*) over ())"


def _late(share: float, carrier: str, minutes: int) -> str:
    """On-time flights of a carrier reported late, arrival and departure alike."""
    made_up = _first(share, f"carrier = '{carrier}' and arr_delay < 15")
    return f"""* replace (if({made_up}, arr_delay + {minutes}, arr_delay) as arr_delay,
        if({made_up}, dep_delay + {minutes}, dep_delay) as dep_delay)"""


def _times(factor: int) -> str:
    return (
        f"* replace ({', '.join(f'{c} * {factor} as {c}' for c in ('dep_delay', 'arr_delay', 'air_time'))})"
    )


A_FIFTH, A_SEVENTH = "hash(flight) % 5 = 0", "hash(flight, 'x') % 20 < 3"
# KLAX for LAX.
ICAO = f"* replace (if({A_SEVENTH}, 'K' || dest, dest) as dest)"
STUCK = "temp", "dewp", "humid", "wind_dir", "wind_speed", "pressure"
FAULTS = {
    "half_the_rows": ("arrivals", "*", "where flight % 2 = 0", "rows_fit_the_weekday"),
    "a_doubled_plan": ("schedule", "*", "union all from landed", "rows_fit_the_weekday"),
    "minus_one_in_a_fifth": (
        "arrivals",
        f"* replace (if({A_FIFTH}, -1, dep_delay) as dep_delay)",
        "",
        "no_value_spikes",
    ),
    "default_in_a_fifth": (
        "schedule",
        f"* replace (if({A_FIFTH}, 999, distance) as distance)",
        "",
        "no_value_spikes",
    ),
    "null_burst": (
        "arrivals",
        "* replace (if(flight % 10 < 8, null, arr_delay) as arr_delay)",
        "",
        "gaps_fit",
    ),
    "null_wind": (
        "weather",
        "* replace (if(hour(observed_at) < 12, null, wind_dir) as wind_dir)",
        "",
        "gaps_fit",
    ),
    "minutes_as_seconds": ("arrivals", _times(60), "", "minutes_have_their_magnitude"),
    "minutes_as_hundredths": ("arrivals", _times(100), "", "minutes_have_their_magnitude"),
    "seconds_by_their_mix": ("arrivals", _times(60), "", "delays_have_the_usual_mix"),
    "air_time_with_taxiing": (
        "arrivals",
        "* replace (cast(air_time * 1.4 as bigint) as air_time)",
        "",
        "air_time_mean_fits",
    ),
    "kilometres": (
        "schedule",
        "* replace (cast(distance * 1.609 as bigint) as distance)",
        "",
        "distance_has_its_magnitude",
    ),
    "a_seventh_respelled": (
        "arrivals",
        ICAO,
        "",
        "places_are_known",
    ),
    "a_seventh_respelled_by_its_mix": (
        "arrivals",
        ICAO,
        "",
        "flights_have_the_usual_mix",
    ),
    "registrations_respelled": (
        "arrivals",
        f"* replace (if({A_SEVENTH}, substr(tailnum, 2), tailnum) as tailnum)",
        "",
        "aircraft_are_known",
    ),
    "morning_for_evening": (
        "schedule",
        "* replace ((sched_dep_time + 1200) % 2400 as sched_dep_time)",
        "",
        "plan_has_the_usual_mix",
    ),
    "a_carrier_made_late": ("arrivals", _late(0.08, "DL", 180), "", "carrier_not_very_late_alone"),
    "a_carrier_made_a_little_late": ("arrivals", _late(0.12, "UA", 40), "", "carrier_not_late_alone"),
    "pascal": ("weather", "* replace (pressure * 100 as pressure)", "", "readings_have_their_magnitude"),
    "kelvin": ("weather", "* replace ((temp - 32) / 1.8 + 273 as temp)", "", "means_fit"),
    "a_station_is_stuck": (
        "weather",
        "* replace ("
        + ", ".join(f"if(origin = 'EWR', first({c}) over (partition by origin), {c}) as {c}" for c in STUCK)
        + ")",
        "",
        "no_sensor_is_stuck",
    ),
    "a_third_of_the_hours": ("weather", "*", "where hour(observed_at) % 3 > 0", "rows_fit"),
}


@pytest.mark.parametrize("table", ["arrivals", "schedule", "weather"])
def test_clean_day_is_compared_and_passes(audit, table):
    verdict = audit(table, DAY)
    assert (verdict.outcome, verdict.reasons) == ("PASS", ())
    compared = [rule.observed for rule in verdict.rules if "compared with" in rule.observed]
    assert len(compared) == len([one for mine, one in _real_rules() if mine == table])


@pytest.mark.parametrize("name", FAULTS)
def test_fault_holds_by_the_rule_meant_for_it(audit, only, name):
    table, change, suffix, rule = FAULTS[name]
    only(table, rule)
    verdict = audit(table, DAY, change=change, suffix=suffix)
    assert (verdict.outcome, [one.rule for one in verdict.failed]) == ("HOLD", [rule]), verdict.rules[
        0
    ].observed
    assert "earlier_days" in verdict.failed[0].observed


@pytest.mark.parametrize(
    ("table", "rule"),
    [
        ("arrivals", "differs_from_earlier_days"),
        ("schedule", "differs_from_yesterday"),
        ("weather", "differs_from_earlier_days"),
    ],
)
def test_yesterdays_rows_with_todays_dates_hold(pipeline, rows, stage, only, table, rule):
    only(table, rule)
    day = "observed_at + interval 1 day as observed_at" if table == "weather" else "ds + 1 as flight_date"
    again = rows(table, "2013-04-04", change=f"* replace (cast(ds + 1 as date) as ds, {day})")
    verdict = gates.run(pipeline, stage(table, again, DAY))
    assert verdict.outcome == "HOLD"
    assert "same_as 2013-04-04, same_share 1" in verdict.reasons[0]


def test_case_and_blanks_are_no_new_category(audit, only):
    only("arrivals", "places_are_known")
    assert audit("arrivals", DAY, change="* replace (lower(dest) || ' ' as dest)").outcome == "PASS"


def test_late_flights_reported_on_time_hold(audit, only):
    only("arrivals", "carrier_not_late_alone")
    assert audit("arrivals", STORM).outcome == "PASS"
    honest = _first(0.12, "carrier = 'EV' and arr_delay >= 15")
    verdict = audit("arrivals", STORM, change=f"* replace (if({honest}, -5, arr_delay) as arr_delay)")
    assert verdict.outcome == "HOLD"
    assert "carrier EV" in verdict.reasons[0]


def test_days_without_enough_history_pass_and_say_so(audit, only):
    only("arrivals", "rows_fit_the_weekday")
    verdict = audit("arrivals", "2013-02-05", suffix="where flight % 2 = 0")
    assert verdict.outcome == "PASS"
    assert verdict.rules[0].observed == "not compared: 4 earlier days, 28 are needed"


def test_one_bad_day_of_a_range_is_named(audit, only):
    only("arrivals", "no_value_spikes")
    days = _between(DAY, "2013-04-12")
    spike = f"* replace (if(ds = '2013-04-08' and {A_FIFTH}, -1, dep_delay) as dep_delay)"
    verdict = audit("arrivals", *days, change=spike)
    assert verdict.outcome == "HOLD"
    assert {found.row["ds"] for found in verdict.sample} == {"2013-04-08"}


def _real_rules() -> list[tuple[str, suites.Rule]]:
    flights = spec.load("flights")
    found = [
        (table, rule)
        for table in ("schedule", "arrivals", "weather")
        for rule in suites.load(flights, table).rules
    ]
    return [(table, rule) for table, rule in found if rule.history_days]


def _answer(con: duckdb.DuckDBPyConnection, rule: suites.Rule, before: str, batch: str) -> list[tuple]:
    con.execute(f"create or replace temp view history as {before}")
    con.execute(f"create or replace temp view batch as {batch}")
    found = con.sql(f"select * exclude (days, days_compared) from ({rule.sql})").fetchall()
    # Sums of the same numbers in another order differ in their last digits.
    return [tuple(round(x, 9) if isinstance(x, float) else x for x in row) for row in found]


def test_a_day_gets_the_same_answer_alone_and_in_a_range(year, rows):
    con = year.cursor()
    for table, rule in _real_rules():
        con.register("days_seen", rows(table, *_between(FIRST, DAY)))
        within = "from days_seen where ds between '2013-03-25' and '2013-03-26'"
        ranged = _answer(con, rule, "from days_seen where ds < '2013-03-25'", within)
        for day in ("2013-03-25", "2013-03-26"):
            alone = _answer(
                con, rule, f"from days_seen where ds < '{day}'", f"from days_seen where ds = '{day}'"
            )
            assert sorted(map(str, alone)) == sorted(str(row) for row in ranged if str(row[0]) == day), (
                rule.meta.rule
            )


@pytest.mark.slow
def test_no_day_of_the_clean_year_holds(year, rows):
    con, warned = year.cursor(), {}
    for table, rule in _real_rules():
        con.register("days_seen", rows(table, *_between("2013-01-01", "2014-01-01")))
        found = _answer(con, rule, "from days_seen where false", "from days_seen")
        failed = sorted({str(row[0]) for row in found if row[-1]})
        assert rule.meta.severity == "warn" or not failed, (table, rule.meta.rule, failed)
        warned.update({f"{table}.{rule.meta.rule}": failed} if failed else {})
    assert warned == {
        "schedule.rows_unusual_for_the_weekday": ["2013-07-04", "2013-11-28", "2013-11-29", "2013-12-25"],
        "schedule.new_places": ["2013-12-21"],
        "arrivals.delays_mean_unusual": ["2013-03-08", "2013-12-05"],
        "arrivals.gaps_unusual": ["2013-02-08", "2013-02-09"],
        "weather.rows_unusual": ["2013-10-25", "2013-11-02", "2013-12-30"],
    }


@pytest.mark.slow
def test_no_day_of_the_clean_year_fails_a_rule_about_it_alone(year, rows):
    """Rules that compare nothing, or with another table of the same day; those that only warn are left out."""
    con, days, flights = year.cursor(), _between("2013-01-01", "2014-01-01"), spec.load("flights")
    con.register("schedule", rows("schedule", *days))
    for table in ("schedule", "arrivals", "weather"):
        con.register("days_seen", rows(table, *days))
        con.execute("create or replace temp view batch as from days_seen")
        for rule in suites.load(flights, table).rules:
            if rule.query and not rule.history_days and rule.meta.severity != "warn":
                found = con.sql(rule.sql).filter("fails" if rule.reference_table else "true").fetchall()
                assert not found, (table, rule.meta.rule, found[:3])


def test_history_is_the_window_and_no_more(pipeline, rows, stage):
    manifest = stage("weather", rows("weather", DAY), DAY)
    with history.files(pipeline, manifest, 28) as found:
        assert [path[-18:-8] for path in found] == _between("2013-03-08", DAY)
    with history.files(pipeline, manifest, 0) as found:
        assert found == []
