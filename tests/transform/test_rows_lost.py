"""A fault in SQL that loses rows, makes some twice or gets values wrong is held at the gate of the table that it is in."""

from __future__ import annotations

from types import SimpleNamespace

import duckdb
import pytest

from sluice import crossing
from sluice.core.errors import SpecInvalidError
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.gates import suites
from sluice.gates.verdict import Verdict
from sluice.lake import batches, tables
from sluice.transform import conservation

RUN = Run(run_id="test")
DAY, NEXT = "2013-04-02", "2013-04-03"
SCHEDULE, ARRIVALS = "one_row_for_each_of_schedule", "one_row_for_each_of_arrivals"
DISTANCES, LABELS = "values_are_those_of_schedule", "values_are_those_of_arrivals"


def crossed(flights: spec.Pipeline, table: str, run_day: str) -> tuple[batches.Manifest, Verdict]:
    manifest = crossing.stage(flights, table, [run_day], RUN)
    return manifest, crossing.audit(flights, table, manifest.batch_id, RUN)


def said(verdict: Verdict, rule: str) -> str:
    (found,) = (one for one in verdict.rules if one.rule == rule)
    return "" if found.passed else found.observed


@pytest.mark.slow
def test_rows_that_sql_loses_are_held_with_their_segment_and_the_models_on_the_way(landed, changed):
    changed("stg_flights__schedule", "from keyed", "from keyed where carrier <> 'B6'")
    manifest, verdict = crossed(landed, "features", DAY)
    (planned,) = tables.published("flights", "schedule", DAY, DAY).values()
    assert verdict.outcome == "HOLD"
    assert said(verdict, SCHEDULE).startswith(
        f"{planned.rows - manifest.rows} of {planned.rows} rows of schedule have no row here on {DAY}, among them all of "
        "carrier B6, such as 2013-04-02|B6|1002|JFK|BOS, 2013-04-02|B6|1004|JFK|BOS, "
    )
    assert (
        f". Rows on the way: {planned.rows} in schedule, {manifest.rows} in stg_flights__schedule, "
        in said(verdict, SCHEDULE)
    )

    changed("stg_flights__arrivals", "from keyed", "from keyed where flight % 6 <> 0")
    manifest, verdict = crossed(landed, "outcomes", NEXT)
    assert verdict.outcome == "HOLD"
    assert "rows of arrivals have no row here on 2013-04-02, such as" in said(verdict, ARRIVALS)
    assert manifest.rows_by_model["stg_flights__arrivals"] == manifest.rows


@pytest.mark.slow
def test_row_that_is_left_out_for_a_counted_reason_is_not_missed_and_one_that_is_made_up_is_told(
    landed, changed
):
    line = "where scheduled_departure_at <= as_of_at"
    changed("int_flights__departures_left_out", line, f"{line} or flight = 1004")
    manifest, verdict = crossed(landed, "features", DAY)
    assert sum(manifest.dropped.values()) >= 1
    assert said(verdict, SCHEDULE) == ""
    assert manifest.rows_by_model == {}

    changed("int_flights__departures_left_out", "or flight = 1004", "or origin = 'JFK'")
    _, verdict = crossed(landed, "features", DAY)
    assert verdict.outcome == "HOLD"
    assert "rows of schedule were left out for a reason, where at most " in said(verdict, SCHEDULE)

    changed("stg_flights__arrivals", "concat_ws('|', ds,", "concat_ws('|', ds + 1,")
    _, verdict = crossed(landed, "outcomes", NEXT)
    assert "rows are made of no row of arrivals on 2013-04-02, such as 2013-04-03|" in said(verdict, ARRIVALS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "by", "says"),
    [
        ("arr_delay >= {{ var('flights_late_minutes') }}", "arr_delay >= 30", "values of is_late on 2013-04-02 are not what arrivals gives by `arr_delay >= 15`"),
        ("arr_delay >= {{ var('flights_late_minutes') }}", "arr_delay < 15", "false (expected true)"),
    ],
)  # fmt: skip
def test_outcome_that_its_arrival_does_not_give_is_held_and_told(landed, changed, line, by, says):
    changed("stg_flights__arrivals", line, by)
    _, verdict = crossed(landed, "outcomes", NEXT)
    assert verdict.outcome == "HOLD"
    assert says in said(verdict, LABELS)
    assert said(verdict, ARRIVALS) == ""


@pytest.mark.slow
def test_feature_that_its_planned_flight_does_not_give_is_held_and_outcomes_as_delivered_pass(
    landed, changed
):
    _, verdict = crossed(landed, "outcomes", NEXT)
    assert [one.passed for one in verdict.rules if one.rule in (ARRIVALS, LABELS)] == [True, True]
    changed("stg_flights__schedule", "distance as", "distance // 2 as")
    manifest, verdict = crossed(landed, "features", DAY)
    assert verdict.outcome == "HOLD"
    assert said(verdict, DISTANCES).startswith(
        f"{manifest.rows} of {manifest.rows} values of distance_miles on {DAY} are not what schedule gives by `distance`, such as 2013-04-02|"
    )


def test_values_from_that_cannot_be_is_refused(home, tmp_path):
    text = (settings().pipelines / "flights.yml").read_text()
    file = tmp_path / "flights.yml"

    def load(old: str, new: str) -> spec.Pipeline:
        assert old in text
        file.write_text(text.replace(old, new, 1))
        return spec.parse(file)

    with pytest.raises(SpecInvalidError, match="'outcomes' declares `values_from` without `key_from`"):
        load("    key_from: *flight_id\n", "")
    with pytest.raises(
        SpecInvalidError, match=r"values_from: outcomes has no column 'late' \(it has flight_id,"
    ):
        suites.check(load("is_late: arr_delay", "late: arr_delay"))
    with pytest.raises(
        SpecInvalidError, match=r"derived.outcomes.values_from.is_late: Binder Error: .*delay"
    ):
        suites.check(load("is_late: arr_delay", "is_late: delay"))
    with pytest.raises(SpecInvalidError, match=r"values_from.is_late: Binder Error: .*GROUP BY"):
        suites.check(load("is_late: arr_delay >= 15", "is_late: max(arr_delay) >= 15"))


def test_key_from_that_cannot_be_is_refused(home, tmp_path):
    text = (settings().pipelines / "flights.yml").read_text()
    file = tmp_path / "flights.yml"

    def load(old: str, new: str) -> spec.Pipeline:
        assert old in text
        file.write_text(text.replace(old, new, 1))
        return spec.parse(file)

    with pytest.raises(SpecInvalidError, match="'features' declares `key_from` without a daily table"):
        load("    rows_from: schedule\n", "")
    with pytest.raises(SpecInvalidError, match="'features' declares `key_from` without a daily table"):
        load("rows_from: schedule", "rows_from: airports")
    with pytest.raises(SpecInvalidError, match="a key of 1 columns, and `key_from` says 2"):
        load("key_from: &flight_id\n", "key_from: &flight_id\n      - ds\n")
    with pytest.raises(SpecInvalidError, match=r"derived.features.key_from: Binder Error: .*carriers"):
        suites.check(load("regexp_replace(carrier,", "regexp_replace(carriers,"))


def test_view_that_cannot_be_read_in_full_is_not_counted_on_the_way(home):
    def node(name: str, on: str) -> SimpleNamespace:
        return SimpleNamespace(
            name=name, unique_id=name, resource_type="model", relation_name=name, depends_on_nodes=[on]
        )

    ran = [node("broken", "source.sluice.flights.schedule"), node("whole", "broken")]
    schedule = f"select date '{DAY}' as ds, unnest(['1', 'x']) as flight_id"
    with duckdb.connect() as con:
        con.execute(f"create schema raw; create table raw.schedule as {schedule}")
        con.execute(
            "create view broken as select ds, flight_id from raw.schedule where cast(flight_id as int) > 0"
        )
        con.execute("create view whole as from raw.schedule where flight_id = '1'")
        with pytest.raises(duckdb.ConversionException):
            con.execute("select count(*) from broken").fetchall()
        found = conservation.rows_by_model(con, spec.load("flights"), "features", DAY, DAY, 1, ran)
    assert found == {"schedule": 2, "whole": 1}
