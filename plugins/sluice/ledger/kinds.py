"""The kinds of entries that the ledger has, by name."""

from __future__ import annotations

from sluice.ledger import model_records, records
from sluice.ledger.record import Record

KINDS: dict[str, type[Record]] = {
    one.entry_kind: one
    for module in (records, model_records)
    for one in vars(module).values()
    if isinstance(one, type) and issubclass(one, Record) and one.entry_kind
}
