"""What all records of the ledger have in common: a model a kind of entry says what an entry of the kind has.

A record is checked when it is made, and again when it is read. Stored are the fields that were given, so that the text of
an entry, which its hash is about, does not change when a field is added here. A field that entries of earlier versions lack
has a default.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """An entry of a kind that this version does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entry_kind: ClassVar[str] = ""

    # What people read of it, in sentences, and the batch that it names, if it names one.
    reasons: tuple[str, ...] = ()
    batch_id: str | None = None

    def __init_subclass__(cls, kind: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.entry_kind = kind

    @classmethod
    def read(cls, stored: dict[str, Any]) -> Self:
        """Return the record of a stored entry, without what only another version knows."""
        return cls.model_validate(stored, extra="ignore" if cls.model_config["extra"] == "forbid" else None)

    def stored(self) -> dict[str, Any]:
        """Return what the ledger keeps: the fields that were given."""
        return self.model_dump(include=self.model_fields_set)
