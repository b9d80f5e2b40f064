"""When a pipeline is due to run, and which days of its tables are expected: decided from what its YAML declares.

The rule kept here: a run day is a local day, and what is due on it is an instant. Where a clock change skips or repeats a
local time, it is the instant that Airflow's timetable takes, so that both agree about every run. And what was due stays due:
a schedule, zone, calendar or deadline that is changed counts from the change on, because `record` keeps the earlier ones in
the ledger. Only `starts` is about the past: it says since when anything is due.
"""

from __future__ import annotations

from datetime import date, datetime
from itertools import pairwise

from sluice import ledger
from sluice.core import clock
from sluice.core.errors import SpecInvalidError
from sluice.core.partitions import date_of
from sluice.declare import pipeline_clock
from sluice.declare.spec import Pipeline
from sluice.ledger import Entry, records
from sluice.schedule.declared import as_declared_then, declared_now
from sluice.schedule.eras import Era, Schedule

__all__ = [
    "Schedule",
    "check",
    "deadline",
    "declared_now",
    "due_at",
    "expected_days",
    "expects",
    "is_overdue",
    "next_due",
    "read",
    "record",
    "run_days",
    "scoring_time",
]


def run_days(spec: Pipeline, first: date, last: date) -> list[date]:
    """As `Schedule.run_days`."""
    return read(spec).run_days(first, last)


def expected_days(spec: Pipeline, table: str, first: date, last: date) -> list[date]:
    """As `Schedule.expected_days`."""
    return read(spec).expected_days(table, first, last)


def expects(spec: Pipeline, table: str, run_day: date) -> bool:
    """As `Schedule.expects`."""
    return read(spec).expects(table, run_day)


def due_at(spec: Pipeline, run_day: date) -> datetime:
    """As `Schedule.due_at`."""
    return read(spec).due_at(run_day)


def scoring_time(spec: Pipeline, day: date) -> datetime:
    """When the predictions of a day are made if nothing is late: as `Schedule.time_of`."""
    return read(spec).time_of(day)


def deadline(spec: Pipeline, source: str, run_day: date) -> datetime:
    """As `Schedule.deadline`."""
    return read(spec).deadline(source, run_day)


def is_overdue(spec: Pipeline, source: str, day: str) -> bool:
    """Whether the deadline of a delivery has come, by the wall clock of a live pipeline.

    Of a replayed one it always has: its runs are started by whoever has delivered.

    Args:
        day: of the data (YYYY-MM-DD).
    """
    if spec.clock == "feed":
        return True
    run_day = date_of(spec.run_day(source, day))
    return clock.passed(pipeline_clock.now(spec), deadline(spec, source, run_day))


def next_due(spec: Pipeline, after: datetime) -> datetime:
    """As `Schedule.next_due`."""
    return read(spec).next_due(after)


def check(spec: Pipeline) -> None:
    """Make sure that a pipeline is due at some time, and no delivery of a live one before its run.

    Raises:
        SpecInvalidError: it is never due, or a deadline comes before the schedule fires: nobody would be told at its time.
    """
    known = read(spec)
    due = known.next_due(clock.utc_now())
    if spec.clock == "feed":
        return
    for name in spec.sources:
        at = known.deadline(name, due.date())
        if not clock.passed(at, due):
            raise SpecInvalidError(
                f"The deadline of {name}, {at:%H:%M}, comes before the run of the day is due, at {due:%H:%M}: "
                "who waits for it begins to wait after it.",
                where=f"dags/pipelines/{spec.pipeline}.yml",
                allowed="a deadline at or after the first time at which `schedule` fires",
                todo=f"set `deadline` of {name} to {due:%H:%M} or later, or an earlier `schedule`",
            )


def record(spec: Pipeline) -> None:
    """Keep what a live pipeline declares now, where it is not what it declared before."""
    if spec.clock == "feed":
        return
    known = _recorded(spec)
    if known and known[-1].record == declared_now(spec):
        return
    ledger.append(
        declared_now(spec),
        pipeline=spec.pipeline,
        subject="schedule",
        once=f"scheduled:{spec.pipeline}:{known[-1].seq if known else 0}",
    )


def read(spec: Pipeline) -> Schedule:
    """The schedule of a pipeline, with the earlier ones that the ledger knows; whoever asks often reads it once."""
    if spec.clock == "feed":
        return Schedule((Era(spec),))
    known = [(entry.at, entry.record) for entry in _recorded(spec)]
    if known and known[-1][1] != declared_now(spec):
        known.append((clock.utc_now(), declared_now(spec)))
    # What was declared before the first record is not known: that counts from the beginning.
    past = [Era(as_declared_then(spec, declared), until) for (_, declared), (until, _) in pairwise(known)]
    return Schedule((*past, Era(spec)))


def _recorded(spec: Pipeline) -> list[Entry[records.Scheduled]]:
    """Oldest first."""
    return ledger.entries(records.Scheduled, pipeline=spec.pipeline, subject="schedule")[::-1]
