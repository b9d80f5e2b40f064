"""When a pipeline is due to run: by its cron in its zone, from its start on, on days that are expected."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sluice import schedule
from sluice.core.errors import DayInvalidError, SpecInvalidError
from sluice.declare import spec
from sluice.declare.calendars import Expected

SPRING, AUTUMN = date(2026, 3, 8), date(2026, 11, 1)
WEEKDAYS = Expected(weekdays=("mon", "tue", "wed", "thu", "fri"), holidays=(date(2013, 12, 25),))


@pytest.fixture
def live(home):
    """Function: flights as a live pipeline, with changes."""

    def changed(**changes) -> spec.Pipeline:
        flights = spec.load("flights")
        return flights.model_copy(update={"clock": "wall", **changes})

    return changed


def _is_expected(pipeline: spec.Pipeline, table: str, day: date) -> bool:
    return schedule.expected_days(pipeline, table, day, day) == [day]


def _days(first: str, last: str) -> tuple[date, date]:
    return date.fromisoformat(first), date.fromisoformat(last)


def _numbers(days: list[date]) -> list[int]:
    return [day.day for day in days]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 4 * * *", [23, 24, 25, 26, 27, 28, 29, 30]),
        ("0 4 * * 1-5", [23, 24, 25, 26, 27, 30]),
        ("*/20 * * * *", [23, 24, 25, 26, 27, 28, 29, 30]),
        ("0 4,16 * * *", [23, 24, 25, 26, 27, 28, 29, 30]),
        ("0 4 28 * 1", [23, 28, 30]),  # a day of the month or of the week, as cron has it
        ("0 4 29 2 *", []),
    ],
)
def test_run_days_are_those_on_which_the_cron_fires(live, cron, expected):
    assert _numbers(schedule.run_days(live(schedule=cron), *_days("2013-12-23", "2013-12-30"))) == expected


def test_run_days_begin_with_starts_and_go_over_the_end_of_a_year(live):
    late = live(starts=date(2013, 12, 30))
    assert schedule.run_days(late, *_days("2013-12-01", "2014-01-02")) == [
        date(2013, 12, 30),
        date(2013, 12, 31),
        date(2014, 1, 1),
        date(2014, 1, 2),
    ]
    assert schedule.run_days(late, *_days("2013-12-01", "2013-12-29")) == []
    assert schedule.run_days(late, *_days("2014-01-02", "2014-01-01")) == []


def test_a_leap_day_is_a_run_day(live):
    assert date(2028, 2, 29) in schedule.run_days(live(), *_days("2028-02-01", "2028-03-31"))
    leap = live(schedule="0 4 29 2 *")
    assert schedule.run_days(leap, *_days("2026-01-01", "2033-01-01")) == [
        date(2028, 2, 29),
        date(2032, 2, 29),
    ]
    after = datetime(2096, 3, 1, tzinfo=UTC)
    assert schedule.next_due(leap, after).date() == date(2104, 2, 29), "2100 is no leap year"


def test_a_replayed_pipeline_runs_every_day(live):
    replayed = live(clock="feed", schedule="0 4 * * 1")
    assert _numbers(schedule.run_days(replayed, *_days("2013-12-23", "2013-12-26"))) == [23, 24, 25, 26]
    begin = datetime(2013, 12, 24, tzinfo=ZoneInfo("America/New_York"))
    assert schedule.due_at(replayed, date(2013, 12, 24)) == begin
    assert schedule.next_due(replayed, begin) == begin + timedelta(days=1)


def test_expected_days_are_days_of_data_and_the_run_comes_with_each_sources_lag(live):
    """Of Friday's flights the arrivals come on Saturday; on Sunday and Monday morning nothing new is known of them."""
    weekdays = live(expected=WEEKDAYS)
    week = _days("2013-12-20", "2013-12-30")  # from Friday to Monday
    assert _numbers(schedule.expected_days(weekdays, "schedule", *week)) == [20, 23, 24, 26, 27, 30]
    assert schedule.expected_days(weekdays, "arrivals", *week) == schedule.expected_days(
        weekdays, "schedule", *week
    )
    assert _numbers(schedule.run_days(weekdays, *week)) == [20, 21, 23, 24, 25, 26, 27, 28, 30]
    assert _is_expected(weekdays, "features", date(2013, 12, 24))
    assert not _is_expected(weekdays, "features", date(2013, 12, 25))
    assert not _is_expected(weekdays, "predictions", date(2013, 12, 28))


def test_a_source_may_have_days_of_its_own(live):
    weekdays = live(expected=WEEKDAYS)
    weather = weekdays.sources["weather"].model_copy(update={"expected": Expected()})
    weekdays = weekdays.model_copy(update={"sources": {**weekdays.sources, "weather": weather}})
    week = _days("2013-12-20", "2013-12-30")
    assert len(schedule.expected_days(weekdays, "weather", *week)) == 11
    assert len(schedule.run_days(weekdays, *week)) == 11
    assert _numbers(schedule.expected_days(weekdays, "schedule", *week)) == [20, 23, 24, 26, 27, 30]


def test_a_day_that_no_run_lands_is_not_expected(live):
    monday = live(schedule="0 4 * * 1", starts=date(2013, 12, 2))
    assert _numbers(schedule.expected_days(monday, "arrivals", *_days("2013-11-20", "2013-12-15"))) == [
        1,
        8,
        15,
    ]
    assert schedule.expected_days(monday, "planes", *_days("2013-11-20", "2013-12-15")) == []


@pytest.mark.parametrize(
    ("cron", "zone", "day", "instant"),
    [
        ("0 4 * * *", "America/New_York", date(2026, 1, 5), "2026-01-05T09:00"),
        ("0 4 * * *", "America/New_York", date(2026, 7, 5), "2026-07-05T08:00"),
        ("30 2 * * *", "America/New_York", SPRING, "2026-03-08T07:30"),  # skipped: 03:30
        ("30 1 * * *", "America/New_York", AUTUMN, "2026-11-01T06:30"),  # repeated: once, the second time
        ("0 * * * *", "America/New_York", AUTUMN, "2026-11-01T04:00"),
        ("15 6,2 * * *", "America/New_York", SPRING, "2026-03-08T07:15"),
        ("0 0 * * *", "America/Havana", SPRING, "2026-03-08T05:00"),  # midnight is skipped
        ("0 0 * * *", "America/Havana", AUTUMN, "2026-11-01T05:00"),  # midnight is repeated
        ("0 * * * *", "America/Havana", AUTUMN, "2026-11-01T04:00"),
        ("0 4 * * *", "Pacific/Apia", date(2011, 12, 31), "2011-12-30T14:00"),
        ("0 0 * * *", "UTC", date(2026, 12, 31), "2026-12-31T00:00"),
    ],
)
def test_due_at_is_the_first_firing_of_the_local_day(live, cron, zone, day, instant):
    due = schedule.due_at(live(schedule=cron, timezone=zone), day)
    assert due.astimezone(UTC) == datetime.fromisoformat(f"{instant}+00:00")
    assert due.tzinfo == ZoneInfo(zone)


def test_a_day_that_a_zone_skips_is_no_run_day_and_one_whose_time_is_skipped_is(live):
    apia = live(timezone="Pacific/Apia")
    assert _numbers(schedule.run_days(apia, *_days("2011-12-28", "2012-01-01"))) == [28, 29, 31, 1]
    nuuk = live(timezone="America/Nuuk", schedule="30 23 * * *")
    assert _numbers(schedule.run_days(nuuk, *_days("2024-03-29", "2024-04-01"))) == [29, 30, 31, 1]
    due = [schedule.due_at(nuuk, date(2024, 3, day)) for day in (29, 30, 31)]
    assert [f"{at:%d %H:%M}" for at in due] == ["29 23:30", "31 00:30", "31 23:30"]
    assert schedule.next_due(nuuk, due[0]) == due[1]
    assert schedule.next_due(nuuk, due[1]) == due[2]


def test_a_day_without_a_run_is_due_at_no_time(live):
    with pytest.raises(DayInvalidError, match=r"does not run on 2013-12-28.*0 4"):
        schedule.due_at(live(schedule="0 4 * * 1-5"), date(2013, 12, 28))


@pytest.mark.parametrize("cron", ["0 4 * * *", "30 1 * * *", "30 2 * * 0-6", "0 * * * *", "0 4 * * 1-5"])
@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "UTC"])
def test_next_due_goes_through_a_year_run_day_by_run_day(live, cron, zone):
    each = live(schedule=cron, timezone=zone)
    days = schedule.run_days(each, *_days("2025-12-30", "2027-01-02"))
    due = [schedule.due_at(each, day) for day in days]
    assert [at.date() for at in due] == days
    at, walked = due[0] - timedelta(seconds=1), []
    for _ in due:
        at = schedule.next_due(each, at)
        walked.append(at)
    assert walked == due


def test_a_pipeline_that_starts_later_is_due_then_and_one_without_a_day_says_so(live):
    later = live(starts=date(2040, 5, 1), schedule="0 4 * * 1")
    assert schedule.next_due(later, datetime(2026, 1, 1, tzinfo=UTC)).date() == date(2040, 5, 7)
    never = live(schedule="0 4 * * 0", expected=Expected(weekdays=("wed",)))
    with pytest.raises(SpecInvalidError, match="never runs"):
        schedule.next_due(never, datetime(2026, 1, 1, tzinfo=UTC))


def test_the_deadline_of_a_source_is_an_instant_of_its_run_day(live):
    due = schedule.deadline(live(), "arrivals", SPRING)
    assert due.astimezone(UTC) == datetime(2026, 3, 8, 10, tzinfo=UTC)
    assert due.utcoffset() == timedelta(hours=-4)
