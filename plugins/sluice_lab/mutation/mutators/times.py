"""Damage: clocks, days and time zones."""

from __future__ import annotations

from datetime import timedelta

from sluice_lab.mutation.draft import Draft
from sluice_lab.mutation.mutators.registry import DAILY, FLIGHTS, mutator
from sluice_lab.mutation.mutators.values import clock, minute


def _clocks(draft: Draft) -> list[str]:
    both = ("sched_dep_time", "sched_arr_time") if draft.source == "schedule" else ("dep_time", "arr_time")
    return list(draft.rng.choice((both, both, both[:1], both[1:])))


@mutator("time zones", sources=FLIGHTS)
def clocks_in_another_zone(draft: Draft) -> str:
    """Clock readings are in another time zone: an hour (daylight saving) to five (UTC) off."""
    hours, names = draft.rng.choice((-3, -1, 1, 1, 4, 5)), _clocks(draft)
    rows, where = draft.rows()
    for name in names:
        draft.change(name, rows, lambda v: clock(minute(v) + 60 * hours))
    return f"{', '.join(names)} {hours:+d} h {where}"


@mutator("time zones", sources=("weather",))
def instants_in_another_zone(draft: Draft) -> str:
    """Instants are off by whole hours: local time sold as UTC, or daylight saving forgotten."""
    hours = draft.rng.choice((-5, -4, -1, 1, 4, 5))
    rows, where = draft.rows()
    draft.change("observed_at", rows, lambda v: v + timedelta(hours=hours))
    return f"observed_at {hours:+d} h {where}"


@mutator("time zones", sources=FLIGHTS)
def twelve_hour_clock(draft: Draft) -> str:
    """Clock readings have lost their afternoon: 17:10 is 5:10."""
    names = _clocks(draft)
    rows, where = draft.rows()
    for name in names:
        draft.change(name, rows, lambda v: v - 1200 if v >= 1300 else v)
    return f"{', '.join(names)} on a twelve-hour clock {where}"


@mutator("dates", sources=DAILY)
def dates_are_off(draft: Draft) -> str:
    """Dates are off by a day, a month or a year, in all rows or in some."""
    name = "observed_at" if draft.source == "weather" else "flight_date"
    days = draft.rng.choice((-1, 1, 30, -365, 365))
    rows, where = draft.rows()
    draft.change(name, rows, lambda v: v + timedelta(days=days))
    return f"{name} {days:+d} days {where}"


@mutator("dates", sources=DAILY)
def dates_spelled_otherwise(draft: Draft) -> str:
    """Dates are written in another order, or without an offset."""
    if draft.source == "weather":
        draft.change("observed_at", range(draft.size), lambda v: v.strftime("%Y-%m-%d %H:%M"))
        return "observed_at has no offset"
    spelling = draft.rng.choice(("%d/%m/%Y", "%m/%d/%Y", "%Y%m%d", "%d.%m.%Y"))
    draft.change("flight_date", range(draft.size), lambda v: v.strftime(spelling))
    return f"flight_date is written {spelling}"
