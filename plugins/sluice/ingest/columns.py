"""Columns as a file gives them become columns as the contract declares them, strictly.

Where a column does not convert, the first row that is at fault is found and named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.ingest import casts

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.contracts import ColumnType
    from sluice.ingest.layout import Column, Layout

# Characters of a value that an error shows.
_SHOWN = 60
_DECLARE_ZONE = (
    "if all times without an offset are in one time zone, declare it: `naive_timestamps: UTC` (or America/New_York, ...) "
    "under `reading` of the contract; if not, have the producer write instants with their offset"
)

_NO_SUCH_TIME = (
    "in the declared zone {zone} there is no such time, or the clock shows it twice: have the producer write instants "
    "with their offset"
)


@dataclass(frozen=True)
class Problem:
    """One way in which a file breaks its contract.

    `what` has a `{value}` where the value at fault is shown, or where `hidden` stands if it must not be.
    """

    what: str
    allowed: str
    value: object = None
    hidden: str = "the value"
    # What would help besides another file.
    todo: str = ""
    # Characters of the value that are shown.
    shown: int = _SHOWN
    # Number of the row at fault, where it is one.
    row: int | None = None

    def text(self, *, show_value: bool) -> str:
        said = repr(self.value)
        shown = said if len(said) <= self.shown else said[: self.shown] + "..."
        return self.what.replace("{value}", shown if show_value else self.hidden, 1)


class BrokenColumnsError(Exception):
    """The columns do not follow the contract; `problems` says how. Caught by `sluice.ingest.parse`."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(f"{len(problems)} problems")
        self.problems = problems


@dataclass(frozen=True)
class Found:
    """What a file holds: the contract's columns, values perhaps missing, and what was left out."""

    table: pa.Table
    # Undeclared columns.
    left_out: list[str]
    # Records, counted by something else than what read them.
    counted: int


@dataclass(frozen=True)
class NullLike:
    """A text that looks like a null, and that was kept because nobody declared what it means."""

    column: str
    text: str
    rows: int


def arrow_type(column_type: ColumnType) -> pa.DataType:
    """The Arrow type that a declared type is kept in."""
    return casts.rules()[column_type].type


def convert(raw: pa.Table, layout: Layout, first_row: int = 1) -> pa.Table:
    """Convert to the contract's columns, in its order and types; values may still be missing.

    Args:
        raw: text columns (or typed ones, from formats that carry types), with the contract's names among them.
        first_row: number of its first row.

    Raises:
        BrokenColumnsError: the first row at fault of every column at fault.
    """
    import pyarrow as pa

    made, problems = {}, []
    for name, column in layout.columns.items():
        found = _converted(raw[name], name, column, layout, first_row)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            made[name] = found
    if problems:
        raise BrokenColumnsError(problems + _missing_values(pa.table(made), layout, first_row))
    return pa.table(made)


def convert_column(raw: pa.Table, name: str, layout: Layout, first_row: int = 1) -> pa.ChunkedArray:
    """Convert one column, as `convert` does.

    Raises:
        BrokenColumnsError: the first row at fault.
    """
    found = _converted(raw[name], name, layout.columns[name], layout, first_row)
    if isinstance(found, Problem):
        raise BrokenColumnsError([found])
    return found


def _converted(
    raw: pa.ChunkedArray, name: str, column: Column, layout: Layout, first_row: int
) -> pa.ChunkedArray | Problem:
    import pyarrow as pa

    rule, zone = casts.rules()[column.type], layout.reading.naive_timestamps
    values = casts.plain(raw)
    if not rule.accepts(values.type, zone):
        todo = _other_type(column.type, values.type, rule)
        return Problem(f"column {name!r} is of type {raw.type}", f"{name}: {rule.means}", todo=todo)
    values = casts.without_nulls(values, column.nulls)
    try:
        return casts.without_sentinels(rule.cast(values, zone), rule, column.nulls, zone)
    except pa.ArrowInvalid:
        row = _first_bad(values, rule, zone)
        value = values.slice(row, 1).cast(pa.string())[0].as_py()
        what = f"column {name!r}, row {first_row + row}: {{value}} is not {rule.noun}"
        todo = _bad_value(column, value, zone)
        return Problem(what, f"{name}: {rule.means}", value, todo=todo, row=first_row + row)


def _bad_value(column: Column, value: str, zone: str | None) -> str:
    """What to do about a value that does not fit its type, besides correcting it; "" where there is nothing else."""
    if value in column.null_like:
        return (
            f"if {value!r} means that there is no value, declare it among the `nulls` of the column, or of the contract's "
            "`reading`"
        )
    if column.type == "timestamp" and casts.is_local_time(value):
        return _DECLARE_ZONE if zone is None else _NO_SUCH_TIME.format(zone=zone)
    return ""


def _other_type(declared: ColumnType, found: pa.DataType, rule: casts.Rule) -> str:
    """What to do about a column of a type that has no way in."""
    import pyarrow.types as types

    if declared == "timestamp" and types.is_timestamp(found):
        return _DECLARE_ZONE
    if declared == "date" and types.is_timestamp(found):
        return "have the producer write dates, or the midnight of each without a time zone"
    if declared == "string":
        return "have the producer write text, or declare the type that it writes"
    return f"have the producer write {rule.means}, in a type of its own or as text"


def require_values(table: pa.Table, layout: Layout) -> None:
    """Refuse a column that must have a value in every row and has not; an empty text is none there.

    Raises:
        BrokenColumnsError: the first such row of every such column.
    """
    if problems := _missing_values(table, layout, 1):
        raise BrokenColumnsError(problems)


def _missing_values(table: pa.Table, layout: Layout, first_row: int) -> list[Problem]:
    import pyarrow.compute as pc

    problems = []
    for name in table.column_names:
        values, column = table[name], layout.columns[name]
        missing = pc.is_null(values)
        if column.type == "string":
            missing = pc.or_(missing, pc.fill_null(pc.equal(values, ""), False))
        if not column.nullable and (count := pc.sum(missing).as_py()):
            row = first_row + pc.index(missing, True).as_py()
            what = f"column {name!r}, row {row}: no value (missing in {count} of {len(values)} rows)"
            problems.append(Problem(what, f"{name}: a value in every row"))
    return problems


def null_like(table: pa.Table, layout: Layout) -> tuple[NullLike, ...]:
    """Count the texts that look like a null and were not declared, in columns as `convert` makes them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = []
    for name, column in layout.columns.items():
        if column.type == "string" and column.null_like:
            hits = table[name].filter(pc.is_in(table[name], pa.array(column.null_like)))
            counts = {each["values"]: each["counts"] for each in pc.value_counts(hits).to_pylist()}
            found += [NullLike(name, text, counts[text]) for text in column.null_like if text in counts]
    return tuple(found)


def _first_bad(values: pa.ChunkedArray, rule: casts.Rule, zone: str | None) -> int:
    """Index of the first value that does not convert, by halving: the converter only says that there is one."""
    import pyarrow as pa

    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            rule.cast(values.slice(low, middle - low), zone)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low
