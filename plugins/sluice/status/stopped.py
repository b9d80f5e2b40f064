"""What a gate held or refused and nobody has answered, and what was closed because it was held too long.

The rule kept here: the same content is not tried again by itself. So each says what it was made from, also when its batch has
been cleared away: of what has expired, the ledger's entry does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice import holds, ledger
from sluice.core.partitions import Partition
from sluice.declare.spec import Pipeline
from sluice.ledger import Entry, records


@dataclass(frozen=True)
class Stopped:
    """What was not published of a day of a table."""

    reason: str
    # None where no batch was staged, because the delivery was refused: then the files that were there.
    batch_id: str | None
    files: tuple[str, ...] = ()
    # As the manifest of its batch recorded them; none where that has to be asked.
    inputs: tuple[Mapping[str, Any], ...] = ()
    has_expired: bool = False


def read(spec: Pipeline) -> dict[tuple[str, str], Stopped]:
    """(table, day of its data) -> what was not published of it, the newest."""
    found = {
        (entry.subject, day): _expired(spec, entry)
        for entry in reversed(ledger.entries(records.Expired, pipeline=spec.pipeline))
        if entry.record.kind != "quarantined"
        for day in entry.days
        if not _was_published_since(entry, day)
    }
    # The newest of a day counts: a range may be held, and then one of its days again.
    for hold in reversed(holds.open_batches(spec)):
        stopped = Stopped(hold.reason, hold.batch_id, hold.files)
        found |= {(hold.table, day): stopped for day in hold.days}
    return found


def _expired(spec: Pipeline, entry: Entry[records.Expired]) -> Stopped:
    about = entry.record
    reason = (
        f"it was held for more than {about.hold_days} days, and is not tried again by itself: correct its cause and run "
        f"{spec.pipeline}_{spec.stage_of(entry.subject)} for this run day, or give it up with `sluice skip`"
    )
    return Stopped(reason, about.batch_id, about.files, about.inputs, has_expired=True)


def _was_published_since(entry: Entry, day: str) -> bool:
    pipeline, table = entry.pipeline, entry.subject
    later = ledger.entries(
        records.Published,
        pipeline=pipeline,
        subject=table,
        after=entry.seq,
        days=Partition(day, day),
        limit=1,
    )
    return bool(later)
