"""The append-only, hash-chained record of every decision. `sluice.ledger.store` keeps it."""

from sluice.ledger.store import Entry, append, entries, settle, settled, verify

__all__ = ["Entry", "append", "entries", "settle", "settled", "verify"]
