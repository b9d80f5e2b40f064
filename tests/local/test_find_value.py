"""The search that the canary tests rely on finds what is planted: in every format, in every form."""

from __future__ import annotations

import base64
import gzip
import io
import json
import secrets
import sqlite3
import urllib.parse
import zipfile
import zlib
from email.message import EmailMessage

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from sluice.cli import main
from sluice.local.find_value import find_value

VALUE = "Zebedee Quillfeather <ü+/?>"
DATA = VALUE.encode()


def gzipped(path, data):
    path.write_bytes(gzip.compress(data))


def cut_off(path, data):
    """What a process that was killed has written: no checksum, and not all of the data."""
    path.write_bytes(gzip.compress(data + secrets.token_bytes(100_000))[:-50_000])


def in_two_members(path, data):
    half = len(data) // 2
    path.write_bytes(gzip.compress(data[:half]) + gzip.compress(data[half:]) + b"\0" * 512)


def zipped(path, data):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("deep.gz", gzip.compress(data))


def parquet(path, data):
    pq.write_table(pa.table({"a": ["x", data.decode()]}), path, compression="zstd")


def sqlite(path, data):
    """A cell that is longer than a page, so that the value may lie on two of them."""
    with sqlite3.connect(path) as connection:
        connection.execute("create table t (a text, b blob)")
        connection.executemany(
            "insert into t values (?, ?)",
            [("x" * n + data.decode() + "y" * 9000, b"") for n in range(3000, 4200, 7)],
        )
    connection.close()


def compressed_cell(path, data):
    with sqlite3.connect(path) as connection:
        connection.execute("create table serialized_dag (data_compressed blob)")
        connection.execute("insert into serialized_dag values (?)", [zlib.compress(data * 3)])
    connection.close()


def duck(path, data):
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table t as select ? as a from range(100)", [data.decode()])


def mail(path, data):
    message = EmailMessage()
    message["Subject"] = data.decode()
    message.set_content(data.decode(), cte="base64")
    path.write_bytes(message.as_bytes())


def avro(path, data):
    """An Avro container with one deflated block, as Iceberg's manifests are."""

    def long(n):
        n, out = n << 1, b""
        while n > 0x7F:
            n, out = n >> 7, out + bytes([n & 0x7F | 0x80])
        return out + bytes([n])

    packer = zlib.compressobj(wbits=-15)
    block = packer.compress(data * 3) + packer.flush()
    head = b"Obj\x01" + long(1) + long(10) + b"avro.codec" + long(7) + b"deflate" + long(0) + b"s" * 16
    path.write_bytes(head + long(1) + long(len(block)) + block + b"s" * 16)


FORMATS = {
    "task.log": lambda path, data: path.write_bytes(b"INFO - " + data + b"\n"),
    "task.log.gz": gzipped,
    "killed.log.gz": cut_off,
    "rotated.log.gz": in_two_members,
    "report.zip": zipped,
    "part.parquet": parquet,
    "airflow.db": sqlite,
    "serialized.db": compressed_cell,
    "dbt.duckdb": duck,
    "told.eml": mail,
    "manifest.avro": avro,
}
FORMS = {
    "plain": DATA,
    "upper case": VALUE.upper().encode(),
    "lower case": VALUE.lower().encode(),
    "JSON": json.dumps({"a": VALUE}).encode(),
    "URL": urllib.parse.quote_plus(VALUE).encode(),
    "URL path": urllib.parse.quote(VALUE).lower().encode(),
    "HTML": VALUE.replace("<", "&lt;").replace(">", "&gt;").encode(),
    "hex": DATA.hex().encode(),
    "HEX": DATA.hex().upper().encode(),
    "UTF-16": VALUE.encode("utf-16"),
    "UTF-16, big end first": VALUE.encode("utf-16-be"),
    **{f"base64 after {n} bytes": base64.b64encode(b"?" * n + DATA + b"!!") for n in range(4)},
    **{f"base64url after {n} bytes": base64.urlsafe_b64encode(b"?" * n + DATA + b"!!") for n in range(3)},
}


@pytest.mark.parametrize("name", FORMATS)
def test_find_value_planted_value_is_found_in_every_format(tmp_path, name):
    (tmp_path / "deep").mkdir()
    FORMATS[name](tmp_path / "deep" / name, b"nothing to see, nothing to see here at all")
    assert find_value(tmp_path, {"the person": VALUE}) == []
    (tmp_path / "deep" / name).unlink()
    FORMATS[name](tmp_path / "deep" / name, DATA)
    found = find_value(tmp_path, {"the person": VALUE})
    assert found
    assert all(line.startswith(f"deep/{name}") for line in found)
    assert VALUE not in " ".join(found), "it tells where, and not what"


@pytest.mark.parametrize("form", FORMS)
def test_find_value_planted_value_is_found_in_every_form(tmp_path, form):
    (tmp_path / "a.log").write_bytes(b"{ " + FORMS[form] + b" }")
    assert find_value(tmp_path, {"the person": VALUE})
    (tmp_path / "a.log").write_bytes(FORMS[form][: len(FORMS[form]) // 2])
    assert find_value(tmp_path, {"the person": VALUE}) == []


def test_find_value_value_in_the_name_of_a_file_is_found(tmp_path):
    (tmp_path / "Zebedee Quillfeather.csv").write_bytes(b"")
    assert find_value(tmp_path, {"name": "zebedee quillfeather"})


def test_find_value_value_that_is_only_in_the_write_ahead_log_is_found(tmp_path):
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.execute("pragma journal_mode = wal")
    connection.execute("create table t (a text)")
    connection.execute("insert into t values (?)", [VALUE])
    connection.commit()
    found = find_value(tmp_path, {"the person": VALUE})
    connection.close()
    assert any("ledger.db > t" in line for line in found)


def test_find_value_zip_inside_gzip_is_opened(tmp_path):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.json", VALUE)
    (tmp_path / "bundle.gz").write_bytes(gzip.compress(inner.getvalue()))
    assert find_value(tmp_path, {"the person": VALUE}) == [
        "bundle.gz > gzip > model.json: the person (plain)"
    ]


@pytest.mark.parametrize("name", ["report.zip", "part.parquet"])
def test_find_value_file_that_ends_half_way_is_named_and_hides_no_other(tmp_path, name):
    FORMATS[name](tmp_path / name, b"nothing to see, nothing to see here at all")
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-20])
    (tmp_path / "task.log").write_bytes(DATA)
    half, other = find_value(tmp_path, {"the person": VALUE})
    assert half.startswith(f"{name}: cannot be read to its end")
    assert other.startswith("task.log: the person")


def test_find_value_command_reads_the_value_from_standard_input_and_does_not_repeat_it(tmp_path):
    (tmp_path / "a.log").write_text(f"user={VALUE}")
    found = CliRunner().invoke(main, ["find-value", str(tmp_path)], input=f"{VALUE}\n")
    assert (found.exit_code, found.output) == (1, "a.log: the value (plain)\n")
    none = CliRunner().invoke(main, ["find-value", str(tmp_path)], input="somebody else\n")
    assert none.exit_code == 0
    short = CliRunner().invoke(main, ["find-value", str(tmp_path)], input="a\n")
    assert short.exit_code == 1
    assert "6 characters" in short.output
