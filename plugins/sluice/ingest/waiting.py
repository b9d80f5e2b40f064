"""How long a run of a live pipeline waits for a delivery, and whether it is there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sluice import schedule
from sluice.core import clock
from sluice.core.errors import LandingUnreachableError, SluiceError
from sluice.core.partitions import date_of
from sluice.declare import pipeline_clock, stale_input
from sluice.declare.spec import Pipeline
from sluice.ingest import deliveries

# Shorter than a run of `<pipeline>_ingest` may take.
LONGEST = timedelta(days=7)


def awaits(spec: Pipeline, table: str, run_days: Sequence[str]) -> bool:
    """Whether the run of a day waits for a source: one day of a live pipeline, whose delivery may still come in its time.

    Raises:
        LandingUnreachableError: the landing zone does not answer.
    """
    if spec.clock != "wall" or table not in spec.sources or len(run_days) > 1:
        return False
    if is_delivered(spec, table, run_days[0]):
        return False
    return not clock.passed(pipeline_clock.now(spec), until(spec, table, run_days[0]))


def until(spec: Pipeline, source: str, run_day: str) -> datetime:
    """The instant up to which the run of a day waits for a source.

    It is when the next run is due, and a week after its own at most: a day whose file comes later is started again then.
    Where a pipeline goes on without sources that lag (`stale_input: mark`), it does so after their deadline.
    """
    day = date_of(run_day)
    if stale_input.may_lag(spec, source):
        return schedule.deadline(spec, source, day)
    due = schedule.due_at(spec, day)
    return min(schedule.next_due(spec, due), due + LONGEST)


def is_delivered(spec: Pipeline, source: str, run_day: str) -> bool:
    """Whether anything was delivered, usable or not: of what cannot be used its own task says so.

    Raises:
        LandingUnreachableError: the landing zone does not answer.
    """
    try:
        return deliveries.find(spec, source, run_day) is not None
    except LandingUnreachableError:
        raise
    except SluiceError:
        return True
