"""Events of what is started again and again and does not come to be: one mail, whatever keeps it from being done.

The rule kept here: it is told only where no other mail tells of it, and it is over when `sluice.status` says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sluice.core import clock, dag_ids
from sluice.core.settings import settings
from sluice.declare.spec import Pipeline
from sluice.ledger.records import EndsWith
from sluice.notify import faults, reader_impact, resolution, steps
from sluice.notify.events import Event
from sluice.status.reconcile import Start

KIND = "stuck_day"


def events(spec: Pipeline, starts: Iterable[Start], *, task_url: str) -> Iterator[Event]:
    """Yield the event of each start that has been made in vain for so long that somebody has to look."""
    for start in starts:
        if start.is_in_vain and not _is_reported(spec, start):
            yield _event(spec, start, task_url)


def _is_reported(spec: Pipeline, start: Start) -> bool:
    """Whether a mail about something else of this stage and day is open."""
    parts = {(item.table, item.day) for item in start.items}
    for incident in faults.incidents(spec.pipeline):
        for seen in incident.open_occurrences.values():
            if seen.record.event == KIND:
                continue
            tables = resolution.tables_of(spec, seen)
            if any(day in tables.get(table, ()) for table, day in parts):
                return True
            of_stage = dag_ids.parts(seen.record.dag_id or "_")[1] == start.stage
            if of_stage and start.run_day in resolution.occurrence_days(seen):
                return True
    return False


def _event(spec: Pipeline, start: Start, task_url: str) -> Event:
    dag_id, possible = f"{spec.pipeline}_{start.stage}", [item for item in start.items if item.is_possible]
    first = possible[0]
    table = first.table if first.table in spec.tables else ""
    skip = f"sluice skip {spec.pipeline} {start.run_day} --by NAME --why REASON"
    return Event(
        kind=KIND,
        pipeline=spec.pipeline,
        subject=dag_id,
        partition=start.run_day,
        table=table,
        cause="started in vain",
        ends_with=EndsWith.of("run", *(item.table for item in possible)),
        owner=spec.owner,
        effect=reader_impact.undone(spec, first),
        summary=f"It was started {start.attempt - 1} times, and nothing has come of it. {' '.join(start.because)}",
        facts={"Starts": str(start.attempt - 1)},
        not_published=steps.not_published(spec, table) if table else (),
        next_steps=(
            f"Open the runs of {dag_id} of this day: do they wait for a worker, a pool or another run, and who ended them?",
            "When the cause is gone nothing else is needed: it is started again by itself, at least once a day.",
        ),
        commands={
            f"sluice status {spec.pipeline} --first {start.run_day} --last {start.run_day}": "what is not done, and why",
            f"sluice ledger --pipeline {spec.pipeline} --kind started": "when it was started",
            **(
                {skip: "give up what is not published of the day"} if table and first.batch_id is None else {}
            ),
        },
        links={"Runs": f"{settings().ui_url}/dags/{dag_id}/runs", "Task": task_url},
        occurred_at=clock.utc_now(),
    )
