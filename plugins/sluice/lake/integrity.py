"""Whether what readers see is still what was published: the content of each partition against its recorded hash.

The rule kept here: nothing is believed but the bytes. A file that was edited in place, a table that somebody else
overwrote, a partition that is gone or that nobody published: all of them show, and none can be missed because a number
beside the data still fits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from sluice.lake import connection, snapshots
from sluice.lake.batches import batch_of

Problem = Literal["edited", "overwritten", "removed", "unknown"]


@dataclass(frozen=True)
class Recorded:
    """What the ledger says of a published partition."""

    batch_id: str
    sha256: str
    rows: int


@dataclass(frozen=True)
class Shown:
    """What readers see of a partition: its files, as anybody's Iceberg reader would find them."""

    files: tuple[str, ...]
    # None where a file cannot be read as rows.
    rows: int | None
    # Rows are masked by delete files, which the platform never writes.
    masked: bool

    @property
    def batch_id(self) -> str:
        return batch_of(self.files[0]) if len(self.files) == 1 else ""


@dataclass(frozen=True)
class Difference:
    """A partition that is not what was recorded. `recorded` is None for one that nobody published."""

    table: str
    day: str
    problem: Problem
    recorded: Recorded | None
    shown: Shown | None
    # Of what readers see; None where there is nothing to read.
    sha256: str | None


def differences(
    pipeline: str,
    table: str,
    start: str,
    end: str,
    recorded: Mapping[str, Recorded],
    *,
    snapshot_id: int | None = None,
) -> list[Difference]:
    """Partitions of the days `start` to `end` (inclusive) that are not what was recorded, in the order of days.

    Raises:
        TableMissingError: `snapshot_id` is unknown or expired.
    """
    with connection.opened() as lake:
        found = snapshots.find(lake, pipeline, table)
        shown = _shown(found, start, end, snapshot_id) if found else {}
    differing = [
        _difference(table, day, recorded.get(day), shown.get(day)) for day in sorted({*recorded, *shown})
    ]
    return [difference for difference in differing if difference]


def _shown(table, start: str, end: str, snapshot_id: int | None) -> dict[str, Shown]:
    by_day = snapshots.all_tasks(table, snapshots.between(start, end), snapshot_id)
    return {
        day: Shown(
            files=tuple(
                str(connection.local_path(task.file.file_path) or task.file.file_path) for task in tasks
            ),
            rows=sum(task.file.record_count for task in tasks),
            masked=any(task.delete_files for task in tasks),
        )
        for day, tasks in by_day.items()
    }


def _difference(table: str, day: str, recorded: Recorded | None, shown: Shown | None) -> Difference | None:
    if shown is None:
        return Difference(table, day, "removed", recorded, None, None)
    sha256 = _sha256(shown)
    if recorded is None:
        return Difference(table, day, "unknown", None, shown, sha256)
    if sha256 == recorded.sha256 and not shown.masked:
        return None
    if sha256 is None:
        return Difference(table, day, "removed", recorded, shown, None)
    problem: Problem = "edited" if shown.batch_id == recorded.batch_id else "overwritten"
    # What Iceberg counted when a file was added says nothing of a file that was edited since.
    return Difference(table, day, problem, recorded, replace(shown, rows=_count(shown)), sha256)


def _sha256(shown: Shown) -> str | None:
    """Of the one file that a partition has; of several, over their hashes. None if one cannot be found."""
    hashes = [sha256_of(file) for file in shown.files]
    known = sorted(found for found in hashes if found)
    if len(known) < len(hashes):
        return None
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(known).encode()).hexdigest()


def _count(shown: Shown) -> int | None:
    """Rows that the files really hold; None if one of them is no Parquet file any more."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = 0
    for file in shown.files:
        content = connection.read(file)
        try:
            rows += pq.read_metadata(pa.BufferReader(content)).num_rows
        except pa.ArrowInvalid:
            return None
    return rows


def sha256_of(file: str) -> str | None:
    """The hash of a file's content; None where there is no such file."""
    try:
        return hashlib.sha256(connection.read(file)).hexdigest()
    except FileNotFoundError:
        return None
