"""What happened to a pipeline's model, as the events that decide whether a new one is asked for (`sluice_ml.retraining`)."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

from sluice import ledger
from sluice.core.partitions import date_of
from sluice.ledger import Entry

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice_ml.retraining import Event, EventKind

# Kind of entry to kind of event.
_KINDS: dict[str, EventKind] = {
    "decided": "alarm",
    "retrain_requested": "asked",
    "refused": "refused",
    "training_refused": "refused",
    "promoted": "promoted",
    "training_skipped": "skipped",
    "skipped": "skipped",
    "rolled_back": "rolled_back",
}


def read(spec: Pipeline) -> list[Event]:
    """The events of a pipeline's model, in the order in which they were recorded.

    Requests of earlier versions do not say what they were about: they count as requests because of the model's age.
    """
    from sluice_ml.retraining import Event

    found = [
        entry
        for kind in _KINDS
        for entry in ledger.entries(kind=kind, pipeline=spec.pipeline, subject=spec.model.name)
    ]
    events: list[Event] = []
    for entry in sorted(found, key=lambda entry: entry.seq):
        on = _day(entry) or (events[-1].on if events else None)
        if on is not None:
            events.append(Event(on, _kind(entry), _causes(entry)))
    return events


def _kind(entry: Entry) -> EventKind:
    if entry.kind == "refused" and entry.record.outcome == "insufficient_data":
        return "undecided"
    if entry.kind == "refused" and entry.record.outcome == "experiment":
        return "experiment"
    return _KINDS[entry.kind]


def _day(entry: Entry) -> date | None:
    """The day of an entry by the pipeline's clock; None where it does not say."""
    if entry.partition:
        return date_of(entry.partition)
    decided_at = getattr(entry.record, "decided_at", "")
    return datetime.fromisoformat(decided_at).date() if decided_at else None


def _causes(entry: Entry) -> tuple[str, ...]:
    if entry.kind == "decided":
        return tuple(entry.record.wanted)
    if entry.kind == "retrain_requested":
        return tuple(entry.record.causes)
    return ()
