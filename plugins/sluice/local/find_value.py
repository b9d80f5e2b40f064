"""Whether anything under a folder knows a value: a secret that leaked, or a person who asks what is kept of them.

A file is looked at as it is, and as its format reads it: rows of SQLite and DuckDB, columns of Parquet, blocks of Avro,
members of archives, parts of mails, and all of these inside each other. A value is looked for in each of the forms that
software writes it in. Upper and lower case are the same, except in base64.

What it cannot see: values that are encrypted, hashed, or split over several fields.
"""

from __future__ import annotations

import base64
import email
import email.policy
import html
import io
import json
import os
import sqlite3
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

# Characters of a value that is looked for: a shorter one is there by chance.
SHORTEST = 6
# Archives in archives that are followed.
_DEPTH = 4


def find_value(folder: Path, values: Mapping[str, str]) -> list[str]:
    """Each place that knows a value, as `<path, and the part of it>: <name of the value> (<form>)`.

    A file that is not what it begins like, such as one that was never written to its end, is named as well: nobody can
    tell what it knows.

    Args:
        values: name to value. Only names are told; the values must be long enough not to be there by chance.
    """
    needles = {name: forms(value) for name, value in values.items()}
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        for name in values:
            hit = _found_in(os.fsencode(path.relative_to(folder)), needles[name])
            found += [f"{path.relative_to(folder)} (its name): {name} ({hit})"] if hit else []
        try:
            for part, content in readings(path):
                for name, wanted in needles.items():
                    if hit := _found_in(content, wanted):
                        found.append(f"{path.relative_to(folder)}{part}: {name} ({hit})")
        except FileNotFoundError:
            continue  # deleted meanwhile
        except Exception as error:  # noqa: BLE001 whatever the library of a format raises
            found.append(f"{path.relative_to(folder)}: cannot be read to its end ({type(error).__name__})")
    return list(dict.fromkeys(found))


def forms(value: str) -> dict[str, set[bytes]]:
    """How a value may be written, by the name of the form; lower case, but for base64."""
    data = value.encode()
    # Three ways that base64 cuts the same bytes, depending on what stands before them; the ends depend on neighbours.
    coded = {
        base64.b64encode(b"\0" * offset + data)[(0, 2, 3)[offset] :].rstrip(b"=")[:-1] for offset in range(3)
    }
    texts = {
        "plain": {value},
        "JSON": {json.dumps(value)[1:-1]},
        "URL": {
            urllib.parse.quote(value, safe=""),
            urllib.parse.quote(value),
            urllib.parse.quote_plus(value),
        },
        "HTML": {html.escape(value)},
        "hexadecimal": {data.hex()},
    }
    found = {form: {text.lower().encode() for text in written} for form, written in texts.items()}
    found["UTF-16"] = {value.lower().encode("utf-16-le"), value.lower().encode("utf-16-be")}
    found["base64"] = coded | {each.replace(b"+", b"-").replace(b"/", b"_") for each in coded}
    return found


def _found_in(content: bytes, wanted: Mapping[str, set[bytes]]) -> str | None:
    # The bytes' own lower() knows ASCII only; the text's is for names such as Ümit.
    lower = content.lower()
    texts = (lower, content.decode("utf-8", "ignore").lower().encode()) if not content.isascii() else (lower,)
    for form, each in wanted.items():
        haystacks = (content,) if form == "base64" else texts
        if any(needle in haystack for needle in each for haystack in haystacks):
            return form
    return None


def readings(path: Path) -> Iterator[tuple[str, bytes]]:
    """The content of a file, and what can be read out of it; each with the part of the file that it is."""
    content = path.read_bytes()
    yield "", content
    if content.startswith(b"SQLite format 3\0"):
        yield from _sqlite(path)
    elif content[8:12] == b"DUCK":
        yield from _duckdb(path)
    elif path.suffix == ".eml":
        yield from _mail(content)
    else:
        yield from _unpacked(content, "", _DEPTH)


def _unpacked(content: bytes, part: str, depth: int) -> Iterator[tuple[str, bytes]]:
    """What a packed content holds; nothing for what is not packed."""
    read = next((read for magic, read in _PACKED.items() if content.startswith(magic)), None)
    if read is None or not depth:
        return
    for name, inner in read(content):
        yield f"{part} > {name}", inner
        yield from _unpacked(inner, f"{part} > {name}", depth - 1)


def _gzip(content: bytes) -> Iterator[tuple[str, bytes]]:
    """All members, of which one continues the other (RFC 1952, section 2.2)."""
    members = []
    while content:
        member, content = _inflated(content, 16 + zlib.MAX_WBITS)
        members.append(member)
    yield "gzip", b"".join(members)


def _zlib(content: bytes) -> Iterator[tuple[str, bytes]]:
    yield "zlib", _inflated(content, zlib.MAX_WBITS)[0]


def _inflated(content: bytes, window: int) -> tuple[bytes, bytes]:
    """As much as can be unpacked, and what follows it: a file may be cut off, or only begin like a packed one."""
    stream, found = zlib.decompressobj(window), []
    # In pieces, because what comes before a mistake is still something; and the whole is looked at as it is.
    with suppress(zlib.error):
        for at in range(0, len(content), 4096):
            found.append(stream.decompress(content[at : at + 4096]))
            if stream.eof:
                return b"".join(found), stream.unused_data + content[at + 4096 :]
        found.append(stream.flush())
    return b"".join(found), b""


def _zip(content: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            yield name, archive.read(name)


def _parquet(content: bytes) -> Iterator[tuple[str, bytes]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(content))
    yield "metadata", repr(file.schema_arrow.metadata).encode()
    for group in file.iter_batches():
        for name, column in zip(group.schema.names, group.columns, strict=True):
            yield name, _joined(column.to_pylist())


def _avro(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Blocks of an Avro file, uncompressed (Avro 1.11 specification, "Object Container Files")."""
    stream = io.BytesIO(content)
    stream.seek(4)
    codec = b"null"
    while count := _long(stream):
        if count < 0:
            _long(stream)
        for _ in range(abs(count)):
            key, value = stream.read(_long(stream)), stream.read(_long(stream))
            codec = value if key == b"avro.codec" else codec
    stream.read(16)
    while stream.tell() < len(content):
        _long(stream)
        block = stream.read(_long(stream))
        yield (
            "block",
            {b"null": bytes, b"deflate": lambda data: zlib.decompress(data, -15), **_WITH_ZSTD}[codec](block),
        )
        stream.read(16)


def _long(stream: io.BytesIO) -> int:
    """Avro's variable-length zig-zag integer."""
    value = shift = 0
    while True:
        (byte,) = stream.read(1)
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1)


def _zstandard(data: bytes) -> bytes:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()


_WITH_ZSTD: dict[bytes, Callable[[bytes], bytes]] = {b"zstandard": _zstandard}
_PACKED: dict[bytes, Callable[[bytes], Iterator[tuple[str, bytes]]]] = {
    b"\x1f\x8b": _gzip,
    b"PK\x03\x04": _zip,
    b"PAR1": _parquet,
    b"Obj\x01": _avro,
    b"\x78\x01": _zlib,
    b"\x78\x9c": _zlib,
    b"\x78\xda": _zlib,
}


def _sqlite(path: Path) -> Iterator[tuple[str, bytes]]:
    """Rows of each table: a long value lies in pieces over the file's pages."""
    # Not immutable: what is still in the write-ahead log belongs to it.
    connection = sqlite3.connect(f"file:{urllib.parse.quote(str(path))}?mode=ro", uri=True, timeout=60)
    connection.text_factory = bytes
    try:
        tables = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
        for (table,) in tables:
            name = table.decode().replace('"', '""')
            for row in connection.execute(f'select * from "{name}"'):  # noqa: S608 the database's own table names
                cells = [cell for cell in row if isinstance(cell, bytes)]
                yield f" > {name}", b"\n".join(cells)
                for cell in cells:
                    yield from _unpacked(cell, f" > {name}", _DEPTH)
    finally:
        connection.close()


def _duckdb(path: Path) -> Iterator[tuple[str, bytes]]:
    """Rows of each table; views read files, which are looked at themselves."""
    import duckdb

    with duckdb.connect(str(path), read_only=True) as connection:
        names = connection.execute(
            "select database_name, schema_name, table_name from duckdb_tables()"
        ).fetchall()
        for parts in names:
            table = ".".join('"' + part.replace('"', '""') + '"' for part in parts)
            rows = connection.execute(f"select * from {table}").fetchall()  # noqa: S608 the database's own table names
            yield f" > {table}", _joined(rows)


def _mail(content: bytes) -> Iterator[tuple[str, bytes]]:
    message = email.message_from_bytes(content, policy=email.policy.default)
    yield " > headers", "\n".join(f"{name}: {value}" for name, value in message.items()).encode()
    for part in message.walk():
        if not part.is_multipart():
            payload = part.get_payload(decode=True)
            inner = payload if isinstance(payload, bytes) else b""
            yield f" > {part.get_content_type()}", inner
            yield from _unpacked(inner, f" > {part.get_content_type()}", _DEPTH)


def _joined(values: list) -> bytes:
    return b"\n".join(each if isinstance(each, bytes) else str(each).encode() for each in values)
