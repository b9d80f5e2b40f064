"""A schedule, zone, calendar or deadline that is changed counts from the change on: what was due before stays due."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from sluice import ledger, schedule
from sluice.core.errors import SpecInvalidError
from sluice.declare import spec
from sluice.declare.calendars import Expected
from sluice.ingest import completion, deliveries
from sluice.lake.landing import Landing

WEEKEND = Expected(weekdays=("sat", "sun"))


@pytest.fixture
def declare(set_clock):
    """Function: declare flights as a live pipeline, with changes, at an instant, and have it noticed."""

    def changed(at: str, **changes) -> spec.Pipeline:
        set_clock(at)
        flights = spec.load("flights")
        deadline = changes.pop("deadline", "06:00")
        sources = {
            name: source.model_copy(update={"deadline": deadline}) for name, source in flights.sources.items()
        }
        update = {"clock": "wall", "sources": sources, **changes}
        live = flights.model_copy(update=update)
        schedule.record(live)
        return live

    return changed


def _is_expected(pipeline: spec.Pipeline, table: str, day: date) -> bool:
    return schedule.expected_days(pipeline, table, day, day) == [day]


def _run_days(live: spec.Pipeline, first: str, last: str) -> list[int]:
    return [day.day for day in schedule.run_days(live, date.fromisoformat(first), date.fromisoformat(last))]


def _utc(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%d %H:%M}"


def test_what_is_declared_is_recorded_once_and_only_of_a_live_pipeline(declare):
    declare("2026-06-01T12:00:00+00:00", clock="feed")
    assert ledger.entries(kind="scheduled") == []
    live = declare("2026-06-01T12:00:00+00:00")
    schedule.record(live)
    declare("2026-06-02T12:00:00+00:00")
    assert len(ledger.entries(kind="scheduled")) == 1
    declare("2026-06-03T12:00:00+00:00", deadline="07:00")
    assert len(ledger.entries(kind="scheduled")) == 2
    ledger.verify()


def test_a_cron_that_is_changed_makes_no_past_day_due(declare):
    """On Wednesday 10 June a pipeline that ran on weekdays begins to run daily."""
    declare("2026-06-01T12:00:00+00:00", schedule="0 4 * * 1-5")
    daily = declare("2026-06-10T12:00:00+00:00", schedule="0 5 * * *")
    assert _run_days(daily, "2026-06-05", "2026-06-15") == [5, 8, 9, 10, 11, 12, 13, 14, 15]
    # That of the day itself had begun by the old schedule.
    assert _utc(schedule.due_at(daily, date(2026, 6, 10))) == "10 08:00"
    assert _utc(schedule.due_at(daily, date(2026, 6, 11))) == "11 09:00"
    assert not _is_expected(daily, "schedule", date(2026, 6, 7))
    assert _is_expected(daily, "schedule", date(2026, 6, 14))


def test_a_day_that_had_not_begun_when_its_cron_changed_is_due_by_the_new_one(declare):
    declare("2026-06-01T12:00:00+00:00", schedule="0 12 * * *")
    earlier = declare("2026-06-10T14:00:00+00:00", schedule="0 4 * * *")  # at 10:00
    assert _utc(schedule.due_at(earlier, date(2026, 6, 9))) == "09 16:00"
    assert _utc(schedule.due_at(earlier, date(2026, 6, 10))) == "10 08:00"
    assert _run_days(earlier, "2026-06-08", "2026-06-12") == [8, 9, 10, 11, 12]


def test_a_cron_that_becomes_rarer_drops_no_day_that_was_due(declare):
    declare("2026-06-01T12:00:00+00:00", schedule="0 4 * * *")
    weekdays = declare("2026-06-14T12:00:00+00:00", schedule="0 4 * * 1-5")  # a Sunday
    assert _run_days(weekdays, "2026-06-11", "2026-06-22") == [11, 12, 13, 14, 15, 16, 17, 18, 19, 22]


@pytest.mark.parametrize(
    "zone", ["Asia/Tokyo", "America/Los_Angeles", "Pacific/Kiritimati", "Pacific/Pago_Pago"]
)
@pytest.mark.parametrize("hour", [0, 6, 7, 9, 15, 18, 23])
def test_a_zone_that_is_changed_loses_no_day_and_repeats_none(declare, zone, hour):
    declare("2026-06-01T12:00:00+00:00")
    at = datetime(2026, 6, 10, hour, 30, tzinfo=UTC)
    moved = declare(at.isoformat(), timezone=zone)
    days = schedule.run_days(moved, date(2026, 6, 5), date(2026, 6, 15))
    assert days == [date(2026, 6, day) for day in range(5, 16)]
    due = [schedule.due_at(moved, day).astimezone(UTC) for day in days]
    assert due == sorted(due)
    began_before = [instant for instant in due if instant <= at]
    assert all(instant.hour == 8 for instant in began_before if instant < at - timedelta(days=1))
    back = declare((at + timedelta(minutes=5)).isoformat())
    assert schedule.run_days(back, date(2026, 6, 5), date(2026, 6, 15)) == days


def test_a_deadline_that_is_changed_counts_for_what_was_not_yet_judged(declare):
    declare("2026-06-01T12:00:00+00:00", deadline="06:00")
    later = declare("2026-06-10T11:00:00+00:00", deadline="09:00")  # at 07:00
    assert _utc(schedule.deadline(later, "arrivals", date(2026, 6, 9))) == "09 10:00"
    assert _utc(schedule.deadline(later, "arrivals", date(2026, 6, 10))) == "10 10:00"
    assert _utc(schedule.deadline(later, "arrivals", date(2026, 6, 11))) == "11 13:00"
    sooner = declare("2026-06-12T09:00:00+00:00", deadline="05:30")  # at 05:00, when the run has begun
    assert _utc(schedule.deadline(sooner, "arrivals", date(2026, 6, 11))) == "11 13:00"
    assert _utc(schedule.deadline(sooner, "arrivals", date(2026, 6, 12))) == "12 09:30"


def test_a_change_counts_before_anybody_has_recorded_it(declare):
    weekdays = declare("2026-06-01T12:00:00+00:00", schedule="0 4 * * 1-5")
    declare("2026-06-10T12:00:00+00:00", schedule="0 4 * * 1-5")
    daily = weekdays.model_copy(update={"schedule": "0 4 * * *"})
    assert _run_days(daily, "2026-06-05", "2026-06-13") == [5, 8, 9, 10, 11, 12, 13]
    assert len(ledger.entries(kind="scheduled")) == 1


def test_days_of_the_week_that_are_changed_are_so_from_then_on_and_holidays_whenever_they_are(declare):
    declare("2026-06-01T12:00:00+00:00", expected=Expected(holidays=(date(2026, 5, 25),)))
    weekend = declare("2026-06-10T12:00:00+00:00", expected=WEEKEND)
    days = schedule.expected_days(weekend, "schedule", date(2026, 5, 24), date(2026, 6, 21))
    # The holiday is no longer named; it is still none of the days that were missed.
    assert [day.day for day in days] == [24, *range(26, 32), *range(1, 11), 13, 14, 20, 21]
    named = declare(
        "2026-06-11T12:00:00+00:00", expected=Expected(weekdays=("sat", "sun"), holidays=(date(2026, 6, 3),))
    )
    assert not _is_expected(named, "schedule", date(2026, 6, 3))
    assert _is_expected(named, "schedule", date(2026, 6, 4))


def test_the_run_of_an_earlier_day_lands_what_was_expected_of_it_then(declare):
    declare("2026-06-01T12:00:00+00:00", expected=WEEKEND)
    daily = declare("2026-06-10T12:00:00+00:00", expected=Expected())
    Landing(daily.landing_url).create()
    assert completion.due_sources(daily, ["2026-06-03"]) == []
    assert completion.due_sources(daily, ["2026-06-11"]) == ["schedule", "arrivals", "weather"]


def test_starts_is_about_the_past(declare):
    declare("2026-06-01T12:00:00+00:00", starts=date(2026, 6, 1))
    earlier = declare("2026-06-10T12:00:00+00:00", starts=date(2026, 5, 30))
    assert _run_days(earlier, "2026-05-25", "2026-06-02") == [30, 31, 1, 2]
    later = declare("2026-06-11T12:00:00+00:00", starts=date(2026, 6, 8))
    assert _run_days(later, "2026-05-25", "2026-06-10") == [8, 9, 10]


def test_a_source_that_is_new_is_judged_by_what_is_declared_now(declare):
    live = declare("2026-06-01T12:00:00+00:00")
    without = live.model_copy(
        update={"sources": {name: each for name, each in live.sources.items() if name != "weather"}}
    )
    ledger.append(
        schedule.declared_now(without),
        pipeline="flights",
        subject="schedule",
    )
    now = declare("2026-06-10T12:00:00+00:00", deadline="07:00")
    assert _utc(schedule.deadline(now, "weather", date(2026, 6, 5))) == "05 11:00"
    assert _utc(schedule.deadline(now, "arrivals", date(2026, 6, 5))) == "05 10:00"


def test_a_thousand_days_are_told_within_a_second(declare):
    import time

    for month in range(1, 7):
        live = declare(f"2026-0{month}-10T12:00:00+00:00", schedule=f"{month} 4 * * *")
    started = time.process_time()
    known = schedule.read(live)
    days = known.run_days(date(2023, 6, 1), date(2026, 6, 1))
    for day in days:
        known.due_at(day)
        for source in live.sources:
            known.deadline(source, day)
    assert len(days) == 1097
    assert time.process_time() - started < 1


def test_a_source_that_is_new_is_not_expected_of_days_before_it(declare):
    """It was added on 10 June at noon, to a pipeline that runs at 04:00 and has run since the first."""
    without = declare("2026-06-01T12:00:00+00:00", starts=date(2026, 6, 1))
    record = ledger.entries(kind="scheduled")[0].data
    assert "weather" in record["deadlines"]
    old = without.model_copy(
        update={"sources": {name: one for name, one in without.sources.items() if name != "weather"}}
    )
    ledger.append(
        schedule.declared_now(old),
        pipeline="flights",
        subject="schedule",
    )
    live = declare("2026-06-10T16:00:00+00:00", starts=date(2026, 6, 1))
    days = schedule.expected_days(live, "weather", date(2026, 6, 1), date(2026, 6, 12))
    assert [day.day for day in days] == [10, 11, 12], (
        "of the run of the eleventh on, whose data is of the tenth"
    )
    assert len(schedule.expected_days(live, "arrivals", date(2026, 6, 1), date(2026, 6, 12))) == 12
    assert not deliveries.is_expected(live, "weather", "2026-06-10")
    assert deliveries.is_expected(live, "weather", "2026-06-11")


@pytest.mark.parametrize(("cron", "deadline", "refused"), [
    ("0 4 * * *", "03:59", True), ("0 4 * * *", "04:00", False), ("0 4,16 * * *", "15:00", False),
])  # fmt: skip
def test_a_deadline_before_the_run_is_refused_by_check(declare, cron, deadline, refused):
    live = declare("2026-06-01T12:00:00+00:00", schedule=cron, deadline=deadline)
    if refused:
        with pytest.raises(
            SpecInvalidError, match=r"The deadline of schedule, 03:59, comes before .* at 04:00"
        ):
            schedule.check(live)
    else:
        schedule.check(live)
    schedule.check(live.model_copy(update={"clock": "feed"}))
