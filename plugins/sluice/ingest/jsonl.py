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
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sluice.ingest import columns, names, plaintext, versions
from sluice.ingest.columns import BrokenColumnsError, Problem

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.ingest.budget import Budget
    from sluice.ingest.layout import Column, Layout

# Rows that are held as Python objects at a time.
_CHUNK = 50_000
_BLANK = re.compile(r"[ \t\r]*")
_LINE = re.compile(rb"[^ \t\r\n][^\n]*")
# JSON types that are taken as they are; a value of another one is taken as its text.
_TYPES: dict[str, set[type]] = {"integer": {int}, "number": {int, float}, "boolean": {bool}}
_HIDDEN = "(name not shown)"


class _Object(list):
    """The pairs of a JSON object, repeated keys included."""


def read(data: bytes, layout: Layout, budget: Budget) -> columns.Found:
    """Read a file of JSON objects, one a line; null for an absent key.

    Args:
        layout: what the file should be; keys beside its columns are left out.

    Raises:
        UnreadableError: it is no text.
        OverBudgetError: it has too many rows or keys, or too long a value.
        BrokenColumnsError: a line is not one complete object, has a key twice or a value that the contract does not
            allow, or follows another version than those before it.
    """
    import pyarrow as pa

    text = plaintext.utf8(data, layout.reading.encoding) if data else b""  # without any, it has no rows
    wanted = tuple(layout.columns)
    # Keys in the order of a row -> where to find each column's value; a file has one or few of them.
    layouts: dict[tuple[str, ...], list[int | None]] = {}
    first_rows: dict[tuple[str, ...], int] = {}
    # Version -> the first row that follows it.
    followed: dict[int, int] = {}
    # Keys of a row that has columns of two versions -> where to find theirs, and ours for the same.
    unions: dict[tuple[str, ...], dict[int, tuple[list[int], list[int]]]] = {}
    seen: set[str] = set()
    left_out: list[str] = []
    tables: list[pa.Table] = []
    rows: list[tuple[Any, ...]] = []

    def convert_rows() -> None:
        first = sum(table.num_rows for table in tables) + 1
        raw = _columns(rows, first, layout)
        budget.check_cells(raw, first)
        versions.check_stated(raw, layout, first)
        tables.append(columns.convert(raw, layout, first))
        rows.clear()

    for number, pairs in enumerate(_objects(text), 1):
        keys = tuple(key for key, _ in pairs)
        if keys not in layouts:
            budget.check_columns(len(pairs), number)
            spelled = tuple(layout.spelled(keys))
            _check_keys(number, spelled)
            seen.update(keys)
            budget.check_columns(len(seen))
            budget.check_names(sum(len(key.encode(errors="replace")) for key in seen))
            found = versions.followed(spelled, layout.version, layout.known)
            followed.setdefault(found, number)
            versions.check_one_version(followed, layout.version)
            first_rows.setdefault(spelled, number)
            if found == layout.version and (union := _union(spelled, layout)):
                unions[keys] = union
            layouts[keys] = [spelled.index(name) if name in spelled else None for name in wanted]
        for version, (theirs, own) in unions.get(keys, {}).items():
            if _has_value(pairs, theirs) and not _has_value(pairs, own):
                raise versions.in_union(number, version, layout.version)
        rows.append(tuple(None if at is None else pairs[at][1] for at in layouts[keys]))
        if len(rows) == _CHUNK:
            budget.check_rows(number)
            convert_rows()
    if rows:
        budget.check_rows(number)
        convert_rows()
    if not tables:
        kinds = {name: columns.arrow_type(column.type) for name, column in layout.columns.items()}
        return columns.Found(pa.schema(kinds.items()).empty_table(), [], 0)
    # A key that no row has is a missing column, not one without values.
    left_out = names.check(list(dict.fromkeys(key for keys in first_rows for key in keys)), layout)
    versions.check_layouts(first_rows, layout)
    # Counted by their lines: each must hold one object.
    return columns.Found(pa.concat_tables(tables), left_out, sum(1 for _ in _LINE.finditer(text)))


def _union(keys: tuple[str, ...], layout: Layout) -> dict[int, tuple[list[int], list[int]]]:
    """Another version -> where a row has columns by its names, and by the layout's for the same; of versions that it has some of."""
    places = {
        version: (
            [keys.index(other) for other in names if other in keys],
            [keys.index(own) for own in names.values() if own in keys],
        )
        for version, names in layout.other_names.items()
    }
    return {version: found for version, found in places.items() if found[0]}


def _has_value(pairs: _Object, places: list[int]) -> bool:
    return any(pairs[at][1] is not None for at in places)


def _objects(data: bytes) -> Iterator[_Object]:
    """Each line's pairs; BrokenColumnsError at the first that is not one complete object."""
    text = data.decode()
    decoder = json.JSONDecoder(object_pairs_hook=_Object)
    at, row = 0, 0
    while at < len(text):
        at = _skip_blank(text, at)
        end = text.find("\n", at) % (len(text) + 1)
        if at == end:
            at += 1
            continue
        row += 1
        try:
            found, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, _Object):
            what = f"row {row} is cut short, or is not a JSON object"
            raise BrokenColumnsError([Problem(what, "one JSON object a line")])
        if (at := _skip_blank(text, at)) != end:
            what = f"row {row} is more than one line, or has something else in its line"
            raise BrokenColumnsError([Problem(what, "one JSON object a line")])
        yield found


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


def _columns(rows: list[tuple[Any, ...]], first: int, layout: Layout) -> pa.Table:
    """Rows, the first of which has the number `first`, as columns; BrokenColumnsError for each column at fault."""
    import pyarrow as pa

    made, problems = {}, []
    for values, (name, column) in zip(zip(*rows, strict=True), layout.columns.items(), strict=True):
        found = _array(values, column)
        if isinstance(found, int):
            noun = "a text" if column.type == "string" else f"a JSON value of type {column.type}, or its text"
            what = f"column {name!r}, row {first + found}: {{value}} is not {noun}"
            problems.append(Problem(what, f"{name}: {noun}", values[found]))
        else:
            made[name] = found
    if problems:
        raise BrokenColumnsError(problems)
    return pa.table(made)


def _array(values: tuple[Any, ...], column: Column) -> pa.Array | int:
    """Values in a type of JSON where all are of the declared one, otherwise as text; or the index of one that is none."""
    import pyarrow as pa

    types = {*map(type, values)} - {type(None)}
    if types and types <= _TYPES.get(column.type, set()):
        with suppress(
            pa.ArrowInvalid, OverflowError
        ):  # integers that need more than 64 bits, or than a float has
            return pa.array(values, _arrow_type(types))
    texts = [_text(value, column) for value in values]
    try:
        return pa.array(texts, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):  # no text; half of a surrogate pair
        return next(at for at, text in enumerate(texts) if text is _NONE or not _is_text(text))


def _arrow_type(types: set[type]) -> pa.DataType:
    import pyarrow as pa

    return pa.float64() if float in types else pa.int64() if int in types else pa.bool_()


# Of a value that has no text.
_NONE = object()


def _text(value: Any, column: Column) -> Any:
    """A JSON value as CSV has it; `_NONE` for an array, an object, and for what is no text where text is declared."""
    if value is None or type(value) is str:
        return value
    if column.type == "string" or type(value) not in (bool, int, float):
        return _NONE
    if value != value:  # NaN, in the declared spelling where it means null
        return next((text for text in column.nulls if text.lower() == "nan"), "NaN")
    return json.dumps(value)


def _is_text(text: str | None) -> bool:
    try:
        return text is None or bool(text.encode()) or True
    except UnicodeEncodeError:
        return False
