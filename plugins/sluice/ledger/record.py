"""What all records of the ledger have in common: a model a kind of entry says what an entry of the kind has.

A record is checked when it is made, and again when it is read; what does not fit is an error that names the entry and the
field. Stored are the fields that were given, so that the text of an entry, which its hash is about, does not change when a
field is added here. A field that entries of earlier versions lack has a default.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from sluice.core import strict_yaml
from sluice.core.errors import LedgerEntryInvalidError
from sluice.core.settings import settings


class Record(BaseModel):
    """An entry of a kind that this version does not know."""

    # A field that has got another name since is stored under its first one, its alias.
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)

    entry_kind: ClassVar[str] = ""

    # What people read of it, in sentences, and the batch that it names, if it names one.
    reasons: tuple[str, ...] = ()
    batch_id: str | None = None

    def __init_subclass__(cls, kind: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.entry_kind = kind

    @classmethod
    def read(cls, stored: Any, name: str) -> Self:
        """Return the record of a stored entry, without what only another version knows.

        Args:
            name: what an error calls the entry.

        Raises:
            LedgerEntryInvalidError: a field is missing, or has another type.
        """
        return cls.model_validate(
            stored, extra="ignore" if cls.model_config["extra"] == "forbid" else None, context=name
        )

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, given: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """Raise what does not fit as an error of the ledger's; the context is the name of a stored entry."""
        try:
            return handler(given)
        except ValidationError as error:
            problems = "; ".join(strict_yaml.problems(error, cls, "the entry"))
            # Pydantic's own error quotes the values, which may be about persons.
            raise (
                unreadable(info.context, problems) if info.context else cls._unwritable(problems)
            ) from None

    def stored(self) -> dict[str, Any]:
        """Return what the ledger keeps: the fields that were given."""
        return self.model_dump(include=self.model_fields_set)

    def text(self) -> str:
        """Return `stored` as the text that is kept.

        Raises:
            LedgerEntryInvalidError: a field has what JSON cannot hold, such as NaN.
        """
        stored = self.stored()
        try:
            return _json(stored)
        except (TypeError, ValueError):
            raise self._unwritable("; ".join(_not_json(stored))) from None

    @classmethod
    def _unwritable(cls, problems: str) -> LedgerEntryInvalidError:
        return LedgerEntryInvalidError(
            f"An entry of kind {cls.entry_kind} cannot be recorded: {problems}.",
            where=f"{cls.__module__}.{cls.__name__}",
            todo="correct the code that makes the entry, or the class that declares its fields; nothing was recorded",
        )


def unreadable(name: str, problems: str) -> LedgerEntryInvalidError:
    """The error of a stored entry that does not fit the model of its kind."""
    return LedgerEntryInvalidError(
        f"{name} cannot be read: {problems}.",
        # Without the user and password of a server's URL.
        where=settings().ledger_url,
        todo="run `sluice ledger --verify`. If it names an entry, restore the ledger from a backup, and find out who "
        "wrote to it. If the chain is intact, another version of Sluice wrote the entry: read the ledger with "
        "that version, or with a newer one",
    )


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, allow_nan=False, ensure_ascii=False)


def _not_json(stored: Mapping[str, Any]) -> Iterator[str]:
    for field, value in stored.items():
        try:
            _json({field: value})
        except (TypeError, ValueError) as error:
            yield f"{field}: {error}"
