"""The schema of a source: who delivers it, when, in which form, and what it may be used for."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from sluice.declare.calendars import Expected
from sluice.declare.contracts import Contract, Strict
from sluice.declare.field_types import NonEmptyStr, TimeOfDay
from sluice.declare.limits import Limits

Format = Literal["csv", "csv.gz", "jsonl", "parquet"]


class Source(Strict):
    """A feed that a pipeline lands."""

    owner: NonEmptyStr
    description: NonEmptyStr
    grain: NonEmptyStr
    key: tuple[str, ...] = Field(min_length=1)
    format: Format
    cadence: Literal["daily", "weekly"]
    # Days between the day that the data is about and the run that must land it.
    lag_days: int = Field(0, ge=0)
    # Whether a delivery whose manifest announces no rows is published without a waiver.
    may_be_empty: bool = False
    # Days of data that a daily source delivers; the pipeline's `expected`, if not given.
    expected: Expected | None = None
    # Local time of the run day by which the delivery must be in; the watcher mails about one that is not.
    deadline: TimeOfDay = "06:00"
    pii: Literal["none", "pseudonymised", "direct"] = "none"
    licence: NonEmptyStr
    purpose: NonEmptyStr
    # Last day on which its deliveries may be used for that purpose; None where the permission has no end.
    purpose_expires: date | None = None
    contract: Contract
    # What one of its deliveries may cost to read; see docs/contracts.md.
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _key_is_declared(self) -> Source:
        missing = [name for name in self.key if name not in self.contract.columns]
        if missing:
            raise ValueError(f"key column {missing[0]!r} is not a column of the contract")
        if len(set(self.key)) < len(self.key):
            raise ValueError("the key names a column twice")
        return self

    @model_validator(mode="after")
    def _reading_fits_the_format(self) -> Source:
        if not self.format.startswith("csv") and (odd := self.contract.reading.of_csv):
            raise ValueError(f"`reading.{odd[0]}` is for csv and csv.gz, not for {self.format}")
        if self.format == "parquet" and self.contract.reading.encoding != "utf-8":
            raise ValueError("`reading.encoding` is for text, not for parquet")
        return self

    @model_validator(mode="after")
    def _calendar_is_of_a_daily_source(self) -> Source:
        if self.expected and self.cadence != "daily":
            raise ValueError(
                "`expected` is for a daily source: a weekly one is due a week after its last delivery"
            )
        return self

    @model_validator(mode="after")
    def _personal_data_is_said_twice(self) -> Source:
        """Once for the people who read the class of a source, once for the machine that replaces the columns."""
        columns = self.contract.pseudonymised
        if self.pii == "direct" and not columns:
            raise ValueError("`pii: direct`, but no column of the contract has `pii: true`")
        if self.pii == "none" and columns:
            raise ValueError(f"column {columns[0]!r} has `pii: true`, but the source says `pii: none`")
        return self
