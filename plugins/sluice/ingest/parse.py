"""A delivered file becomes a typed Arrow table, exactly as its contract declares, or an error that says where it is not.

Nothing is inferred, rounded or repaired: a file that is nearly right is wrong, because the next one will be wrong in
another way. Errors name column, row and value, so that a producer can find the place. Rows are counted from 1, without
the header and without blank lines. Values of sources with personal data are never shown.

What is declared must be there; what is there beside it is left out and named (`Parsed.left_out`), because a producer
may add columns without breaking a promise.

What is null: an empty field; in CSV also an unquoted NA (R's way to write it); in JSON null or an absent key.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.errors import ContractBrokenError, DeliveryUnreadableError
from sluice.ingest import columns, jsonl, pseudonyms, versions
from sluice.ingest.columns import BrokenColumnsError, Problem
from sluice.spec import Contract, Format

if TYPE_CHECKING:
    import pyarrow as pa

# What a file may begin with when it is not what was declared.
_SIGNATURES = {
    b"\x1f\x8b": "gzip",
    b"PAR1": "Parquet",
    b"PK\x03\x04": "zip (or Excel)",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
# Problems named in one error; more would hide the first.
_SHOWN = 5

# Version -> columns that a delivery of it has.
_Known = Mapping[int, Sequence[str]]


@dataclass(frozen=True)
class Parsed:
    """A delivered file as the contract declares it, and the names of its undeclared columns."""

    table: pa.Table
    left_out: tuple[str, ...]


def parse(data: bytes, fmt: Format, contract: Contract, *, where: str, pii: str = "none") -> pa.Table:
    """As `read`, of the declared version and without personal columns; the table alone."""
    return read(data, fmt, contract, where=where, pii=pii).table


def read(
    data: bytes,
    fmt: Format,
    contract: Contract,
    *,
    where: str,
    pii: str = "none",
    version: int | None = None,
    key: bytes | None = None,
) -> Parsed:
    """Read a delivered file strictly against its contract.

    Args:
        data: the whole file.
        where: name of the file, for errors.
        pii: class of the source; unless "none", errors show no values.
        version: the version that the file follows; the declared one where none is given.
        key: the key of pseudonyms, which a contract with personal columns needs.

    Returns: the contract's columns in its order, whatever version was delivered. string; integer: int64; number: finite
        float64; boolean: bool; date: date32; timestamp: timestamp[us, UTC]. At least one row. Personal columns hold
        pseudonyms.

    Raises:
        DeliveryUnreadableError: the file is empty, truncated, damaged, in another format or encoding, or has no rows.
        ContractBrokenError: columns are missing or given twice; a row has too few or too many fields, or follows
            another version; a value is not of the declared type, or is missing where it must not be.
        PseudonymKeyMissingError: there are personal columns and no key.
    """
    version = version or contract.version
    delivered = contract.as_delivered(version)
    key = pseudonyms.require_key(contract, where, key)
    if not data:
        raise _unreadable("The file is empty: it has 0 bytes.", where, fmt)
    try:
        raw, left_out = _READERS[fmt](data, delivered, versions.known(contract))
        if raw.num_rows == 0:
            raise _Unreadable("The file has no rows.")
        table = versions.to_declared(columns.convert(raw, delivered), contract, version)
        if key:
            table = pseudonyms.replace(table, contract.pseudonymised, key)
        return Parsed(table, tuple(left_out))
    except _Unreadable as error:
        # The library's own message may quote the file.
        cause = error.__cause__ if pii == "none" else None
        raise _unreadable(str(error), where, fmt) from cause
    except BrokenColumnsError as broken:
        problems = broken.problems
        shown = "; ".join(problem.text(show_value=pii == "none") for problem in problems[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ContractBrokenError(
            f"The file does not follow its contract: {shown}{more}.",
            where=f"{where} (rows are counted from 1, without the header)",
            allowed="; ".join(dict.fromkeys(problem.allowed for problem in problems[:_SHOWN])),
            todo="have the producer correct the file and deliver it with the next number; if the producer means the "
            "change, give it a version of its own and a mapping in the contract",
        ) from None


class _Unreadable(Exception):
    """The file cannot be read at all; the message says why."""


def _unreadable(what: str, where: str, fmt: Format) -> DeliveryUnreadableError:
    return DeliveryUnreadableError(
        what,
        where=where,
        allowed=f"a complete {fmt} file with at least one row"
        + (", encoded as UTF-8" if fmt != "parquet" else ""),
        todo="have the producer deliver the whole file with the next number",
    )


def _read_csv(data: bytes, contract: Contract, known: _Known) -> tuple[pa.Table, list[str]]:
    import pyarrow as pa
    from pyarrow import csv

    _check_text(data)
    if data.count(b'"') % 2:
        # Arrow would take everything after it for one value.
        raise _Unreadable('A quote (") is opened and never closed.')
    ragged: list[tuple[int, int, int]] = []
    headers: list[tuple[int, list[str]]] = []

    def note(row: csv.InvalidRow) -> str:
        # Arrow counts the header as row 1.
        ragged.append((row.number - 1, row.actual_columns, row.expected_columns))
        fields = [field.strip('"') for field in row.text.split(",")]
        if versions.is_header(fields, known):
            headers.append((row.number - 1, fields))
        return "skip"

    try:
        table = csv.read_csv(
            # Without a line end Arrow takes a lone header for no header.
            io.BytesIO(data if b"\n" in data else data + b"\n"),
            # One block and one thread: a block boundary may not cut a long row, and row numbers need one thread.
            read_options=csv.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(contract.columns, pa.string()),
                null_values=["", "NA"],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise _Unreadable("The file cannot be read as CSV.") from error
    left_out = columns.check_names(table.column_names, contract)
    if headers:
        raise versions.header_inside(*headers[0], contract.version, known)
    versions.check_repeated_header(table, contract.version, known)
    if ragged:
        raise BrokenColumnsError(
            [
                Problem(
                    f"row {row} has {fields} field(s), the header {expected}", "as many fields as the header"
                )
                for row, fields, expected in ragged
            ]
        )
    return table, left_out


def _read_gzipped_csv(data: bytes, contract: Contract, known: _Known) -> tuple[pa.Table, list[str]]:
    try:
        plain = gzip.decompress(data)
    except EOFError as error:
        raise _Unreadable("The gzip file is truncated: it ends in the middle.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _Unreadable(f"The file is damaged, or is not gzip{_looks_like(data)}.") from error
    return _read_csv(plain, contract, known)


def _read_jsonl(data: bytes, contract: Contract, known: _Known) -> tuple[pa.Table, list[str]]:
    _check_text(data)
    return jsonl.read(data, contract, known)


def _read_parquet(data: bytes, contract: Contract, known: _Known) -> tuple[pa.Table, list[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        left_out = columns.check_names(file.schema_arrow.names, contract)
        table = file.read(columns=list(contract.columns), use_threads=False)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _Unreadable(f"The Parquet file is truncated, damaged, or none{_looks_like(data)}.") from error
    return table, left_out


def _check_text(data: bytes) -> None:
    """UTF-8 without NUL, and not blank."""
    try:
        data.decode("utf-8")
        at = data.find(b"\0")
    except UnicodeDecodeError as error:
        at = error.start
    if at >= 0:
        line = data.count(b"\n", 0, at) + 1
        found = "a NUL byte" if data[at] == 0 else f"byte 0x{data[at]:02x}, which is not UTF-8"
        raise _Unreadable(
            f"The file is no UTF-8 text: {found}, in line {line} of the file{_looks_like(data)}."
        )
    if not data.removeprefix(codecs.BOM_UTF8).strip():
        raise _Unreadable("The file is blank.")


def _looks_like(data: bytes) -> str:
    kind = next((kind for begin, kind in _SIGNATURES.items() if data.startswith(begin)), None)
    return f"; it looks like {kind}" if kind else ""


_READERS: dict[Format, Callable[[bytes, Contract, _Known], tuple[pa.Table, list[str]]]] = {
    "csv": _read_csv,
    "csv.gz": _read_gzipped_csv,
    "jsonl": _read_jsonl,
    "parquet": _read_parquet,
}
