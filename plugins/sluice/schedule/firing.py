"""When a declared schedule fires: on which local days, and at which instant of each.

The rule kept here: where a clock change skips or repeats a local time, it is the instant that Airflow's timetable takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sluice.core import clock
from sluice.declare.spec import Pipeline

if TYPE_CHECKING:
    from croniter import croniter

_DAY = timedelta(days=1)


def days(spec: Pipeline, first: date, last: date) -> Iterator[date]:
    """Days between two, both included, on which a schedule fires; of a replayed pipeline, all."""
    if spec.clock == "feed":
        yield from (first + timedelta(days=offset) for offset in range((last - first).days + 1))
        return
    zone, day = ZoneInfo(spec.timezone), first
    while day <= last:
        fires, _ = _first(spec.schedule, day)
        if fires is None or fires.date() > last:
            return
        if _exists(fires.date(), zone):
            yield fires.date()
        day = fires.date() + _DAY


def at(spec: Pipeline, day: date) -> datetime | None:
    """The instant at which a schedule first fires on a day; of a replayed pipeline, when the day begins.

    As Airflow's timetable has it, a schedule that names hours fires once in an hour that is repeated: the second time.

    Returns: in the pipeline's zone; None where it does not fire on that day.
    """
    zone = ZoneInfo(spec.timezone)
    if spec.clock == "feed":
        return clock.instant(datetime.combine(day, time.min), zone, first=True)
    fires, hourly = _first(spec.schedule, day)
    return clock.instant(fires, zone, first=hourly) if fires and fires.date() == day else None


@lru_cache(maxsize=4096)
def _first(schedule: str, day: date) -> tuple[datetime | None, bool]:
    """The first local time from a day on at which a schedule fires, and whether it fires in every hour of a day."""
    from croniter import CroniterBadDateError

    # Finding a time moves it. To read a schedule takes longer than to find its next time.
    cron = copy(_read(schedule))
    begins = datetime.combine(day, time.min) - timedelta(seconds=1)
    try:
        return cron.get_next(datetime, start_time=begins), cron.expanded[1] == ["*"]
    except CroniterBadDateError:  # it does not fire again within croniter's horizon
        return None, False


@lru_cache(maxsize=64)
def _read(schedule: str) -> croniter:
    from croniter import croniter

    return croniter(schedule)


def _exists(day: date, zone: ZoneInfo) -> bool:
    """Whether a zone has a day: one that moves across the date line skips one."""
    begins, ends = (clock.instant(datetime.combine(each, time.min), zone) for each in (day, day + _DAY))
    return begins.astimezone(UTC) < ends.astimezone(UTC)
