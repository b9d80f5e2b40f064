"""The schema of a derived table: which dbt model its rows come from, and what becomes of it where history is missing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sluice.declare.contracts import Strict
from sluice.declare.field_types import NonEmptyStr


class History(Strict):
    """What becomes of a derived table where a day that it looks back on is due and not published."""

    # `mark`: it is built from what there is, and its rows say how many days they lack; `refuse`: it waits for them.
    missing: Literal["refuse", "mark"] = "mark"
    # Days back from today whose partitions are rebuilt when what they lacked has come; older ones stay as they are.
    rebuild_days: int = Field(28, ge=0)


class Derived(Strict):
    """A table that dbt builds from published tables and that crosses like a source does."""

    owner: NonEmptyStr
    description: NonEmptyStr
    grain: NonEmptyStr
    key: tuple[str, ...] = Field(min_length=1)
    # The dbt model whose rows become the table's.
    model: str
    # What the model is run by; the pipeline's `engine`, if not given.
    engine: Literal["duckdb", "spark"] | None = None
    # The table whose rows become this one's, each at most one: a day that it is published without rows of has none here
    # either. What the model joins to them can be empty and is no reason.
    rows_from: str | None = None
    # SQL over a row of that table, an expression for each column of `key`: each of its rows has to become one here, under this
    # key, but for those that the dbt model's `left_out` counts.
    key_from: tuple[NonEmptyStr, ...] | None = None
    # SQL over a row of that table by column: the value that the column has in the row that it becomes, whatever the dbt models
    # make of it. With `key_from` only.
    values_from: dict[str, NonEmptyStr] = Field({})
    # Whether any other day for which the model gives no rows is published without a waiver.
    may_be_empty: bool = False
    # Share of the rows that a change of the dbt models may change, of the day that was published last, without a person's release.
    # One in a hundred is a choice: what is less than that is read on the gate's page. With 1 nothing is compared.
    max_changed_by_code: float = Field(0.01, ge=0, le=1)
    # Share of the awaited rows that the models may leave out for a reason, and one row always. What is material anywhere else is 5%; of
    # the flights of 2013 one was left out.
    max_left_out: float = Field(0.05, ge=0, le=1)
    lag_days: int = Field(0, ge=0)
    # Days before its own that a day of the table is made from; the pipeline's `history_days`, if not given.
    history_days: int | None = Field(None, ge=0)
    # Where such a day is missing; as the pipeline's `history`, if not given.
    history: History | None = None
