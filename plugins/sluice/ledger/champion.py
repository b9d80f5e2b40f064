"""Which entries of the ledger have decided on the champion of a model: promotions, and roll-backs by a person."""

from __future__ import annotations

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
