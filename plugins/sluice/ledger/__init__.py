"""The append-only, hash-chained record of every decision. `sluice.ledger.store` keeps it."""

from sluice.ledger.store import Entry, append, closed_up_to, entries, mark_closed, verify

__all__ = ["Entry", "append", "closed_up_to", "entries", "mark_closed", "verify"]
