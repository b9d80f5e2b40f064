"""The watcher: what should have happened and did not, and what was changed by something else than the pipeline.

The rule kept here: it asks the clock, the landing zone, the tables and the ledger, never the run that should have been, so
that a run that did not happen, or a scheduler that was off, hides nothing. It may look as often as it likes: the same finding
is the same fault, and is told once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sluice import holds, ledger, schedule, status, waivers
from sluice.core.errors import DeliveryMissingError, LandingUnreachableError
from sluice.core.partitions import day_of, days_later
from sluice.declare import pipeline_clock
from sluice.declare.spec import Pipeline
from sluice.ingest import deliveries, unexpected
from sluice.ingest.unexpected import LandingScan
from sluice.lake import rewrites
from sluice.lake.rewrites import Rewrite
from sluice.ledger import records
from sluice.notify import faults, resolution
from sluice.waivers import inherited
from sluice.waivers.inherited import Rebuild

# Run days back from today of which every look counts what is missing. What is missing for longer is told once.
WATCHED_DAYS = 7


@dataclass(frozen=True)
class Missed:
    """A delivery that was not in by its deadline, and is not in yet."""

    source: str
    run_day: str
    day: str
    deadline: datetime

    def sentence(self) -> str:
        return (
            f"{self.source} of {self.day} (run of {self.run_day}) was due "
            f"by {self.deadline:%Y-%m-%d %H:%M %Z} and has not been delivered."
        )


def missed_deliveries(spec: Pipeline) -> list[Missed]:
    """Deliveries that are overdue by the pipeline's clock; each is recorded once, as `deadline_missed`.

    Of a daily source, each of the last days that it was expected for, and each before that nobody was told of, because the
    watcher was down, say; of a weekly one, the next after its last.

    Raises:
        LandingUnreachableError: the landing zone does not answer.
    """
    if not _has_begun(spec):
        return []
    schedule.record(spec)
    since = days_later(day_of(pipeline_clock.today(spec)), 1 - WATCHED_DAYS)
    reported = {
        (entry.subject, day)
        for entry in ledger.entries(records.Mail, pipeline=spec.pipeline)
        if entry.record.event == "missing_delivery"
        for day in resolution.occurrence_days(entry)
    }
    found = [
        Missed(item.table, item.run_day, item.day, item.deadline)
        for item in status.of(spec).in_state("missing")
        if item.deadline and (item.run_day >= since or (item.table, item.day) not in reported)
    ]
    for missed in found:
        ledger.append(
            records.DeadlineMissed(
                run_day=missed.run_day, deadline=missed.deadline.isoformat(), reasons=[missed.sentence()]
            ),
            pipeline=spec.pipeline,
            subject=missed.source,
            partition=missed.day,
            once=f"deadline_missed:{spec.pipeline}.{missed.source}:{missed.day}",
        )
    return found


def unexpected_files(spec: Pipeline) -> LandingScan:
    """What lies in the landing zone and is no delivery: see `sluice.ingest.unexpected`.

    A delivery that its own run refused for its name is left out: the refusal names it, and is open.

    Raises:
        LandingUnreachableError: the landing zone does not answer; of a feed that has not begun there may be none yet.
    """
    try:
        found = unexpected.scan(spec)
    except LandingUnreachableError:
        if _has_begun(spec):
            raise
        return LandingScan((), complete=True)
    refused = {name for hold in holds.open_batches(spec) if hold.kind == "refused" for name in hold.files}
    announced = {name for entry in found.entries if (name := entry.name).endswith(deliveries.MANIFEST)}
    known = {name for name in refused if f"{name}{deliveries.MANIFEST}" in announced}
    left = (each for each in found.entries if each.name.removesuffix(deliveries.MANIFEST) not in known)
    return LandingScan(tuple(left), found.complete)


def rewritten_history(spec: Pipeline, days: int | None = None) -> list[Rewrite]:
    """Published partitions of the last days that are not what was published: see `sluice.lake.rewrites.check`."""
    return rewrites.check(spec, days) if _has_begun(spec) else []


def lapsed_waivers(spec: Pipeline) -> list[ledger.Entry]:
    """Waivers that are over while readers still see what was published on them."""
    if not _has_begun(spec):
        return []
    lapsed: dict[int, ledger.Entry] = {}
    for table in spec.tables:
        granted = ledger.entries(records.Waiver, pipeline=spec.pipeline, subject=table)
        days = {entry.days.first for entry in granted}
        for waiver in waivers.of_partitions(spec, table, sorted(days)).values():
            if waivers.expired(spec, waiver):
                lapsed[waiver.seq] = waiver
    return [lapsed[seq] for seq in sorted(lapsed)]


def rebuilds(spec: Pipeline) -> list[Rebuild]:
    """What was made from released data whose waiver is over, or which was replaced since."""
    return inherited.rebuilds(spec) if _has_begun(spec) else []


def restored(spec: Pipeline, still: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Table and day of what was recorded as `rewritten`, and is as it was published again.

    Args:
        still: table and day of what was found now.
    """
    if not _has_begun(spec):
        return []
    since = days_later(day_of(pipeline_clock.today(spec)), -spec.integrity_days)
    recorded = ledger.entries(records.Rewritten, pipeline=spec.pipeline)
    reported = {(entry.subject, entry.partition) for entry in recorded if entry.partition}
    looked_at = {(table, day) for table, day in reported if day and day > since}
    # Older ones left the window: only those are looked at again of which a mail stands.
    older = {
        (table, seen.partition)
        for incident in faults.incidents(spec.pipeline)
        for seen in incident.open_occurrences.values()
        for table in seen.record.ends_with.names
        if seen.record.ends_with.how == "matches" and table in spec.tables
        if seen.partition and seen.partition <= since
    }
    intact = {(table, day) for table, day in older if not _is_rewritten(spec, table, day)}
    return sorted(intact | looked_at - still)


def _is_rewritten(spec: Pipeline, table: str, day: str) -> bool:
    return any(found.day == day for found in rewrites.check(spec, 1, until=day, tables=[table]))


def findings(spec: Pipeline, days: int | None = None) -> list[str]:
    """All of the above in sentences, for a person who looks by hand."""
    return [
        *(missed.sentence() for missed in missed_deliveries(spec)),
        *(entry.sentence() for entry in unexpected_files(spec).entries),
        *(rewrite.sentence() for rewrite in rewritten_history(spec, days)),
        *(lapse(waiver) for waiver in lapsed_waivers(spec)),
        *(rebuild.sentence() for rebuild in rebuilds(spec)),
    ]


def lapse(waiver: ledger.Entry) -> str:
    """A waiver that is over, in a sentence."""
    released = waivers.read(waiver)
    return f"{released.table} {released.partition} rests on a waiver of {released.by} that ended on {released.until}."


def _has_begun(spec: Pipeline) -> bool:
    """Whether the pipeline has a today: a replayed one has none before its first delivery."""
    try:
        pipeline_clock.today(spec)
    except DeliveryMissingError:
        return False
    return True
