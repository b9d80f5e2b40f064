"""Which sources a run follows, and when its raw day is complete: decided from the landing zone and the tables."""

from __future__ import annotations

from collections.abc import Sequence

from sluice import ledger
from sluice.core.errors import InputAwaitedError, TableMissingError
from sluice.core.runs import Run
from sluice.declare.spec import Pipeline
from sluice.ingest.deliveries import due
from sluice.ingest.waiting import is_delivered
from sluice.lake import tables
from sluice.lake.landing import Landing
from sluice.ledger import records, skips


def due_sources(spec: Pipeline, run_days: Sequence[str]) -> list[str]:
    """Sources that the run of these days must land, in the order of the pipeline's YAML.

    Raises:
        LandingUnreachableError: the landing zone does not answer.
    """
    return list(_due_days(spec, run_days, Landing(spec.landing_url)))


def _due_days(spec: Pipeline, run_days: Sequence[str], landing: Landing) -> dict[str, list[str]]:
    """Source -> the run days among some that must land it: it is due, and nobody gave it up or it came all the same."""
    given_up = skips.given_up(spec.pipeline)
    found = {
        source: [
            day
            for day in run_days
            if due(spec, source, day, landing=landing)
            and ((source, spec.data_day(source, day)) not in given_up or is_delivered(spec, source, day))
        ]
        for source in spec.sources
    }
    return {source: days for source, days in found.items() if days}


def complete(spec: Pipeline, run_days: Sequence[str], run: Run, *, lenient: bool = False) -> dict[str, int]:
    """Record that all due sources of a day are published, with the snapshot of each.

    Args:
        lenient: go on without daily sources that lag behind the run day: what is built then says how old its input is.

    Raises:
        TableMissingError: one of them is not published; as InputAwaitedError where it was not delivered, or `lenient`: the
            watcher, or whoever could not publish it, says so.
    """
    snapshots: dict[str, int] = {}
    stale = []
    for source, due_days in _due_days(spec, run_days, Landing(spec.landing_url)).items():
        days = [spec.data_day(source, day) for day in due_days]
        snapshot = tables.snapshot_id(spec.pipeline, source)
        shown = tables.published(spec.pipeline, source, days[0], days[-1])
        missing = [day for day in days if day not in shown]
        # Of a weekly source a range is one batch, whatever days of it were delivered.
        if snapshot is None or not shown or (missing and spec.source(source).cadence == "daily"):
            if lenient and spec.lag_days(source):
                stale.append(source)
                continue
            awaited = lenient or not all(is_delivered(spec, source, day) for day in due_days)
            raise (InputAwaitedError if awaited else TableMissingError)(
                f"{spec.pipeline}.{source} has nothing published for {', '.join(missing[:5])}"
                f"{f' and {len(missing) - 5} more days' if len(missing) > 5 else ''}.",
                where=f"the day {run_days[-1]}",
                todo=f"look at publish_{source} of this run",
            )
        snapshots[source] = snapshot
    ledger.append(
        records.DayCompleted(first_day=run_days[0], snapshots=snapshots, stale=stale),
        pipeline=spec.pipeline,
        subject="raw",
        partition=run_days[-1],
        run=run.run_id,
    )
    return snapshots
