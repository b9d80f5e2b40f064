"""How the files of a source are written, and what means null in them: the `reading` of a contract.

The defaults are those of RFC 4180, in UTF-8. What is not declared here is not guessed: a file that is written in
another way is refused, and the error names the option that would read it.
"""

from __future__ import annotations

import zoneinfo
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# Options that say something of CSV only; the others apply to every format.
CSV_ONLY = ("delimiter", "quote", "escape", "skip_lines", "comment")

# What people write where they mean that there is no value. In a text column it is kept, counted and warned about.
NULL_LIKE = ("", r"\N", "NULL", "Null", "null", "N/A", "n/a", "#N/A", "NA", "NaN", "nan", "None", "<NA>")


class Reading(BaseModel):
    """The dialect of a source's files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # What stands between two values.
    delimiter: str = ","
    # What a value with a delimiter, a quote or a line end in it begins and ends with; null: nothing, a quote is text.
    quote: str | None = '"'
    # How a quote inside a quoted value is written: "" or \".
    escape: Literal["doubled", "backslash"] = "doubled"
    # Lines before the header that are left out.
    skip_lines: int = Field(0, ge=0, le=1_000)
    # Lines before the header that begin with this are left out, after those of `skip_lines`.
    comment: str | None = Field(None, min_length=1, max_length=10)
    # Whether a file must spell the names of its columns as the contract does.
    column_case: Literal["exact", "any"] = "exact"
    # Of CSV and JSON lines.
    encoding: Literal["utf-8", "utf-16", "iso-8859-1", "windows-1252"] = "utf-8"
    # Texts that mean null, in every column that does not say `nulls` itself.
    nulls: tuple[str, ...] = ()
    # The time zone of timestamps that say none; null: they are refused.
    naive_timestamps: str | None = None

    @field_validator("delimiter", "quote")
    @classmethod
    def _is_one_character(cls, value: str | None) -> str | None:
        if value is not None and (
            len(value) != 1 or not value.isascii() or value in "\0\r\n\\" or value.isalnum()
        ):
            raise ValueError("it must be one ASCII character that is no letter, digit, backslash or line end")
        return value

    @field_validator("naive_timestamps")
    @classmethod
    def _is_a_zone(cls, value: str | None) -> str | None:
        try:
            return value and zoneinfo.ZoneInfo(value).key
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"{value!r} is no time zone; write UTC, or a name such as America/New_York"
            ) from None

    @model_validator(mode="after")
    def _characters_differ(self) -> Reading:
        if self.delimiter == self.quote:
            raise ValueError("`delimiter` and `quote` must be two characters")
        if self.quote is None and self.escape == "backslash":
            raise ValueError(
                "`escape: backslash` says how a quote is written inside quotes, and there is no `quote`"
            )
        return self

    @property
    def of_csv(self) -> list[str]:
        """Options that are declared and that only a CSV file can follow."""
        return [name for name in CSV_ONLY if getattr(self, name) != type(self).model_fields[name].default]
