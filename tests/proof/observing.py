"""What there is after a test's processes have ended, or been killed: all that must be the same whatever happened."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from sluice import holds, ledger
from sluice.core.partitions import Partition
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.lake import batches, connection, quarantine, snapshots, tables

# Rows of these columns differ with the process that made them, not with the data.
_OWN = ("run_id", "scored_at", "feature_snapshot_id")
# What differs from one run to the next in a ledger entry that says the same.
_IDS = (
    *("batch_id", "publish_batch_id", "split_of", "verdict_id", "snapshot_id", "waiver", "dag_id"),
    *("report", "evaluated_at", "begun_after", "seconds", "hashes", "content_hash", "sha256"),
)


def observe(table: str, day: str) -> dict[str, Any]:
    """All that must be the same whatever happened on the way to it; of other tables, that nothing was published."""
    flights = spec.load("flights")
    ledger.verify()
    entries = [[one.kind, one.subject, one.partition, _plain(one.data)] for one in reversed(ledger.entries())]
    told = any(entry[1] == table and entry[2] and day in Partition.parse(entry[2]) for entry in entries)
    trace = holds.trace(flights, table, day) if told else None
    return {
        "shown": {table: shown(table)},
        "others": _others(flights, table),
        "quarantine": _quarantined(table),
        "entries": entries,
        # Of what is published: a batch that nobody was told of is an orphan, and is counted apart.
        "conserved": [[one.conserved, one.conservation] for one in trace.batches if one.published]
        if trace
        else [],
        "published": sum(entry[0] == "published" for entry in entries),
        "commits": {table: _commits(table)},
        "held": [[one.kind, one.table, one.partition, one.rows] for one in holds.open_holds(flights)],
        "staged": {table: _staged(table)},
        "parts": sorted(path.name for path in files_of(settings().home) if path.name.startswith(".")),
    }


def _others(flights: spec.Pipeline, table: str) -> dict[str, int | None]:
    """Table -> its snapshot; of all but one, and its quarantine."""
    with connection.opened() as lake:
        found = {name: snapshots.find(lake, "flights", name) for name in flights.tables if name != table}
        return {name: one.metadata.current_snapshot_id for name, one in found.items() if one}


def _staged(table: str) -> list[str]:
    """Ids of the batches that there are; each of them is whole, or this raises."""
    found = batches.staged("flights", table)
    for batch_id in found:
        batches.check_unchanged(batches.load("flights", table, batch_id))
    return found


def shown(table: str) -> dict[str, str]:
    """Day -> hash of the rows that readers see of it."""
    if tables.snapshot_id("flights", table) is None:
        return {}
    rows = tables.scan("flights", table, "2013-01-01", "2013-12-31")
    kept = rows.drop_columns([name for name in _OWN if name in rows.column_names])
    by_day: dict[str, list[Any]] = {}
    for row in kept.to_pylist():
        by_day.setdefault(str(row["ds"]), []).append(row)
    return {
        day: f"{len(found)} rows {hashlib.sha256(repr(found).encode()).hexdigest()[:16]}"
        for day, found in by_day.items()
    }


def _quarantined(table: str) -> list[list[Any]]:
    names = ("ds", "row_key", "rule", "payload", "status")
    rows = quarantine.rows("flights", table, "2013-01-01", "2013-12-31").to_pylist()
    return sorted([table, *(str(row[name]) for name in names)] for row in rows)


def _commits(table: str) -> list[str]:
    """Batches of the snapshots that there are."""
    if tables.snapshot_id("flights", table) is None:
        return []
    return [one["sluice.batch_id"] for one in tables.history("flights", table)]


def _plain(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _plain(value) for name, value in data.items() if name not in _IDS}
    if isinstance(data, list):
        return [_plain(value) for value in data]
    return data


def files_of(folder: Path) -> list[Path]:
    """All files but scratch, which is never the truth, and the feed's cache."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in ("work", "feed-cache")
    ]
