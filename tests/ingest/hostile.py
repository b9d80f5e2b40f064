"""Files that a stranger may deliver to do harm, made small and quickly: each is bytes, and what it is meant to do."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib

import pyarrow as pa
import pyarrow.parquet as pq

MIB = 1024 * 1024
HEADER = b"id,text\n"


def zipped_zeros(members: int, each: int) -> bytes:
    """A gzip file that inflates to `members * each` zero bytes, a thousandth of it in size."""
    return gzip.compress(bytes(each), mtime=0) * members


def zip_archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("rows.csv", HEADER + b"1,x\n")
    return out.getvalue()


def parquet(table: pa.Table | None = None, **options) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"id": [1], "text": ["x"]}) if table is None else table, out, **options)
    return out.getvalue()


def parquet_dictionary_bomb(rows: int, size: int) -> bytes:
    """One long value, repeated: a page of indices that are all the same takes a few bytes."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["a" * size])
    return parquet(pa.table({"id": pa.array([1] * rows), "text": text}), store_schema=False)


def parquet_claiming(rows: int) -> bytes:
    """A file of 1,234,567 nulls whose footer says that there are others."""
    made = 1_234_567
    honest = parquet(pa.table({"id": pa.nulls(made, pa.int64()), "text": pa.nulls(made, pa.string())}))
    size = struct.unpack("<I", honest[-8:-4])[0]
    footer = honest[-8 - size : -8].replace(varint(2 * made), varint(2 * rows))
    return honest[: -8 - size] + with_footer(footer)[4:]


def parquet_nested(depth: int) -> bytes:
    """A footer whose schema is a group in a group in a group."""
    root, group = b"\x48\x01r\x15\x02\x00", b"\x35\x00\x18\x01a\x15\x02\x00"
    leaf = b"\x15\x02\x25\x00\x18\x01x\x00"
    schema = b"\x19\xfc" + varint(depth + 2) + root + group * depth + leaf
    return with_footer(b"\x15\x02" + schema + b"\x16\x02\x19\x0c\x00")


def with_footer(footer: bytes, length: int | None = None) -> bytes:
    size = len(footer) if length is None else length
    return b"PAR1" + footer + struct.pack("<I", size) + b"PAR1"


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def stored_deflate(data: bytes) -> bytes:
    """gzip without compression, truncated in its checksum."""
    packer = zlib.compressobj(0, wbits=31)
    return (packer.compress(data) + packer.flush())[:-3]
