"""The watcher of a live pipeline on a set clock: starts, calendars, the year's end, clock changes and changed declarations."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from sluice import ledger, schedule, watch
from sluice.declare import spec
from sluice.declare.calendars import Expected
from sluice.lake.landing import Landing

NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture
def live(set_clock):
    """Function: flights as a live pipeline with one source, with changes; nothing is ever delivered."""

    def declared(source: str = "arrivals", deadline: str = "06:00", **changes) -> spec.Pipeline:
        flights = spec.load("flights")
        Landing(flights.landing_url).create()
        only = flights.sources[source].model_copy(update={"deadline": deadline})
        return flights.model_copy(update={"clock": "wall", "sources": {source: only}, **changes})

    return declared


@pytest.fixture
def missed(set_clock):
    """Function: run days whose delivery is overdue at a local time in New York."""

    def at(pipeline: spec.Pipeline, local: str, fold: int = 0) -> list[str]:
        instant = datetime.fromisoformat(local).replace(tzinfo=NEW_YORK, fold=fold)
        set_clock(instant.isoformat())
        return [each.run_day for each in watch.missed_deliveries(pipeline)]

    return at


def test_a_pipeline_that_is_added_in_the_middle_of_a_year_misses_nothing_of_before(live, missed):
    new = live(starts=date(2013, 6, 15))
    assert missed(new, "2013-06-14T23:59") == []
    assert missed(new, "2013-06-15T05:59") == []
    assert missed(new, "2013-06-15T06:00") == ["2013-06-15"]
    assert missed(new, "2013-06-16T06:00") == ["2013-06-15", "2013-06-16"]


def test_the_end_of_a_year_is_a_day_like_others(live, missed):
    assert missed(live(starts=date(2013, 12, 30)), "2014-01-02T05:00") == [
        "2013-12-30",
        "2013-12-31",
        "2014-01-01",
    ]
    assert [entry.partition for entry in ledger.entries(kind="deadline_missed")] == [
        "2013-12-31",
        "2013-12-30",
        "2013-12-29",
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("schedule", ["2013-12-23", "2013-12-24", "2013-12-26", "2013-12-27"]),
        ("arrivals", ["2013-12-24", "2013-12-25", "2013-12-27", "2013-12-28"]),
    ],
)
def test_a_day_that_is_not_expected_is_not_missed(live, missed, source, expected):
    """Of Christmas and the weekend there are no flights; what came of Friday's is known on Saturday."""
    weekdays = Expected(weekdays=("mon", "tue", "wed", "thu", "fri"), holidays=(date(2013, 12, 25),))
    pipeline = live(source, starts=date(2013, 12, 22), expected=weekdays)
    assert missed(pipeline, "2013-12-28T12:00") == expected


def test_a_run_day_on_which_the_schedule_does_not_fire_is_not_missed(live, missed):
    weekly = live(starts=date(2013, 12, 1), schedule="0 4 * * 1")
    assert missed(weekly, "2013-12-28T12:00") == ["2013-12-02", "2013-12-09", "2013-12-16", "2013-12-23"]


def test_deadlines_on_days_of_23_and_25_hours(live, missed):
    skipped = live(deadline="02:30", schedule="0 0 * * *", starts=date(2013, 3, 10))
    assert missed(skipped, "2013-03-10T03:29") == []
    assert missed(skipped, "2013-03-10T03:30") == ["2013-03-10"]
    repeated = live(deadline="01:30", schedule="0 0 * * *", starts=date(2013, 11, 3))
    assert missed(repeated, "2013-11-03T01:45") == []
    assert missed(repeated, "2013-11-03T01:29", fold=1) == []
    assert missed(repeated, "2013-11-03T01:30", fold=1) == ["2013-11-03"]


def test_what_was_missed_stays_so_when_its_deadline_is_moved(live, missed):
    start = date(2013, 6, 15)
    assert missed(live(starts=start), "2013-06-15T06:30") == ["2013-06-15"]
    later = live(starts=start, deadline="09:00")
    assert missed(later, "2013-06-15T07:00") == ["2013-06-15"]
    assert missed(later, "2013-06-16T08:59") == ["2013-06-15"]
    assert missed(later, "2013-06-16T09:00") == ["2013-06-15", "2013-06-16"]
    recorded = ledger.entries(kind="deadline_missed")
    assert [entry.data["deadline"] for entry in recorded] == [
        "2013-06-16T09:00:00-04:00",
        "2013-06-15T06:00:00-04:00",
    ]


def test_a_schedule_that_becomes_daily_makes_no_past_weekend_overdue(live, missed):
    start = date(2013, 6, 1)
    weekdays = live(starts=start, schedule="0 4 * * 1-5")
    assert missed(weekdays, "2013-06-10T12:00") == [
        "2013-06-03",
        "2013-06-04",
        "2013-06-05",
        "2013-06-06",
        "2013-06-07",
        "2013-06-10",
    ]
    daily = live(starts=start, schedule="0 4 * * *")
    week = [3, 4, 5, 6, 7]
    assert missed(daily, "2013-06-12T12:00") == [f"2013-06-{day:02d}" for day in (*week, 10, 11, 12)]
    assert missed(daily, "2013-06-16T12:00") == [f"2013-06-{day:02d}" for day in (*week, *range(10, 17))]


def test_a_zone_that_is_changed_is_judged_from_then_on(live, missed):
    start = date(2013, 6, 9)
    assert missed(live(starts=start), "2013-06-10T12:00") == ["2013-06-09", "2013-06-10"]
    tokyo = live(starts=start, timezone="Asia/Tokyo")
    assert missed(tokyo, "2013-06-10T12:30") == ["2013-06-09", "2013-06-10"]
    assert missed(tokyo, "2013-06-10T16:59") == ["2013-06-09", "2013-06-10"]
    assert missed(tokyo, "2013-06-10T17:00") == ["2013-06-09", "2013-06-10", "2013-06-11"]
    kept = [f"{schedule.deadline(tokyo, 'arrivals', date(2013, 6, day)):%d %H:%M %Z}" for day in (9, 10, 11)]
    assert kept == ["09 06:00 EDT", "10 06:00 EDT", "11 06:00 JST"]
