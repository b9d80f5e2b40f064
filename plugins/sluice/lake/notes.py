"""What a person should know of a batch's inputs although nothing is wrong with its rows: each a warning of its own kind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
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

    @property
    def what(self) -> str:
        return f"the text {self.text!r}" if self.text else "an empty text"

    def sentence(self) -> str:
        return (
            f"The delivery of {self.day} has {self.what} in column {self.column}, in {self.rows} row(s), and its contract does "
            "not say whether that means null; it was kept. Declare it in the `nulls` of the column, or `nulls: []` if it is text."
        )


class MadeLate(_Note):
    """Predictions that were made after their time."""

    kind: Literal["made_late"] = "made_late"
    # The pipeline's day on which they were made, and the end of their time.
    made_on: str
    deadline: datetime

    def sentence(self) -> str:
        return (
            f"The predictions of {self.day} were made late: on {self.made_on} by the pipeline's clock, and their time ended on "
            f"{self.deadline:%Y-%m-%d at %H:%M %Z}. They count in no measure of performance."
        )


class NoChampionThen(_Note):
    """Predictions that were made late, for a day on which no model was champion."""

    kind: Literal["no_champion_then"] = "no_champion_then"

    def sentence(self) -> str:
        return f"No model was champion at the time of {self.day}; the baseline made these predictions, as it would have then."


Note = UndeclaredColumns | UndeclaredNull | MadeLate | NoChampionThen


def of_input(recorded: Mapping[str, Any]) -> list[Note]:
    """The notes of one input as a batch's manifest records it; manifests of earlier versions have fewer fields."""
    notes: list[Note] = []
    if columns := recorded.get("extra_columns"):
        notes.append(UndeclaredColumns(day=recorded["day"], columns=tuple(columns)))
    notes += [UndeclaredNull(day=recorded["day"], **each) for each in recorded.get("undeclared_nulls", [])]
    if recorded.get("made_late"):
        notes.append(MadeLate(day=recorded["day"], made_on=recorded["today"], deadline=recorded["deadline"]))
    if day := recorded.get("without_champion"):
        notes.append(NoChampionThen(day=day))
    return notes
