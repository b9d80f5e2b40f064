"""The column types that the lake stores, and the one column that every table has.

The rule kept here: a column that means the same has the same type in every batch, however the library that made it
encodes it, so that a batch fits its table by comparing names and types.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from sluice.core.errors import ContractBrokenError

if TYPE_CHECKING:
    import pyarrow as pa

# The partition column: the day that a row is about, a date32.
DAY = "ds"
# What the platform itself says of a row of a derived table or a prediction.
HAS_WAIVED_INPUT = "has_waived_input"
MISSING_HISTORY_DAYS = "missing_history_days"
MADE_LATE = "made_late"
SCORED_AS = "scored_as"
# Each with its Arrow type and what it means. A table of an earlier version gets them when a batch has them; there, and in
# batches of an earlier version, they are null.
PLATFORM = {
    HAS_WAIVED_INPUT: ("bool", "An input of the row was published on a waiver"),
    MISSING_HISTORY_DAYS: ("int64", "Days that the row looks back on, that were due and were not published"),
    MADE_LATE: ("bool", "The prediction was made after its time"),
    SCORED_AS: ("string", "Who made the prediction: the champion, the previous champion or the baseline"),
}
_ALLOWED = "bool, int32, int64, float, double, string, date32, timestamp[us], timestamp[us, UTC], decimal128"


def stored_type(kind: pa.DataType) -> pa.DataType | None:
    """The Arrow type that a column is stored as, or None where the lake stores no such type."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    if pa.types.is_int8(kind) or pa.types.is_int16(kind):
        return pa.int32()
    plain = (pa.bool_(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.string(), pa.date32())
    return kind if kind in plain or pa.types.is_decimal128(kind) else None


def stored(data: pa.Table, where: str) -> pa.Table:
    """`data` with every column in the type that it is stored as, all nullable: nulls are the gate's matter.

    Raises:
        ContractBrokenError: names the columns of other types, or `ds` where it is no date32.
    """
    import pyarrow as pa

    types = {field.name: stored_type(field.type) for field in data.schema}
    wrong = [f"{field.name} ({field.type})" for field in data.schema if types[field.name] is None]
    if wrong or types.get(DAY) != pa.date32():
        raise ContractBrokenError(
            f"Cannot store column {', '.join(wrong)}." if wrong else f"There is no date32 column {DAY!r}.",
            where=where,
            allowed=_ALLOWED,
            todo="cast the column where the rows are made",
        )
    return data.cast(pa.schema([pa.field(name, kind) for name, kind in types.items()]))


def as_stored(schema: pa.Schema) -> pa.Schema:
    """The schema of a table as its batches have it (pyiceberg reads strings as large_string)."""
    import pyarrow as pa

    return pa.schema([pa.field(field.name, stored_type(field.type) or field.type) for field in schema])


def append(data: pa.Table, name: str, values: pa.Array | pa.ChunkedArray, where: str) -> pa.Table:
    """Append a column of the platform's own.

    Raises:
        ContractBrokenError: the rows have a column of that name already.
    """
    if name in data.column_names:
        raise ContractBrokenError(
            f"The rows have a column {name!r}, which the platform itself adds.",
            where=where,
            allowed="any other name",
            todo="give the column another name in the dbt model",
        )
    return data.append_column(name, values)


def check_fit(
    batch: Mapping[str, str], table: pa.Schema, where: str, *, optional: Collection[str] = ()
) -> None:
    """Make sure that a batch (column -> type) has exactly the columns of its table.

    Args:
        optional: columns of the table that a batch of an earlier version may lack; they read as null.

    Raises:
        ContractBrokenError: naming each column that differs.
    """
    have = {field.name: str(field.type) for field in as_stored(table)}
    differences = [
        f"{name} is {batch.get(name, 'missing')} in the batch and {have.get(name, 'missing')} in the table"
        for name in sorted({*have, *batch})
        if have.get(name) != batch.get(name) and not (name in optional and name not in batch)
    ]
    if differences:
        raise ContractBrokenError(
            f"The batch does not fit its table: {'; '.join(differences)}.",
            where=where,
            allowed=", ".join(f"{name} {kind}" for name, kind in have.items()),
            todo="stage the columns that the table has, or rebuild the table under a new contract version",
        )
