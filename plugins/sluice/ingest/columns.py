"""Columns as a file gives them become columns as the contract declares them, strictly.

A value is accepted only if it means the same to everybody: no hexadecimal integers, no local times, no NaN. Where
a column does not convert, the first row that is at fault is found and named.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.contracts import ColumnType
    from sluice.ingest.layout import Layout

# Characters of a value that an error shows.
_SHOWN = 60
# How alike two names must be for one to be taken for the other, where more than one is new.
_ALIKE = 0.5


@dataclass(frozen=True)
class Problem:
    """One way in which a file breaks its contract.

    `what` has a `{value}` where the value at fault is shown, or where `hidden` stands if it must not be.
    """

    what: str
    allowed: str
    value: object = None
    hidden: str = "the value"

    def text(self, *, show_value: bool) -> str:
        shown = repr(self.value) if len(repr(self.value)) <= _SHOWN else repr(self.value)[:_SHOWN] + "..."
        return self.what.replace("{value}", shown if show_value else self.hidden, 1)


class BrokenColumnsError(Exception):
    """The columns do not follow the contract; `problems` says how. Caught by `sluice.ingest.parse`."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(f"{len(problems)} problems")
        self.problems = problems


def check_names(found: Sequence[str], layout: Layout) -> list[str]:
    """Refuse missing columns, and columns given twice; their order does not matter.

    Returns: the undeclared columns, which are left out: a producer may add columns without breaking a promise.

    Raises:
        BrokenColumnsError: lists what is missing or given twice, with the undeclared columns that may be the missing
            ones under a new name.
    """
    allowed = f"columns {', '.join(layout.columns)}, each once"
    missing = [name for name in layout.columns if name not in found]
    unexpected = [name for name in dict.fromkeys(found) if name not in layout.columns]
    twice = [name for name, times in Counter(found).items() if times > 1 and name in layout.columns]
    problems = [Problem(f"missing column {name!r}", allowed) for name in missing]
    # The "name" may be a person's, where a file without a header is delivered.
    hidden = "(name not shown)"
    if missing:
        problems += [Problem("unexpected column {value}", allowed, name, hidden) for name in unexpected]
        problems += [
            Problem(f"{name!r} may be there under a new name: {{value}}", allowed, near, hidden)
            for name, near in lookalikes(missing, unexpected).items()
        ]
    problems += [Problem(f"column {name!r} is there more than once", allowed) for name in twice]
    if problems:
        raise BrokenColumnsError(problems)
    return unexpected


def lookalikes(missing: Sequence[str], unexpected: Sequence[str]) -> dict[str, str]:
    """Missing column -> the undeclared column that is probably the same under a new name."""
    if len(missing) == len(unexpected) == 1:
        return {missing[0]: unexpected[0]}
    pairs = ((name, difflib.get_close_matches(name, unexpected, n=1, cutoff=_ALIKE)) for name in missing)
    return {name: near[0] for name, near in pairs if near}


def arrow_type(column_type: ColumnType) -> pa.DataType:
    """The Arrow type that a declared type is kept in."""
    return _rules()[column_type].type


def convert(raw: pa.Table, layout: Layout) -> pa.Table:
    """The contract's columns in its order and types.

    Args:
        raw: text columns (or typed ones, from formats that carry types), with the contract's names among them.

    Raises:
        BrokenColumnsError: the first row at fault of every column at fault.
    """
    import pyarrow as pa

    made, problems = {}, []
    for name, column in layout.columns.items():
        rule = _rules()[column.type]
        found = raw[name]
        if not rule.accepts(found.type):
            problems.append(Problem(f"column {name!r} is of type {found.type}", f"{name}: {rule.means}"))
            continue
        values = _without_empty_text(found, column.type)
        try:
            made[name] = _cast(values, rule)
        except pa.ArrowInvalid:
            row = _first_bad(values, rule)
            what = f"column {name!r}, row {row + 1}: {{value}} is not {rule.noun}"
            problems.append(Problem(what, f"{name}: {rule.means}", _shown(values, row)))
            continue
        if values.null_count and not column.nullable:
            problems.append(_first_null(name, values))
    if problems:
        raise BrokenColumnsError(problems)
    return pa.table(made)


@dataclass(frozen=True)
class _Rule:
    """How a declared type is read."""

    noun: str
    means: str
    type: pa.DataType
    # Arrow types that are taken besides text.
    typed: Callable[[pa.DataType], bool]
    # What the text must look like, where Arrow's own reading is more generous than a contract should be.
    pattern: str = ""

    def accepts(self, found: pa.DataType) -> bool:
        import pyarrow.types as types

        if types.is_dictionary(found):
            found = found.value_type
        return types.is_null(found) or types.is_string(found) or self.typed(found)


@lru_cache(maxsize=1)
def _rules() -> dict[ColumnType, _Rule]:
    import pyarrow as pa
    import pyarrow.types as types

    def number(found: pa.DataType) -> bool:
        return types.is_integer(found) or types.is_floating(found)

    def instant(found: pa.DataType) -> bool:
        # Compared, not read: the name of a zone may be damaged, and does not matter.
        return types.is_timestamp(found) and found != pa.timestamp(found.unit)

    def text(found: pa.DataType) -> bool:
        return types.is_large_string(found) or types.is_string_view(found)

    return {
        "string": _Rule("a text", "text", pa.string(), text),
        "integer": _Rule(
            "an integer",
            "an integer such as -42, within 64 bits",
            pa.int64(),
            types.is_integer,
            r"^-?[0-9]+$",
        ),
        "number": _Rule(
            "a finite number",
            "a finite number such as -1.5 or 2e3",
            pa.float64(),
            number,
            r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$",
        ),
        "boolean": _Rule(
            "a boolean", "true or false, 1 or 0", pa.bool_(), types.is_boolean, r"^(?i:true|false|1|0)$"
        ),
        "date": _Rule("a date", "a date as YYYY-MM-DD", pa.date32(), types.is_date),
        "timestamp": _Rule(
            "an instant with an offset",
            "an instant with its offset from UTC, such as 2013-01-31T06:00:00Z, to the microsecond",
            pa.timestamp("us", "UTC"),
            instant,
        ),
    }


def _without_empty_text(values: pa.ChunkedArray, column_type: ColumnType) -> pa.ChunkedArray:
    """Plain text or typed values, with null for an empty text, and for NA where text is not what is declared."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    if types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if types.is_large_string(values.type) or types.is_string_view(values.type):
        values = values.cast(pa.string())
    if not types.is_string(values.type):
        return values
    empty = pa.array([""] if column_type == "string" else ["", "NA"])
    return pc.if_else(pc.is_in(values, empty), pa.scalar(None, pa.string()), values)


def _cast(values: pa.ChunkedArray, rule: _Rule) -> pa.ChunkedArray:
    """Values in the declared type; ArrowInvalid if any of them is not one."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    def refuse_unless(good: pa.ChunkedArray) -> None:
        if not pc.all(good, min_count=0).as_py():
            raise pa.ArrowInvalid(f"not {rule.noun}")

    if rule.pattern and types.is_string(values.type):
        refuse_unless(pc.match_substring_regex(values, rule.pattern))
    made = values.cast(rule.type)
    if types.is_floating(made.type):
        refuse_unless(pc.is_finite(made))
    if types.is_temporal(made.type):
        # Beyond these years neither Python nor most readers of the lake can hold the value.
        first, last = (pa.scalar(day).cast(made.type) for day in (date(1, 1, 1), date(9999, 12, 31)))
        refuse_unless(pc.and_(pc.greater_equal(made, first), pc.less(made, last)))
    return made


def _first_bad(values: pa.ChunkedArray, rule: _Rule) -> int:
    """Index of the first value that does not convert, by halving: the converter only says that there is one."""
    import pyarrow as pa

    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            _cast(values.slice(low, middle - low), rule)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low


def _first_null(name: str, values: pa.ChunkedArray) -> Problem:
    import pyarrow.compute as pc

    row = pc.index(pc.is_null(values), True).as_py() + 1
    return Problem(
        f"column {name!r}, row {row}: no value (missing in {values.null_count} of {len(values)} rows)",
        f"{name}: a value in every row",
    )


def _shown(values: pa.ChunkedArray, row: int) -> str:
    import pyarrow as pa

    return values.slice(row, 1).cast(pa.string())[0].as_py()
