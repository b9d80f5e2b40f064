"""The append-only record of every decision: see `sluice.ledger.store`."""

from sluice.ledger.store import Entry, append, entries, settle, settled, verify

__all__ = ["Entry", "append", "entries", "settle", "settled", "verify"]
