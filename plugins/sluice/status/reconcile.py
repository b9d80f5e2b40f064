"""Start what is due, possible and not done: decided from the status of a pipeline, never from which runs there were.

The rule kept here: a run that was killed, skipped, marked, deleted or never made is made up for, oldest day first; what is held
waits for a person; and what was started in vain is started again after a pause that doubles each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sluice import holds, ledger, schedule, status
from sluice.core import clock
from sluice.core.partitions import date_of, day_of, days_between
from sluice.core.runs import Run
from sluice.declare.spec import Pipeline
from sluice.ledger import Entry, records
from sluice.status import STAGES, Item, Status

# Days of one stage that are started at a look; ingestion and training take one after the other.
STARTS = {"ingest": 1, "transform": 4, "score": 4, "monitor": 4, "train": 1}
# What has just been published is left to the event that it sends: Airflow makes its run within seconds.
_GRACE = timedelta(minutes=2)
# Pause before the same is started again, which doubles up to a day.
_PAUSE, _LONGEST_PAUSE = timedelta(minutes=10), timedelta(days=1)
# Starts of the same after which somebody is told: they take an hour and ten minutes.
IN_VAIN = 3


@dataclass(frozen=True)
class Start:
    """A run that is to be started."""

    stage: str
    # Its partition key.
    run_day: str
    # What calls for it.
    items: tuple[Item, ...]
    # 1, or how often it has been started for the same reasons.
    attempt: int = 1

    @property
    def because(self) -> tuple[str, ...]:
        return tuple(item.sentence() for item in self.items)

    @property
    def is_in_vain(self) -> bool:
        """Whether it has been started so often without an end that somebody has to look; a run that waits is none."""
        return self.attempt > IN_VAIN and any(item.is_possible for item in self.items)


def plan(
    spec: Pipeline, active: Mapping[str, int], found: Status | None = None, *, waits: bool = False
) -> list[Start]:
    """What is to be started now.

    Args:
        active: stage -> runs of it that have not ended; a stage that is not named is not started (it is paused, say).
        found: the pipeline's status, for whoever has asked for it.
        waits: whether a run of ingest, which is not among the active ones, waits for a delivery.

    Raises:
        LandingUnreachableError: the landing zone does not answer.
    """
    found = found or status.of(spec)
    if found.now is None:
        return []
    earlier = _newest_starts(spec)
    # The ledger's times are the wall clock's, also those of a replayed pipeline.
    now = clock.utc_now()
    fresh = _fresh(spec, now)
    # A run waits until the next is due: it is that of the newest day of the schedule, and goes on by itself with whatever comes.
    newest = _newest_scheduled(spec, found)
    # It waits for something, unless it is that of the day before, and about to give up; what came may be a moment old.
    is_awaiting = any(item.state in ("awaited", "missing") for item in found.of("ingest").get(newest, ()))
    at_work = {newest} if waits and (is_awaiting or ("ingest", newest) in earlier) else set()
    starts = []
    for stage in STAGES:
        if stage not in active:
            continue
        # A run that is at work may be that of any of its days: Airflow tells a task only how many there are.
        room = 0 if active[stage] else STARTS[stage]
        wanted = (
            start
            for run_day, items in found.of(stage).items()
            if (start := _start(spec, stage, run_day, items, earlier, now))
            and run_day not in (at_work if stage == "ingest" else fresh)
        )
        starts += [start for start, _ in zip(wanted, range(room), strict=False)]
    return starts


def _newest_scheduled(spec: Pipeline, found: Status) -> str:
    """The newest run day that the schedule and the calendars have, whatever else was delivered since; "" if there is none."""
    days = sorted({item.run_day for item in found})
    if not days:
        return ""
    scheduled = schedule.run_days(spec, date_of(days[0]), date_of(days[-1]))
    return day_of(scheduled[-1]) if scheduled else ""


def record(spec: Pipeline, start: Start, run: Run) -> Entry:
    """Record that a run is started, before it is."""
    return ledger.append(
        records.Started(because=list(start.because), attempt=start.attempt),
        pipeline=spec.pipeline,
        subject=start.stage,
        partition=start.run_day,
        run=run.run_id,
    )


def _start(
    spec: Pipeline,
    stage: str,
    run_day: str,
    items: Iterable[Item],
    earlier: Mapping[tuple[str, str], Entry],
    now: datetime,
) -> Start | None:
    start = Start(stage, run_day, tuple(item for item in items if _calls_for_a_run(spec, item)))
    entry = earlier.get((stage, run_day))
    if not start.items or entry is None or entry.record.because != start.because:
        return start if start.items else None
    attempt = entry.record.attempt
    # The longest is reached long before as many doublings; after a month of tries, a timedelta could not hold them.
    pause = min(_PAUSE * 2 ** min(attempt - 1, 16), _LONGEST_PAUSE)
    return None if now < entry.at + pause else replace(start, attempt=attempt + 1)


def _newest_starts(spec: Pipeline) -> dict[tuple[str, str], Entry]:
    """Stage and run day -> the last start of it."""
    started = ledger.entries(records.Started, pipeline=spec.pipeline)
    return {(entry.subject, entry.partition or ""): entry for entry in reversed(started)}


def _calls_for_a_run(spec: Pipeline, item: Item) -> bool:
    """Whether a run can do something for it now; that of a live pipeline can also wait for a daily delivery."""
    if item.state != "awaited":
        return item.is_possible
    return spec.clock == "wall" and spec.sources[item.table].cadence == "daily"


def _fresh(spec: Pipeline, now: datetime) -> set[str]:
    """Run days of which something was published or decided a moment ago."""
    found: set[str] = set()
    for entry in ledger.entries(records.Published, pipeline=spec.pipeline, since=now - _GRACE):
        found.update(holds.run_days_of(spec, entry.subject, entry.days))
    for done in ledger.entries(records.DayCompleted, pipeline=spec.pipeline, since=now - _GRACE):
        found.update(days_between(done.record.first_day, done.days.last))
    for kind in ("decided", "retrain_requested"):
        asked = ledger.entries(kind=kind, pipeline=spec.pipeline, since=now - _GRACE)
        found.update(entry.partition or "" for entry in asked)
    return found
