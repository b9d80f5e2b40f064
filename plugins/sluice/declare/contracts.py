"""What a producer promises: the columns of a delivery, and how deliveries of other versions become the declared one.

The rule kept here: the contract in the YAML is the one version that is stored. Whatever else may be delivered has a
mapping that says, value by value, how it becomes that version; there is no second way in. `unit` and `values` are the
words of the promise: whether a batch keeps it is the gate's to judge, because a batch that the gate holds can be
looked at and released, and a file that is refused cannot (docs/decisions/0005-who-judges-values.md).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sluice.declare.reading import NULL_LIKE, Reading

ColumnType = Literal["string", "integer", "number", "boolean", "date", "timestamp"]

# Columns that Sluice adds to every raw table, with their types.
PLATFORM_COLUMNS: dict[str, ColumnType] = {"ds": "date", "delivery_id": "string"}
# The types as DuckDB calls them.
SQL_TYPES: dict[ColumnType, str] = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMPTZ",
}
NUMERIC: tuple[ColumnType, ...] = ("integer", "number")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Python types of a `fill`, as YAML reads them.
_PYTHON: dict[ColumnType, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "date": (date,),
    "timestamp": (datetime,),
}


class Strict(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# 0.1 as it is written, not as binary fractions have it; "1/60" too.
Factor = Annotated[Fraction, BeforeValidator(lambda value: str(value) if isinstance(value, float) else value)]


class Column(Strict):
    type: ColumnType
    nullable: bool = False
    description: str = ""
    # Personal data: stored as a pseudonym, see `sluice.ingest.pseudonyms`.
    pii: bool = False
    unit: str = ""
    # All spellings that the producer uses; empty where that is open.
    values: tuple[str, ...] = ()
    # Texts that mean null; None: those of the source's `reading`. An empty list says that none does.
    nulls: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _words_fit_the_type(self) -> Column:
        if self.pii and self.type != "string":
            raise ValueError(
                f"`pii: true` needs `type: string`, because a pseudonym is text; it is {self.type}"
            )
        if self.pii and self.values:
            raise ValueError("a column with `pii: true` cannot list its `values`: they would be in the clear")
        if self.unit and self.type not in NUMERIC:
            raise ValueError(f"`unit` is for integer and number, not for {self.type}")
        if self.values and self.type != "string":
            raise ValueError(f"`values` is for string, not for {self.type}")
        if twice := _twice(self.values):
            raise ValueError(f"value {twice!r} is given twice")
        if both := sorted(set(self.values) & set(self.nulls or ())):
            raise ValueError(f"{both[0]!r} is among the `values` and among the `nulls`")
        return self

    @property
    def null_like(self) -> list[str]:
        """Texts that look like a null and of which nobody has said what they mean here."""
        return [each for each in NULL_LIKE if self.nulls is None and each not in self.values]


class Mapping(Strict):
    """How a delivery of another version becomes the declared one: rename, then values and scale, then fill."""

    # For a producer that does not say that it changed: deliveries about this day or later that claim the declared
    # version are of this one.
    since: date | None = None
    # Delivered column -> declared column.
    rename: dict[str, str] = Field(default_factory=dict)
    # Declared column -> {delivered spelling: declared spelling}; other spellings stay as they are.
    values: dict[str, dict[str, str]] = Field(default_factory=dict)
    # Declared column -> factor, such as 0.01 or 1/60. An integer column must still hold integers after it.
    scale: dict[str, Factor] = Field(default_factory=dict)
    # Declared column that this version does not have -> its value in every row.
    fill: dict[str, Any] = Field(default_factory=dict)


class Contract(Strict):
    """Columns, types and units. `timestamp` is an instant with an offset, kept in UTC."""

    version: int = Field(ge=1)
    columns: dict[str, Column] = Field(min_length=1)
    # How its files are written.
    reading: Reading = Reading()
    # Another version that may be delivered -> how it becomes this one.
    mappings: dict[int, Mapping] = Field(default_factory=dict)
    # Column in which each row says which version it follows.
    version_column: str | None = None

    @model_validator(mode="after")
    def _names_are_free(self) -> Contract:
        # In SQL, names that differ only in case are one.
        if taken := next((name for name in self.columns if name.lower() in PLATFORM_COLUMNS), None):
            raise ValueError(
                f"column {taken!r} has the name of one that Sluice adds to every raw table "
                f"({', '.join(PLATFORM_COLUMNS)}, in any case): give it another name here, and a mapping that renames it"
            )
        if odd := next((name for name in self.columns if not _NAME.fullmatch(name)), None):
            raise ValueError(
                f"column {odd!r}: a name is made of letters, digits and _, and begins with no digit"
            )
        # SQL takes them for one column.
        if twice := _twice(name.lower() for name in self.columns):
            raise ValueError(
                f"column {twice!r} is there twice: names that differ only in case are one column"
            )
        return self

    @model_validator(mode="after")
    def _nulls_are_no_values(self) -> Contract:
        for name, column in self.columns.items():
            if column.nulls is None and (both := sorted(set(column.values) & set(self.reading.nulls))):
                raise ValueError(
                    f"{both[0]!r} is among the `values` of column {name!r} and among the `nulls` of `reading`: give the "
                    "column `nulls` of its own, such as `nulls: []`"
                )
        return self

    @model_validator(mode="after")
    def _mappings_fit(self) -> Contract:
        for version, mapping in self.mappings.items():
            if problem := _mapping_problem(self, version, mapping):
                raise ValueError(f"mapping of version {version}: {problem}")
        days = [mapping.since for mapping in self.mappings.values() if mapping.since]
        if twice := _twice(days):
            raise ValueError(f"two mappings have `since: {twice}`: which version is delivered then?")
        return self

    @model_validator(mode="after")
    def _version_column_fits(self) -> Contract:
        name = self.version_column
        if name is None:
            return self
        if name not in self.columns:
            raise ValueError(
                f"`version_column` names {name!r}, which is not among the columns ({', '.join(self.columns)})"
            )
        if self.columns[name].type != "integer" or self.columns[name].nullable:
            raise ValueError(
                f"`version_column` {name!r} must be an integer that is not nullable: each row says its version"
            )
        for version, mapping in self.mappings.items():
            if name in {*mapping.fill, *mapping.scale}:
                raise ValueError(
                    f"mapping of version {version}: the `version_column` {name!r} cannot be filled or scaled"
                )
            if mapping.since:
                raise ValueError(
                    f"mapping of version {version}: `since` is for a producer that does not say its version, and "
                    f"`version_column` {name!r} says it"
                )
        return self

    @property
    def sql_types(self) -> dict[str, str]:
        """Column to type in DuckDB, of the table that is landed by this contract."""
        declared = {name: column.type for name, column in self.columns.items()}
        return {name: SQL_TYPES[kind] for name, kind in {**declared, **PLATFORM_COLUMNS}.items()}

    @property
    def pseudonymised(self) -> list[str]:
        """Columns with personal data."""
        return [name for name, column in self.columns.items() if column.pii]

    @property
    def versions(self) -> list[int]:
        """All versions that may be delivered, the declared one first."""
        return [self.version, *self.mappings]

    def read_as(self, claimed: int, day: date) -> int | None:
        """The version that a delivery about `day`, which claims a version, is read as; None if it is not known."""
        if claimed != self.version:
            return claimed if claimed in self.mappings else None
        begun = {
            each.since: version for version, each in self.mappings.items() if each.since and each.since <= day
        }
        return begun[max(begun)] if begun else self.version

    def as_delivered(self, version: int) -> Contract:
        """What a file of a known version has: its columns by the names that it gives them."""
        if version == self.version:
            return self
        mapping = self.mappings[version]
        names = {declared: delivered for delivered, declared in mapping.rename.items()}
        columns = {
            names.get(name, name): column.model_copy(update={"type": "number"})
            if name in mapping.scale
            else column
            for name, column in self.columns.items()
            if name not in mapping.fill
        }
        # Not validated again: a delivered name may be one that a table could not have.
        return Contract.model_construct(version=version, columns=columns, reading=self.reading, mappings={})

    def hash(self, version: int) -> str:
        """SHA-256 of everything that decides what a file of a version becomes. Descriptions do not, nor does a
        mapping of another version: deliveries that it does not concern stay as they are."""
        described = {"description": True}
        said = self.model_dump(
            mode="json", exclude={"mappings": True, "reading": True, "columns": {"__all__": described}}
        )
        # Not in the hashes of batches that were made before these could be declared.
        if self.version_column is None:
            del said["version_column"]
        if self.reading != Reading():
            said["reading"] = self.reading.model_dump(mode="json")
        for column in said["columns"].values():
            if column["nulls"] is None:
                del column["nulls"]
        said["mapping"] = None
        if version != self.version:
            said["mapping"] = self.mappings[version].model_dump(mode="json", exclude={"since"})
        # Columns are stored in their order.
        said["order"] = list(self.columns)
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _mapping_problem(contract: Contract, version: int, mapping: Mapping) -> str:
    """What is wrong with a mapping, in words; "" where nothing is."""
    if version == contract.version:
        return "it maps the declared version to itself; map another version, or raise `version`"
    there = f"it has {', '.join(contract.columns)}"
    for kind, names in _named(mapping).items():
        if unknown := next((name for name in names if name not in contract.columns), None):
            return f"{kind} names column {unknown!r}, which is not in the contract ({there})"
    if twice := _twice(mapping.rename.values()):
        return f"rename gives column {twice!r} twice"
    kept = [name for name in contract.columns if name not in {*mapping.rename.values(), *mapping.fill}]
    if clash := next((name for name in mapping.rename if name in kept), None):
        return f"rename takes {clash!r} away, and no column takes its place"
    if both := sorted(set(mapping.fill) & {*mapping.rename.values(), *mapping.values, *mapping.scale}):
        return f"column {both[0]!r} is filled, and so cannot be renamed, mapped or scaled as well"
    for name in mapping.values:
        if contract.columns[name].type != "string":
            return f"values of {name!r} cannot be mapped: it is {contract.columns[name].type}, not string"
    for name, factor in mapping.scale.items():
        if contract.columns[name].type not in NUMERIC:
            return f"{name!r} cannot be scaled: it is {contract.columns[name].type}, not integer or number"
        if factor == 0:
            return f"{name!r} cannot be scaled by 0"
    return next(
        filter(None, (_fill_problem(name, contract, value) for name, value in mapping.fill.items())), ""
    )


def _named(mapping: Mapping) -> dict[str, Iterable[str]]:
    return {
        "rename": mapping.rename.values(),
        "values": mapping.values,
        "scale": mapping.scale,
        "fill": mapping.fill,
    }


def _fill_problem(name: str, contract: Contract, value: object) -> str:
    column = contract.columns[name]
    if value is None:
        return "" if column.nullable else f"{name!r} cannot be filled with null: it is not nullable"
    fits = type(value) in _PYTHON[column.type]
    if fits and isinstance(value, datetime):
        fits = value.tzinfo is not None
    return "" if fits else f"{name!r} cannot be filled with {value!r}, which is no {column.type}"


def _twice(values: Iterable[Any]) -> Any:
    return next((value for value, times in Counter(values).items() if times > 1), None)
