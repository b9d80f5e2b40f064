"""What a person should know of a batch's inputs although nothing is wrong with its rows: each a warning of its own kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Note(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    # Day (YYYY-MM-DD) that the delivery is about.
    day: str


class UndeclaredColumns(_Note):
    """Columns that the contract does not declare, and that were left out."""

    kind: Literal["undeclared_columns"] = "undeclared_columns"
    columns: tuple[str, ...]

    def sentence(self) -> str:
        return (
            f"The delivery of {self.day} has columns that its contract does not declare; they were left out: "
            f"{', '.join(self.columns)}."
        )


class UndeclaredNull(_Note):
    """A text that looks like a null, and that was kept because the contract does not say what it means."""

    kind: Literal["undeclared_null"] = "undeclared_null"
    column: str
    text: str
    rows: int

    def sentence(self) -> str:
        what = f"the text {self.text!r}" if self.text else "an empty text"
        return (
            f"The delivery of {self.day} has {what} in column {self.column}, in {self.rows} row(s), and its contract does "
            "not say whether that means null; it was kept. Declare it in the `nulls` of the column, or `nulls: []` if it is text."
        )


Note = UndeclaredColumns | UndeclaredNull


def of_input(recorded: Mapping[str, Any]) -> list[Note]:
    """The notes of one input as a batch's manifest records it; manifests of earlier versions have fewer fields."""
    notes: list[Note] = []
    if columns := recorded.get("extra_columns"):
        notes.append(UndeclaredColumns(day=recorded["day"], columns=tuple(columns)))
    notes += [UndeclaredNull(day=recorded["day"], **each) for each in recorded.get("undeclared_nulls", [])]
    return notes
