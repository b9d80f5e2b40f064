"""When a pipeline is due to run, and which days of its tables are expected: decided from what its YAML declares.

The rule kept here: a run day is a local day, and what is due on it is an instant. Where a clock change skips or repeats a
local time, it is the same instant that Airflow's timetable takes, so that both agree about every run.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sluice import clock
from sluice.errors import DayInvalidError, SpecInvalidError
from sluice.spec import PREDICTIONS, Pipeline

_DAY = timedelta(days=1)
# No schedule waits longer for its next day: from 29 February to the next takes eight years around 2100.
_LONGEST_WAIT_DAYS = 9 * 366
# How many days `next_due` looks through at a time.
_STRIDE = timedelta(days=62)


def run_days(spec: Pipeline, first: date, last: date) -> list[date]:
    """Days between two, both included, on which the pipeline is due to run, oldest first.

    A live pipeline is due on the local days on which its `schedule` fires, once however often it fires, from `starts` on;
    a replayed one every day. Days on which no table is expected to get a partition (`expected`) are left out.
    """
    return [day for day in _firing_days(spec, first, last) if _is_anything_expected(spec, day)]


def expected_days(spec: Pipeline, table: str, first: date, last: date) -> list[date]:
    """Days of a table's data between two, both included, that a run is due to publish, oldest first.

    None of a weekly source: it is due a week after its last delivery, whatever day that is.
    """
    if not _is_daily(spec, table):
        return []
    lag = timedelta(days=spec.lag_days(table))
    days = (run_day - lag for run_day in _firing_days(spec, first + lag, last + lag))
    return [day for day in days if spec.expected_of(table).includes(day)]


def is_expected(spec: Pipeline, table: str, day: date) -> bool:
    """Whether a run is due to publish a day of a table."""
    return bool(expected_days(spec, table, day, day))


def due_at(spec: Pipeline, run_day: date) -> datetime:
    """The instant at which the run of a day is to start, in the pipeline's zone: the first time its `schedule` fires.

    A replayed pipeline has no such time: its day is due from its beginning on.

    Raises:
        DayInvalidError: the schedule does not fire on that day.
    """
    zone = ZoneInfo(spec.timezone)
    if spec.clock == "feed":
        return clock.instant(datetime.combine(run_day, time.min), zone)
    fires, hourly = _first_firing(spec, run_day)
    if fires is None or fires.date() != run_day:
        raise DayInvalidError(
            f"Pipeline {spec.pipeline!r} does not run on {run_day}.",
            where=f"dags/pipelines/{spec.pipeline}.yml",
            allowed=f"days on which its schedule {spec.schedule!r} fires",
            todo="choose one of them, or correct the schedule",
        )
    return clock.instant(fires, zone, first=hourly)


def deadline(spec: Pipeline, source: str, run_day: date) -> datetime:
    """The instant by which a source must be delivered on a run day, in the pipeline's zone."""
    return clock.deadline(run_day, spec.source(source).deadline, ZoneInfo(spec.timezone))


def next_due(spec: Pipeline, after: datetime) -> datetime:
    """The first instant after another at which a run is to start.

    Raises:
        SpecInvalidError: there is none: `expected` leaves out every day on which the schedule fires.
    """
    # A time that a clock change skips may come on the day after.
    begin = after.astimezone(ZoneInfo(spec.timezone)).date() - _DAY
    first = begin
    while first - begin < timedelta(days=_LONGEST_WAIT_DAYS):
        for run_day in run_days(spec, first, first + _STRIDE):
            at = due_at(spec, run_day)
            if at.astimezone(UTC) > after.astimezone(UTC):
                return at
        # A pipeline that starts later is looked at from there on.
        first = max(first + _STRIDE + _DAY, spec.starts or first)
        begin = max(begin, spec.starts or begin)
    raise SpecInvalidError(
        f"Pipeline {spec.pipeline!r} never runs: its schedule {spec.schedule!r} fires on no day that is expected.",
        where=f"dags/pipelines/{spec.pipeline}.yml",
        todo="correct `schedule` or `expected`",
    )


def _firing_days(spec: Pipeline, first: date, last: date) -> Iterator[date]:
    """Days on which a run is due but for `expected`."""
    if spec.clock == "feed":
        yield from (first + timedelta(days=offset) for offset in range((last - first).days + 1))
        return
    zone = ZoneInfo(spec.timezone)
    day = max(first, spec.starts or first)
    while day <= last:
        fires, _ = _first_firing(spec, day)
        if fires is None or fires.date() > last:
            return
        if _exists(fires.date(), zone):
            yield fires.date()
        day = fires.date() + _DAY


def _first_firing(spec: Pipeline, day: date) -> tuple[datetime | None, bool]:
    """The first local time from a day on at which the schedule fires, and whether it fires at every hour of a day.

    As Airflow's timetable has it: of a schedule that names hours, an hour that is repeated counts once.
    """
    from croniter import CroniterBadDateError, croniter  # type: ignore[import-untyped]

    cron = croniter(spec.schedule, datetime.combine(day, time.min) - timedelta(seconds=1))
    try:
        return cron.get_next(datetime), cron.expanded[1] == ["*"]
    except CroniterBadDateError:  # it does not fire again within croniter's horizon
        return None, False


def _exists(day: date, zone: ZoneInfo) -> bool:
    """Whether a zone has a day: one that moves across the date line skips one."""
    begins, ends = (clock.instant(datetime.combine(each, time.min), zone) for each in (day, day + _DAY))
    return begins.astimezone(UTC) < ends.astimezone(UTC)


def _is_anything_expected(spec: Pipeline, run_day: date) -> bool:
    tables = [table for table in (*spec.sources, *spec.derived) if _is_daily(spec, table)]
    return any(
        spec.expected_of(table).includes(run_day - timedelta(days=spec.lag_days(table))) for table in tables
    )


def _is_daily(spec: Pipeline, table: str) -> bool:
    if table in spec.sources:
        return spec.sources[table].cadence == "daily"
    return table in spec.derived or table == PREDICTIONS
