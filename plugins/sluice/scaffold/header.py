"""What a sample says of its columns by itself: their names, and their types where the format has types.

Nothing here judges values: the rows are read by `sluice.scaffold.sample`, as those of a delivery are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.core.errors import SampleRefusedError
from sluice.declare.contracts import PLATFORM_COLUMNS, ColumnType, Contract
from sluice.declare.limits import Limits
from sluice.declare.reading import Reading
from sluice.declare.sources import Format
from sluice.ingest import dialect, plaintext
from sluice.ingest.budget import Budget, OverBudgetError
from sluice.ingest.columns import BrokenColumnsError
from sluice.ingest.layout import Layout
from sluice.ingest.plaintext import UnreadableError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# Endings of files, and what is delivered in them.
FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".csv.gz": "csv.gz",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_DELIMITERS = (",", ";", "\t", "|")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Problems named in one error.
_SHOWN = 5


@dataclass(frozen=True)
class Header:
    """The columns of a sample."""

    format: Format
    names: list[str]
    # Of columns that the format gives another type than text.
    types: dict[str, ColumnType] = field(default_factory=dict)
    delimiter: str = ","
    # Whether some typed column holds times without an offset.
    has_local_times: bool = False


def refused(path: Path, what: str, allowed: str, todo: str) -> SampleRefusedError:
    return SampleRefusedError(what, where=str(path), allowed=allowed, todo=todo)


def read(path: Path) -> Header:
    """Read the columns of a sample.

    Raises:
        SampleRefusedError: there are none that a table could have, or the file is larger than a delivery may be; says what to do.
    """
    fmt, budget = _format(path), Budget.of(Limits())
    try:
        budget.check_file(path.stat().st_size)
        data = path.read_bytes()
        if not data:
            raise refused(
                path, "The sample is empty: it has 0 bytes.", "a file with rows", "give another file"
            )
        if fmt == "parquet":
            header = _of_parquet(path)
        elif fmt == "jsonl":
            header = _of_json(path, plaintext.utf8(data, "utf-8"))
        else:
            header = _of_csv(fmt, plaintext.inflate(data, budget) if fmt == "csv.gz" else data, budget)
    except OverBudgetError as over:
        error = over.as_error(str(path))
        raise refused(
            path, error.what, error.allowed, "give a file that is no larger than a delivery may be"
        ) from None
    except (UnreadableError, BrokenColumnsError) as error:
        problems = error.problems if isinstance(error, BrokenColumnsError) else ()
        said = "; ".join(one.text(show_value=True) for one in problems) or str(error)
        raise refused(
            path,
            f"The sample cannot be read as {fmt}: {said}",
            f"a complete {fmt} file in UTF-8",
            "correct the file",
        ) from error
    _check_names(path, header.names)
    return header


def _format(path: Path) -> Format:
    if not path.is_file():
        raise refused(path, "There is no such file.", "a file that can be read", "correct the path")
    endings = sorted((end for end in FORMATS if path.name.lower().endswith(end)), key=len)
    if not endings:
        raise refused(
            path,
            f"The name {path.name!r} ends in no format that can be delivered.",
            ", ".join(FORMATS),
            "give the file the ending of its format; what is in another one (a spreadsheet, XML) has to be exported to one "
            "of these",
        )
    return FORMATS[endings[-1]]


def _of_csv(fmt: Format, data: bytes, budget: Budget) -> Header:
    """The header of a CSV file, by the delimiter that gives it the most columns; a comma, where it gives several."""
    found: dict[str, list[str]] = {}
    for delimiter in _DELIMITERS:
        found[delimiter] = dialect.plain(data, _layout(delimiter), budget).header
        if len(found[","]) > 1:
            break
    best = max(found, key=lambda each: len(found[each]))
    return Header(fmt, found[best], delimiter=best)


def _layout(delimiter: str) -> Layout:
    """The layout of a file of which only the delimiter is known."""
    unknown: dict[str, Any] = {"columns": {}, "mappings": {}, "version_column": None}
    return Layout.of(Contract.model_construct(version=1, reading=Reading(delimiter=delimiter), **unknown))


def _of_json(path: Path, text: bytes) -> Header:
    """Keys in the order in which they come; a line that is no object is for the reader to refuse."""
    found: dict[str, set[type]] = {}
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        for key, value in row.items() if isinstance(row, dict) else ():
            found.setdefault(key, set()).add(type(value))
    types: dict[str, ColumnType] = {}
    for name, kinds in found.items():
        kinds -= {type(None)}
        if nested := kinds & {dict, list}:
            raise _unknown_type(path, name, "an array" if list in nested else "an object")
        if kinds == {bool}:
            types[name] = "boolean"
        elif kinds and kinds <= {int, float}:
            types[name] = "number" if float in kinds else "integer"
    return Header("jsonl", list(found), types)


def _of_parquet(path: Path) -> Header:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import types

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableError("it is truncated, damaged, or no Parquet file") from error
    found: dict[str, ColumnType] = {}
    for stored in schema:
        # The encoding is the file's business.
        of = stored.type.value_type if types.is_dictionary(stored.type) else stored.type
        kind = _declared(of)
        if kind:
            found[stored.name] = kind
        elif not (types.is_string(of) or types.is_large_string(of) or types.is_null(of)):
            raise _unknown_type(path, stored.name, str(stored.type))
    local = any(types.is_timestamp(stored.type) and stored.type.tz is None for stored in schema)
    return Header("parquet", schema.names, found, has_local_times=local)


def _declared(stored: pa.DataType) -> ColumnType | None:
    """The type that a contract declares for one of Parquet; None for text, and for what no contract can declare."""
    from pyarrow import types

    if types.is_integer(stored):
        return "integer"
    if types.is_floating(stored) or types.is_decimal(stored):
        return "number"
    if types.is_boolean(stored):
        return "boolean"
    if types.is_date(stored):
        return "date"
    return "timestamp" if types.is_timestamp(stored) else None


def _unknown_type(path: Path, name: str, stored: str) -> SampleRefusedError:
    return refused(
        path,
        f"Column {name!r} holds {stored}, which no contract can declare.",
        "text, integers, numbers, booleans, days, instants",
        "have the producer write it as one or several columns of these types, or leave it out",
    )


def _check_names(path: Path, names: Collection[str]) -> None:
    """Refuse names that a table cannot have."""
    import duckdb

    if not names:
        raise refused(path, "The sample has no columns.", "a file with named columns", "give another file")
    con = duckdb.connect()
    problems, lower = [], [name.lower() for name in names]
    for name in dict.fromkeys(names):
        if not _NAME.fullmatch(name):
            better = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower()
            hint = f", for example {better}" if _NAME.fullmatch(better) else ""
            problems.append(
                f"{name[:60]!r} has other characters than letters, digits and _, or begins with a digit{hint}"
            )
        elif lower.count(name.lower()) > 1:
            problems.append(f"{name!r} is there twice: names that differ only in case are one column")
        elif name.lower() in PLATFORM_COLUMNS:
            problems.append(f"{name!r} is the name of a column that Sluice adds")
        elif not _is_bare_name(con, name):
            problems.append(f"{name!r} is a reserved word of SQL")
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise refused(
            path,
            f"{len(problems)} name(s) of columns cannot be used: {'; '.join(problems[:_SHOWN])}{more}.",
            "letters, digits and _, beginning with no digit, no reserved word of SQL, each once",
            "have the producer rename them; where that cannot be, rename them in the sample, and declare afterwards a mapping "
            "with `rename` (docs/contracts.md)",
        )


def _is_bare_name(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether SQL takes a name for a column's without quotes, as rules are written."""
    import duckdb

    try:
        # It is made of letters, digits and _.
        con.execute(f"select {name} from (select 1 as {name}) where {name} = 1")  # noqa: S608
        con.execute(f"create or replace table bare ({name} int)")
    except duckdb.Error:
        return False
    return True
