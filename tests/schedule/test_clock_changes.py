"""A deadline on the days that have 23 and 25 hours: in New York 2026-03-08 and 2026-11-01, at 02:00."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sluice import watch
from sluice.core import clock
from sluice.declare import pipeline_clock, spec
from sluice.status.catalogue import readiness
from sluice_lab import feed

NEW_YORK = ZoneInfo("America/New_York")
SPRING, AUTUMN = date(2026, 3, 8), date(2026, 11, 1)


@pytest.mark.parametrize(
    ("day", "at", "instant"),
    [
        (SPRING, "01:59", "06:59"),
        (SPRING, "02:00", "07:00"),  # skipped: clocks show 03:00
        (SPRING, "02:30", "07:30"),  # skipped: clocks show 03:30
        (SPRING, "03:00", "07:00"),
        (SPRING, "06:00", "10:00"),
        (AUTUMN, "00:59", "04:59"),
        (AUTUMN, "01:00", "06:00"),  # repeated: the second one
        (AUTUMN, "01:30", "06:30"),
        (AUTUMN, "02:00", "07:00"),
        (date(2026, 7, 1), "02:30", "06:30"),
    ],
)
def test_deadline_has_one_instant_also_where_the_clock_skips_or_repeats_it(day, at, instant):
    due = clock.deadline(day, at, NEW_YORK)
    assert due.astimezone(UTC) == datetime.fromisoformat(f"{day}T{instant}+00:00")
    assert due.tzinfo is NEW_YORK


@pytest.mark.parametrize("day", [SPRING, AUTUMN])
def test_deadlines_of_a_day_pass_in_their_order_and_never_before_their_time(day):
    times = [f"{hour:02d}:{minute:02d}" for hour in range(24) for minute in (0, 30)]
    begin = datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).astimezone(UTC)
    for at in times:
        due = clock.deadline(day, at, NEW_YORK)
        moments = [begin + timedelta(minutes=minutes) for minutes in range(26 * 60)]
        overdue = [clock.passed(moment.astimezone(NEW_YORK), due) for moment in moments]
        assert overdue == sorted(overdue), "what is overdue stays so"
        first = moments[overdue.index(True)].astimezone(NEW_YORK)
        assert f"{first:%H:%M}" >= at


@pytest.mark.parametrize(
    ("deadline", "now", "missed"),
    [
        ("01:30", "2013-11-03T05:45+00:00", False),  # 01:45, for the first time
        ("01:30", "2013-11-03T06:15+00:00", False),  # 01:15, for the second time
        ("01:30", "2013-11-03T06:30+00:00", True),
        ("02:30", "2013-03-10T07:15+00:00", False),  # 03:15
        ("02:30", "2013-03-10T07:30+00:00", True),
    ],
)
def test_watcher_goes_by_instants_in_the_hour_of_a_clock_change(home, monkeypatch, deadline, now, missed):
    flights = spec.load("flights")
    source = flights.sources["schedule"].model_copy(update={"deadline": deadline})
    flights = flights.model_copy(update={"sources": {"schedule": source}})
    moment = datetime.fromisoformat(now).astimezone(NEW_YORK)
    feed.deliver(flights, (moment.date() - timedelta(days=1)).isoformat(), sources=["schedule"])
    pipeline_clock.advance(flights, moment.date())
    monkeypatch.setattr(pipeline_clock, "now", lambda _: moment)
    found = [each for each in watch.missed_deliveries(flights) if each.run_day == moment.date().isoformat()]
    assert bool(found) is missed
    shown = (moment.date() - timedelta(days=1)).isoformat()
    assert readiness.days_late(flights, "schedule", shown, moment) == (1 if missed else 0)
