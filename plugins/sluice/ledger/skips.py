"""What a person has given up, in the ledger: `sluice skip`."""

from __future__ import annotations

from sluice.core.partitions import Partition
from sluice.ledger import records, store
from sluice.ledger.store import Entry


def given_up(pipeline: str) -> dict[tuple[str, str], Entry]:
    """(table, day of its data) -> the newest entry with which a person gave it up."""
    return {
        (entry.subject, day): entry
        for entry in reversed(store.entries(records.Skipped, pipeline=pipeline))
        for day in entry.days
        if not _came_after_all(entry, day)
    }


def _came_after_all(entry: Entry, day: str) -> bool:
    """Whether a table was published since it was given up, or what its rows come from was, if it was given up only for that."""
    span = Partition(day, day)
    return any(
        store.entries(
            records.Published, pipeline=entry.pipeline, subject=name, after=entry.seq, days=span, limit=1
        )
        for name in (entry.subject, entry.record.rows_from)
        if name
    )


def sentence(entry: Entry) -> str:
    """Who gave it up, and why."""
    return f"{entry.record.by} gave it up: {entry.record.why}"
