"""JSON lines become columns, row by row with the standard library's parser.

Arrow's own JSON reader is twice as fast (2.2 million fields: 0.4 s against 1.0 s), but pyarrow 25.0.1 now and
then ends the whole process with a segmentation fault on malformed text, and it names neither row nor key. A delivery
must not be able to do that.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sluice.ingest import plaintext, versions
from sluice.ingest.columns import BrokenColumnsError, Problem, check_names

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.ingest.budget import Budget
    from sluice.ingest.layout import Column, Layout

# Rows that are held as Python objects at a time.
_CHUNK = 50_000
_BLANK = re.compile(r"[ \t\r\n]*")
# JSON types of a contract's types; texts, dates and timestamps are JSON strings.
_TYPES: dict[str, tuple[type, ...]] = {"integer": (int,), "number": (int, float), "boolean": (bool,)}
_HIDDEN = "(name not shown)"


class _Object(list):
    """The pairs of a JSON object, repeated keys included."""


def read(data: bytes, layout: Layout, budget: Budget) -> tuple[pa.Table, list[str]]:
    """A file of JSON objects as columns: int64, float64, bool, or text for all other types; null for an absent key.

    Args:
        layout: what the file should be; keys beside its columns are left out.

    Returns: the columns, and the keys that were left out.

    Raises:
        UnreadableError: it is no text.
        OverBudgetError: it has too many rows or keys, or too long a value.
        BrokenColumnsError: a row is no complete object, has a key twice or a value that the contract does not allow,
            or follows another version than the rows before it.
    """
    import pyarrow as pa

    if data:  # without any, it has no rows
        plaintext.check(data)
    typed = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
    schema = pa.schema([(name, typed.get(each.type, pa.string())) for name, each in layout.columns.items()])
    names = tuple(layout.columns)
    # Keys in the order of a row -> where to find each column's value; a file has one or few of them.
    layouts: dict[tuple[str, ...], list[int | None]] = {}
    first_rows: dict[tuple[str, ...], int] = {}
    seen: set[str] = set()
    left_out: list[str] = []
    batches: list[pa.RecordBatch] = []
    rows: list[tuple[Any, ...]] = []

    def convert_rows() -> None:
        first = sum(batch.num_rows for batch in batches) + 1
        batches.append(pa.record_batch(_columns(rows, first, layout, schema), schema=schema))
        budget.check_cells(pa.Table.from_batches(batches[-1:]), first)
        rows.clear()

    for number, pairs in enumerate(_objects(data), 1):
        keys = tuple(key for key, _ in pairs)
        if keys not in layouts:
            budget.check_columns(len(pairs), number)
            _check_keys(number, keys)
            seen.update(keys)
            budget.check_columns(len(seen))
            budget.check_names(sum(len(key.encode(errors="replace")) for key in seen))
            if (
                first_rows
                and (found := versions.followed(keys, layout.version, layout.known)) != layout.version
            ):
                raise versions.two_versions(number, found, layout.version)
            first_rows[keys] = number
            layouts[keys] = [keys.index(name) if name in keys else None for name in names]
        rows.append(tuple(None if at is None else pairs[at][1] for at in layouts[keys]))
        if len(rows) == _CHUNK:
            budget.check_rows(number)
            convert_rows()
    if rows:
        budget.check_rows(number)
        convert_rows()
    if layouts:
        # A key that no row has is a missing column, not one without values.
        left_out = check_names(list(dict.fromkeys(key for keys in layouts for key in keys)), layout)
        versions.check_layouts(first_rows, layout)
    return pa.Table.from_batches(batches, schema), left_out


def _objects(data: bytes) -> Iterator[_Object]:
    """Each row's pairs; BrokenColumnsError at the first that is no complete object."""
    text = data.decode("utf-8-sig")
    decoder = json.JSONDecoder(object_pairs_hook=_Object)
    at, row = _skip_blank(text, 0), 0
    while at < len(text):
        row += 1
        try:
            found, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, _Object):
            what = f"row {row} is cut short, or is not a JSON object"
            raise BrokenColumnsError([Problem(what, "one JSON object a line")])
        yield found
        at = _skip_blank(text, at)


def _skip_blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _check_keys(row: int, keys: tuple[str, ...]) -> None:
    problems = [
        Problem(f"row {row}, key {{value}}: given twice", "each key once in a row", key, _HIDDEN)
        for key, times in Counter(keys).items()
        if times > 1
    ]
    if problems:
        raise BrokenColumnsError(problems)


def _columns(rows: list[tuple[Any, ...]], first: int, layout: Layout, schema: pa.Schema) -> list[pa.Array]:
    """Rows, the first of which has the number `first`, as arrays; BrokenColumnsError for each column at fault."""
    made, problems = [], []
    for values, (name, column), kind in zip(
        zip(*rows, strict=True), layout.columns.items(), schema.types, strict=True
    ):
        array = _array(values, column, kind)
        if array is None:
            at = next(at for at, value in enumerate(values) if _array((value,), column, kind) is None)
            noun = f"a JSON {column.type}" if column.type in _TYPES else f"a {column.type} in a JSON string"
            what = f"column {name!r}, row {first + at}: {{value}} is not {noun}"
            problems.append(Problem(what, f"{name}: {noun}", values[at]))
        made.append(array)
    if problems:
        raise BrokenColumnsError(problems)
    return made


def _array(values: tuple[Any, ...], column: Column, kind: pa.DataType) -> pa.Array | None:
    """The values in their Arrow type; None if one of them is of another type, or cannot be kept."""
    import pyarrow as pa

    if not {type(value) for value in values} <= {type(None), *_TYPES.get(column.type, (str,))}:
        return None
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):  # beyond 64 bits; half of a surrogate pair
        return None
