"""Features against their own past: the suite's rules over drawn features of four weeks and a day, and what breaks them."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import pytest

from sluice.gates import engine, suites

DAY = date(2013, 4, 5)
MODE, NULLS, LEVEL, MAGNITUDE, SHARES = RULES = (
    "no_value_takes_a_share",
    "features_do_not_vanish",
    "features_keep_their_level",
    "features_have_their_magnitude",
    "makers_have_their_shares",
)
FAULTS = {
    "a default in a fifth": ("if(i % 5 = 0, -1, route_delay_minutes_28d)", "route_delay_minutes_28d", MODE),
    "constant": ("120.0", "distance_miles", MODE),
    "all null": ("null::double", "aircraft_age_years", NULLS),
    "hours for minutes": ("route_delay_minutes_28d / 60", "route_delay_minutes_28d", MAGNITUDE),
    "percent for a share": ("100 * carrier_late_rate_28d", "carrier_late_rate_28d", LEVEL),
    "four times": ("4 * carrier_late_rate_28d", "carrier_late_rate_28d", LEVEL),
    "a maker that is merged": ("replace(aircraft_manufacturer, 'm0', 'm1')", "aircraft_manufacturer", SHARES),
}


@pytest.fixture
def failing(pipeline, tmp_path):
    """Function: the rules that a day fails of which one column is another SQL expression."""
    rules = [rule for rule in suites.load(pipeline, "features").rules if rule.meta.rule in RULES]
    columns = dict.fromkeys(name for rule in rules for name in rule.columns)

    def find(change: str) -> set[str]:
        with duckdb.connect() as con:
            drawn = ", ".join(
                f"'m' || hash(i, ds, '{name}') % 10 as {name}"
                if name == "aircraft_manufacturer"
                else f"50.0 + (hash(i, ds, '{name}') % 1000) / 10.0 as {name}"
                for name in columns
            )
            days = f"select unnest(generate_series(date '{DAY - timedelta(days=28)}', date '{DAY}', interval 1 day))::date as ds"
            con.execute(f"create table drawn as select ds, i, {drawn} from ({days}), range(200) as t(i)")
            paths = [
                str(tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}.parquet")
                for name in ("batch", "history")
            ]
            con.execute(f"copy (select {change} from drawn where ds = date '{DAY}') to '{paths[0]}'")
            con.execute(f"copy (from drawn where ds < date '{DAY}') to '{paths[1]}'")
        with engine.opened({str(DAY): paths[0]}, [paths[1]]) as staged:
            found = staged.evaluate(rules, show_rows=True)
        assert not any(one.result.broken for one in found)
        assert all("not compared" not in one.result.observed for one in found)
        return {one.result.rule for one in found if not one.result.passed}

    return find


def test_day_like_those_before_passes(failing):
    assert failing("*") == set()


@pytest.mark.parametrize("name", FAULTS)
def test_feature_that_is_unlike_its_past_is_held_by_the_rule_meant_for_it(failing, name):
    change, column, rule = FAULTS[name]
    assert failing(f"* replace ({change} as {column})") == {rule}


@pytest.fixture
def asked(pipeline, tmp_path):
    """Function: whether nine rows of a day, drawn by SQL, pass one rule of the suite."""

    def ask(rule: str, drawn: str) -> bool:
        (wanted,) = (one for one in suites.load(pipeline, "features").rules if one.meta.rule == rule)
        with duckdb.connect() as con:
            con.execute(
                f"copy (select date '{DAY}' as ds, {drawn} from range(9) as t(i)) to '{tmp_path}/day.parquet'"
            )
        with engine.opened({str(DAY): f"{tmp_path}/day.parquet"}, []) as staged:
            (found,) = staged.evaluate([wanted], show_rows=True)
        assert not found.result.broken
        return found.result.passed

    return ask


READINGS = {
    "wind_speed_mph": "8.6",
    "wind_gust_mph": "null",
    "visibility_miles": "10.0",
    "precipitation_inches_6h": "0.0",
    "temperature_f": "50.0",
}


@pytest.mark.parametrize(
    ("changed", "passes"),
    [
        ({}, True),
        (dict.fromkeys(READINGS, "null"), True),
        ({"wind_speed_mph": "54.1"}, False),
        ({"wind_gust_mph": "0.4"}, False),
        ({"visibility_miles": "0.0"}, False),
        ({"precipitation_inches_6h": "25.4"}, False),
        ({"wind_speed_mph": "null"}, False),
        ({"visibility_miles": "null"}, False),
        ({"precipitation_inches_6h": "null"}, False),
        ({"temperature_f": "null"}, False),
    ],
)
def test_weather_whose_mean_no_day_has_or_of_which_one_reading_is_missing_is_held(asked, changed, passes):
    drawn = ", ".join(f"{value}::double as {name}" for name, value in (READINGS | changed).items())
    origins = "['EWR', 'JFK', 'LGA'][i % 3 + 1] as origin"
    assert asked("weather_of_a_day_is_possible", f"{origins}, {drawn}") == passes


def test_calm_and_fog_at_the_only_airport_with_a_reading_are_possible(asked):
    calm = READINGS | {"wind_speed_mph": "0.0", "visibility_miles": "0.1"}
    drawn = ", ".join(f"if(i = 0, {value}, null)::double as {name}" for name, value in calm.items())
    assert asked("weather_of_a_day_is_possible", f"if(i = 0, 'EWR', 'JFK') as origin, {drawn}")


JOINED = {
    "origin": "'EWR'",
    "carrier": "'UA'",
    "dest": "'SFO'",
    "flight": "'1'",
    "departure_minute_of_day": "600",
    **dict.fromkeys(
        (
            *("wind_speed_mph", "wind_gust_mph", "visibility_miles", "temperature_f", "pressure_millibar"),
            *("precipitation_inches_6h", "origin_late_rate_1d", "origin_late_rate_7d"),
            *("carrier_flights_count_28d", "carrier_late_rate_28d"),
            *("route_flights_count_28d", "route_late_rate_28d", "route_delay_minutes_28d", "distance_miles"),
            *("flight_late_rate_28d", "origin_hour_departures_count"),
        ),
        "1.0",
    ),
}


def test_what_is_joined_is_the_same_where_its_key_is(asked):
    rule = "what_is_joined_is_the_same"

    def passes(**changed: str) -> bool:
        return asked(rule, ", ".join(f"{value} as {name}" for name, value in (JOINED | changed).items()))

    assert passes()
    assert passes(**dict.fromkeys(("wind_gust_mph", "flight_late_rate_28d"), "null::double"))
    keys = {
        "origin": ("temperature_f", "origin_late_rate_1d"),
        "carrier": ("carrier_late_rate_28d",),
        "dest": ("route_delay_minutes_28d",),
        "flight": ("flight_late_rate_28d",),
    }
    for key, columns in keys.items():
        for column in columns:
            differs = {column: "if(i = 0, -1.0, 1.0)"}
            assert not passes(**differs), column
            assert not passes(**{column: "if(i = 0, null, 1.0)"}), column
            assert passes(**differs, **{key: "if(i = 0, 'ABC', 'DEF')"}), column
    assert not passes(origin_hour_departures_count="if(i = 0, 2, 1)")
    hours = "if(i = 0, 599, 600)"
    assert passes(origin_hour_departures_count="if(i = 0, 2, 1)", departure_minute_of_day=hours)
