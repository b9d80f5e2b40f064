"""What a live pipeline has come to: all that must be the same, whatever happened on the way to it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sluice import ledger
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.lake import quarantine, tables
from sluice.lake.diff import PROVENANCE

# What the predictions of a day may say of themselves: they were made late, from what there was, or over a hole.
_MARKS = ("made_late", "is_stale", "missing_history_days")


@dataclass(frozen=True)
class Outcome:
    """Readers see these rows, these are set aside, and this was decided."""

    # (table, day) -> a hash of its rows, in any order; of predictions, only those that bear no mark.
    rows: dict[tuple[str, str], str]
    # Days whose predictions say that they were made late, from stale input, or over a hole -> which of these.
    marked: dict[str, list[str]]
    quarantined: list[str]
    decisions: list[str]


def observe(pipeline: Pipeline, days: list[str]) -> Outcome:
    """The outcome of these run days."""
    ledger.verify()
    rows, marked = {}, {}
    for table in pipeline.tables:
        for day, found in _by_day(pipeline, table).items():
            if table == PREDICTIONS and (
                marks := [mark for mark in _MARKS if any(row[mark] for row in found)]
            ):
                marked[day] = marks
            else:
                rows[table, day] = _hash(found)
    aside = [
        str([table, *(row[name] for name in ("row_key", "rule", "payload"))])
        for table in pipeline.sources
        for row in quarantine.rows(pipeline.pipeline, table, "2013-01-01", "2013-12-31").to_pylist()
        if row["status"] == "open"
    ]
    return Outcome(rows, marked, sorted(aside), _decisions(pipeline, days))


def late_without_mark(pipeline: Pipeline) -> list[str]:
    """Days of which predictions were made after the day was over, or in it, and their mark says otherwise."""
    zone = ZoneInfo(pipeline.timezone)
    return [
        day
        for day, found in _by_day(pipeline, PREDICTIONS).items()
        for row in found
        if row["made_late"] != (row["scored_at"].astimezone(zone).date().isoformat() > day)
    ]


def _by_day(pipeline: Pipeline, table: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in tables.scan(pipeline.pipeline, table, "2013-01-01", "2013-12-31").to_pylist():
        found.setdefault(str(row["ds"]), []).append(row)
    return found


def _hash(found: list[dict[str, Any]]) -> str:
    kept = sorted(
        json.dumps(
            {name: value for name, value in row.items() if name not in PROVENANCE},
            default=str,
            sort_keys=True,
        )
        for row in found
    )
    return f"{len(kept)} rows {hashlib.sha256(repr(kept).encode()).hexdigest()[:16]}"


def _decisions(pipeline: Pipeline, days: list[str]) -> list[str]:
    """What the ledger says in the end of each table and day, and of each day; what a person decided, each time."""
    newest: dict[tuple[str, str, str], ledger.Entry] = {}
    for entry in ledger.entries(pipeline=pipeline.pipeline):  # newest first
        newest.setdefault((entry.kind, entry.subject, entry.partition or ""), entry)
    said = Counter[str]()
    for (kind, subject, partition), entry in newest.items():
        if kind == "published":
            said[f"{subject} {partition}: {entry.data['rows']} rows published"] += 1
        elif kind == "day_completed":
            said[f"{partition} is complete"] += 1
        elif kind == "decided":
            said[f"{subject} {partition}: {entry.data['action']}"] += 1
        elif kind in ("skipped", "waiver", "promoted", "rolled_back"):
            said[f"{kind} {subject} {partition}"] += 1
    return sorted(said)
