"""What a gate held or refused and nobody has answered, and what was closed because it was held too long.

The rule kept here: the same content is not tried again by itself, and no time ends it: readers see something else of the day,
or a person gives it up. So each says what it was made from, also when its batch has been cleared away: of what has expired, the
ledger's entry does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice import ledger
from sluice.declare.spec import Pipeline
from sluice.holds.listing import open_batches
from sluice.ledger import Entry, records, skips


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
    found = _expired(spec)
    # The newest of a day counts: a range may be held, and then one of its days again.
    for hold in reversed(open_batches(spec)):
        stopped = Stopped(hold.reason, hold.batch_id, hold.files)
        found |= {(hold.table, day): stopped for day in hold.days}
    return found


def expired(spec: Pipeline) -> dict[tuple[str, str], Stopped]:
    """As `read`, of what was held too long and nobody has given up."""
    given_up = skips.given_up(spec.pipeline)
    return {part: one for part, one in sorted(read(spec).items()) if one.has_expired and part not in given_up}


def _expired(spec: Pipeline) -> dict[tuple[str, str], Stopped]:
    entries = [
        entry
        for entry in reversed(ledger.entries(records.Expired, pipeline=spec.pipeline))
        if entry.record.kind != "quarantined"
    ]
    if not entries:
        return {}
    newest: dict[tuple[str, str], int] = {}
    for published in ledger.entries(records.Published, pipeline=spec.pipeline, after=entries[0].seq):
        for day in published.days:
            newest.setdefault((published.subject, day), published.seq)
    return {
        (entry.subject, day): _of(spec, entry)
        for entry in entries
        for day in entry.days
        if newest.get((entry.subject, day), 0) < entry.seq
    }


def _of(spec: Pipeline, entry: Entry[records.Expired]) -> Stopped:
    about = entry.record
    reason = (
        f"it was held for more than {about.hold_days} days, and is not tried again by itself: correct its cause and run "
        f"{spec.pipeline}_{spec.stage_of(entry.subject)} for this run day, or give it up with `sluice skip`"
    )
    return Stopped(reason, about.batch_id, about.files, about.inputs, has_expired=True)
