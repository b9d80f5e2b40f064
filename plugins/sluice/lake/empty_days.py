"""Days that are published without rows: marks among the properties of an Iceberg table.

A file without rows would not do: Iceberg's readers plan no scan of one, and pyiceberg drops it with whatever other day is
deleted. So each publication of such a day is a property of its own, `sluice.empty.<day>.<batch>`: the sequence number of
the last snapshot before it, and whether another publication of the day has replaced it.

The rule kept here: a mark is never taken away, so that an older snapshot, such as one that a training pinned, keeps its days
without rows. It stays right although pyiceberg sets properties again, as they are, where another commit came first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.core.partitions import days_from, days_later
from sluice.lake import connection
from sluice.lake.batches import Manifest, file_of
from sluice.lake.columns import DAY

if TYPE_CHECKING:
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.table import FileScanTask, Table
    from pyiceberg.table.snapshots import Snapshot

EMPTY = "sluice.empty."
_REPLACED = "replaced"
# Iceberg keeps a date as days since then.
_EPOCH = "1970-01-01"


@dataclass(frozen=True)
class _Mark:
    key: str
    day: str
    batch_id: str
    # Sequence number of the last snapshot before it.
    before: int
    is_replaced: bool

    def is_in(self, snapshot: Snapshot | None) -> bool:
        """Whether it is what the table (None) shows, or was published until one of its snapshots.

        A mark that was replaced until then is no harm: what replaced it is newer, and in the snapshot. Snapshots of a
        table of format version 1 have no number: of them the table's own marks are believed.
        """
        if snapshot is None or snapshot.sequence_number is None:
            return not self.is_replaced
        return snapshot.sequence_number > self.before


def numbered_day(number: int) -> str:
    """Return a day (YYYY-MM-DD) as Iceberg keeps it."""
    return days_later(_EPOCH, number)


def tasks(table: Table, days: BooleanExpression, snapshot_id: int | None) -> dict[str, FileScanTask]:
    """Return the file, which has no rows, of each matching day that is published without rows."""
    from pyiceberg.expressions.visitors import expression_evaluator
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.schema import Schema
    from pyiceberg.table import FileScanTask
    from pyiceberg.typedef import Record

    snapshot = table.snapshot_by_id(snapshot_id) if snapshot_id is not None else None
    newest: dict[str, str] = {}
    for mark in _marks(table):
        if mark.is_in(snapshot):
            newest[mark.day] = max(mark.batch_id, newest.get(mark.day, ""))
    if not newest:
        return {}
    matches = expression_evaluator(Schema(table.schema().find_field(DAY)), days, case_sensitive=True)
    found = {}
    for day, batch_id in newest.items():
        number = days_from(_EPOCH, day)
        if matches(Record(number)):
            pipeline, name = table.name()[-2:]
            data_file = DataFile.from_args(
                content=DataFileContent.DATA,
                file_path=connection.uri(file_of(pipeline, name, batch_id, day)),
                file_format=FileFormat.PARQUET,
                partition=Record(number),
                record_count=0,
                file_size_in_bytes=0,
            )
            data_file.spec_id = table.metadata.default_spec_id
            found[day] = FileScanTask(data_file)
    return found


def marks(table: Table, manifest: Manifest) -> dict[str, str]:
    """Return the properties that a publication sets: a mark for each of its days without rows, and those that it replaces."""
    # A table of format version 1 counts no commits.
    number = getattr(table.metadata, "last_sequence_number", 0)
    replaced = {
        mark.key: f"{table.properties[mark.key]} {_REPLACED}"
        for mark in _marks(table)
        if mark.day in manifest.partitions and not mark.is_replaced
    }
    return replaced | {f"{EMPTY}{day}.{manifest.batch_id}": str(number) for day in manifest.empty}


def batch_ids(table: Table) -> set[str]:
    """Return the batches that any day was ever published of without rows: an old snapshot may be read, and they are small."""
    return {mark.batch_id for mark in _marks(table)}


def _marks(table: Table) -> list[_Mark]:
    found = []
    for key, value in table.properties.items():
        if key.startswith(EMPTY):
            day, _, named = key.removeprefix(EMPTY).partition(".")
            # The first homes with such days had one property a day, which named the batch in its value.
            batch_id, before, *replaced = [*filter(None, [named]), *value.split()]
            found.append(_Mark(key, day, batch_id, int(before), bool(replaced)))
    return found
