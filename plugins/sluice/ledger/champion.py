"""Which entries of the ledger have decided on the champion of a model: promotions, and roll-backs by a person."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from sluice.core.errors import DeliveryMissingError
from sluice.core.partitions import date_of
from sluice.declare import pipeline_clock
from sluice.declare.spec import Pipeline
from sluice.ledger import store
from sluice.ledger.store import Entry


def decisions(pipeline: str, model: str) -> list[Entry]:
    """Return the entries that decided on a champion, newest first; the `version` of each is None for the baseline."""
    found = [
        entry
        for kind in ("promoted", "rolled_back")
        for entry in store.entries(kind=kind, pipeline=pipeline, subject=model)
    ]
    return sorted(found, key=lambda entry: -entry.seq)


def decided_before(spec: Pipeline, then: datetime) -> list[Entry]:
    """As `decisions`, of those that were decided before an instant of the pipeline's clock."""
    decided = decisions(spec.pipeline, spec.model.name)
    before, at = [], datetime.min.replace(tzinfo=UTC)
    for entry in reversed(decided):
        # One of which it is not known was decided after the one before it.
        at = max(at, _decided_at(spec, entry) or at)
        if at < then.astimezone(UTC):
            before.append(entry)
    return before[::-1]


def since(entry: Entry) -> datetime:
    """When a decision was made, by the pipeline's clock and as people read it; of one of an earlier version, when it was recorded."""
    return datetime.fromisoformat(entry.record.decided_at) if entry.record.decided_at else entry.at


def decided_now(spec: Pipeline) -> dict[str, Any]:
    """What an entry that decides on a champion says of when, by the pipeline's clock; nothing, where that has not begun."""
    try:
        return {"decided_at": pipeline_clock.now(spec).isoformat()}
    except DeliveryMissingError:
        return {}


def _decided_at(spec: Pipeline, entry: Entry) -> datetime | None:
    """When a decision was made, by the pipeline's clock; of one of an earlier version, the day that it was trained for."""
    if recorded := entry.record.decided_at:
        return datetime.fromisoformat(recorded).astimezone(UTC)
    if spec.clock == "wall":
        return entry.at.astimezone(UTC)
    if entry.partition is None:
        return None
    end = datetime.combine(date_of(entry.partition), time.max, ZoneInfo(spec.timezone))
    return end.astimezone(UTC)
