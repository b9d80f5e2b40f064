"""Which entry of the ledger published last what readers see of a day."""

from __future__ import annotations

from collections.abc import Iterator

from sluice.core.partitions import LATEST, Partition
from sluice.ledger import records, store
from sluice.ledger.store import Entry


def newest(pipeline: str, table: str, since: str) -> Iterator[tuple[str, Entry]]:
    """Yield each day of a table from `since` on that was ever published, with the entry of its newest publication."""
    seen: set[str] = set()
    days = Partition(since, LATEST)
    for entry in store.entries(records.Published, pipeline=pipeline, subject=table, days=days):
        new = [day for day in entry.days if day >= since and day not in seen]
        seen.update(new)
        yield from ((day, entry) for day in new)
