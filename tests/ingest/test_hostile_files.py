"""Files made to do harm are refused clearly, are listed with a way back, and cost the process that stages nothing.

Limits are lowered in the pipeline's YAML, as a person would, so that the files stay small; the sizes of real attacks are
in `test_hostile_sizes`.
"""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pytest

from sluice.core.errors import ContractBrokenError, DeliveryUnreadableError, LimitExceededError
from tests.ingest import hostile, strangers
from tests.ingest.hostile import HEADER, MIB, parquet, varint, with_footer

TOO_MUCH, UNREADABLE, BROKEN = LimitExceededError, DeliveryUnreadableError, ContractBrokenError


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """One home for all: every file is the next delivery of its source, and is refused."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_HOME", str(tmp_path_factory.mktemp("home")))
        declared = strangers.declare(
            tmp_path_factory.mktemp("declared") / "pipelines", patch, strangers.LIMITS
        )
        # What staging imports is not what a file costs.
        strangers.place(declared, "blocks", parquet())
        strangers.stage(declared, "blocks")
        yield declared
    strangers.settings.cache_clear()


def wide(columns):
    return ",".join(["id", "text", *(f"c{at}" for at in range(columns - 2))]).encode()


PACKED = {
    "gzip bomb: 1 GB of zeros in 1 MB": (
        lambda: hostile.zipped_zeros(16, 64 * MIB),
        TOO_MUCH,
        "unpacks to more than 32 MiB",
    ),
    "gzip bomb of a few kB": (
        lambda: hostile.zipped_zeros(1, 4 * MIB),
        TOO_MUCH,
        "unpacks to more than 100 times its size",
    ),
    "gzip in gzip": (lambda: gzip.compress(gzip.compress(HEADER + b"1,x\n")), UNREADABLE, "looks like gzip"),
    "zip named csv.gz": (hostile.zip_archive, UNREADABLE, "looks like zip"),
    "gzip cut in its checksum": (lambda: hostile.stored_deflate(HEADER + b"1,x\n"), UNREADABLE, "truncated"),
}
TEXTS = {
    "zip named csv": (hostile.zip_archive, UNREADABLE, "looks like zip"),
    "CSV: long value": (
        lambda: HEADER + b"1,x\n2," + b"a" * MIB + b"\n",
        TOO_MUCH,
        "Column 'text', row 2: the value is too long; the longest of the column has 1,048,576 bytes",
    ),
    "CSV: thousands of columns": (
        lambda: wide(5_000) + b"\n" + b"1," * 4_999 + b"1\n",
        TOO_MUCH,
        "too many columns: 5,000",
    ),
    "CSV: columns behind a quoted line end": (
        lambda: b'"\n",' + wide(200) + b"\n",
        TOO_MUCH,
        "too many columns: 201",
    ),
    "CSV: long column name": (
        lambda: b"id,text," + b"n" * 200_000 + b"\n1,x,y\n",
        TOO_MUCH,
        "names of the columns are too long",
    ),
    "CSV: too many rows": (lambda: HEADER + b"1,x\n" * 100_001, TOO_MUCH, "too many rows: 100,001"),
    "CSV: ragged rows without end": (lambda: HEADER + b"1\n" * 300_000, TOO_MUCH, "too many rows"),
    "CSV: quote open over the whole file": (
        lambda: b'id,text\n1,"' + b"x\n" * 500_000,
        BROKEN,
        "never closed",
    ),
    "CSV: quoted over the whole file": (
        lambda: b'id,text\n1,"' + b"x\n" * 500_000 + b'"\n',
        TOO_MUCH,
        "Column 'text', row 1: the value is too long",
    ),
    "CSV: number of a million digits": (
        lambda: HEADER + b"9" * 1_000_000 + b",x\n",
        TOO_MUCH,
        "Column 'id', row 1",
    ),
    "CSV: NUL bytes": (lambda: HEADER + b"1,\0\n", UNREADABLE, "a NUL byte, in line 2"),
    "CSV: UTF-8, then Latin-1": (
        lambda: HEADER + "1,Zürich\n".encode() + "2,Zürich\n".encode("latin-1"),
        UNREADABLE,
        "byte 0xfc, which is not UTF-8, in line 3",
    ),
    "CSV: UTF-16": (lambda: (HEADER + b"1,x\n").decode().encode("utf-16"), UNREADABLE, "looks like UTF-16"),
    "CSV: UTF-16 without mark": (
        lambda: (HEADER + b"1,x\n").decode().encode("utf-16-le"),
        UNREADABLE,
        "a NUL byte, in line 1",
    ),
    "CSV: overlong UTF-8": (lambda: HEADER + b"1,\xc0\xaf\n", UNREADABLE, "byte 0xc0, which is not UTF-8"),
    "CSV: byte order mark inside": (
        lambda: HEADER + b"1,x\n\xef\xbb\xbf2,y\n",
        BROKEN,
        r"row 2: '\ufeff2' is not an integer",
    ),
    "CSV: file too large": (lambda: HEADER + b"1,x\n" * (5 * MIB), TOO_MUCH, "too large: 20.0 MiB"),
}
LINES = {
    "JSON: nested deeply": (lambda: b'{"id":' + b"[" * MIB, BROKEN, "row 1 is cut short"),
    "JSON: thousands of keys": (
        lambda: json.dumps({"id": 1, "text": "x", **{f"k{at}": 0 for at in range(5_000)}}).encode(),
        TOO_MUCH,
        "Row 1 has too many columns: 5,002",
    ),
    "JSON: another key in every row": (
        lambda: b"".join(b'{"id": 1, "text": "x", "k%d": 0}\n' % at for at in range(2_000)),
        TOO_MUCH,
        "too many columns: 101",
    ),
    "JSON: long value": (
        lambda: b'{"id": 1, "text": "x"}\n{"id": 2, "text": "' + b"a" * MIB + b'"}\n',
        TOO_MUCH,
        "Column 'text', row 2: the value is too long",
    ),
    "JSON: long key": (
        lambda: b'{"id": 1, "text": "x", "' + b"k" * MIB + b'": 1}',
        TOO_MUCH,
        "names of the columns are too long",
    ),
    "JSON: number of a million digits": (
        lambda: b'{"text": "x", "id": ' + b"9" * 1_000_000 + b"}",
        BROKEN,
        "row 1 is cut short, or is not a JSON object",
    ),
    "JSON: too many rows": (lambda: b'{"id":1,"text":""}\n' * 100_001, TOO_MUCH, "too many rows: 100,001"),
    "JSON: NUL bytes": (lambda: b'{"id": 1, "text": "\0"}', UNREADABLE, "a NUL byte, in line 1"),
    "JSON: half of a surrogate pair": (
        lambda: b'{"id": 1, "text": "\\ud800"}',
        BROKEN,
        r"'\ud800' is not a text",
    ),
}
BLOCKS = {
    "Parquet: claims billions of rows": (
        lambda: hostile.parquet_claiming(5_000_000_000),
        TOO_MUCH,
        "too many rows: 5,000,000,000",
    ),
    "Parquet: claims other rows": (
        lambda: hostile.parquet_claiming(1),
        UNREADABLE,
        "truncated, damaged",
    ),
    "Parquet bomb of one value": (
        lambda: hostile.parquet_dictionary_bomb(20_000, 60_000),
        TOO_MUCH,
        "",  # memory or size, whichever is passed first
    ),
    "Parquet: zeros, compressed": (
        lambda: parquet(pa.table({"id": [1], "text": ["0" * 20 * MIB]}), compression="zstd"),
        TOO_MUCH,
        "unpacks to more than 100 times its size",
    ),
    "Parquet: long value": (
        lambda: parquet(pa.table({"id": [1, 2], "text": ["x", "a" * 100_000]}), compression="none"),
        TOO_MUCH,
        "Column 'text', row 2: the value is too long",
    ),
    "Parquet: thousands of columns": (
        lambda: parquet(pa.table({"id": [1], "text": ["x"], **{f"c{at}": [1] for at in range(1_000)}})),
        TOO_MUCH,
        "too many columns: 1,002",
    ),
    "Parquet: too many rows": (
        lambda: parquet(pa.table({"id": range(100_001), "text": ["x"] * 100_001})),
        TOO_MUCH,
        "too many rows: 100,001",
    ),
    "Parquet: footer cut": (lambda: parquet()[:-9], UNREADABLE, "truncated, damaged"),
    "Parquet: footer longer than the file": (
        lambda: with_footer(b"\x15\x02", 2**31 - 1),
        UNREADABLE,
        "truncated, damaged",
    ),
    "Parquet: list of billions in the footer": (
        lambda: with_footer(b"\x15\x02\x19\xfc" + varint(2**32 - 1)),
        UNREADABLE,
        "truncated, damaged",
    ),
    "Parquet: text of gigabytes in the footer": (
        lambda: with_footer(b"\x15\x02\x19\x1c\x48" + varint(2**31 - 1) + b"x"),
        UNREADABLE,
        "truncated, damaged",
    ),
    "Parquet: noise": (lambda: with_footer(bytes(range(256)) * 40), UNREADABLE, "truncated, damaged"),
    "Parquet: schema nested so deeply that the parser crashes": (
        lambda: hostile.parquet_nested(900_000),
        UNREADABLE,
        "",  # refused by the parser, or it dies of it: this process does not
    ),
}
FILES = {
    name: (source, *case)
    for source, cases in {"packed": PACKED, "texts": TEXTS, "lines": LINES, "blocks": BLOCKS}.items()
    for name, case in cases.items()
}
_numbers = {source: iter(range(2, 1000)) for source in strangers.SOURCES}


@pytest.mark.parametrize("name", FILES)
def test_stage_hostile_file_is_refused(pipeline, proofs, name):
    source, make, kind, said = FILES[name]
    strangers.place(pipeline, source, make(), number=next(_numbers[source]))
    told = strangers.refused(pipeline, source, proofs, name)
    assert isinstance(told, kind)
    assert said in told.what + told.allowed
    assert kind is TOO_MUCH or not isinstance(told, TOO_MUCH)
    if kind is TOO_MUCH:
        assert "limits." in told.allowed
        assert "limits." in told.todo


@pytest.mark.parametrize(
    ("name", "limits", "data", "said"),
    [
        (
            "CSV: slow to read",
            {"rows": 10**9, "cpu_seconds": 1},
            lambda: HEADER + b"1\n" * (7 * MIB),
            "more than 1 s of processor time",
        ),
        (
            "CSV: large in memory",
            {"rows": 10**9, "memory_mib": 128},
            lambda: HEADER + b"1,\n" * (5 * MIB),
            "more than 128 MiB of memory",
        ),
    ],
)
def test_stage_file_that_takes_too_much_is_refused(pipeline, proofs, name, limits, data, said):
    declared = pipeline.source("texts")
    declared = declared.model_copy(update={"limits": declared.limits.model_copy(update=limits)})
    tight = pipeline.model_copy(update={"sources": {**pipeline.sources, "texts": declared}})
    strangers.place(tight, "texts", data(), number=next(_numbers["texts"]))
    told = strangers.refused(tight, "texts", proofs, name)
    assert isinstance(told, TOO_MUCH)
    assert said in told.what


def test_stage_key_that_cannot_be_written_is_left_out_and_named_readably(pipeline):
    data = b'{"id": 1, "text": "x", "\\ud800\\n\\u001b[31m": 1}'
    strangers.place(pipeline, "lines", data, number=next(_numbers["lines"]))
    manifest = strangers.stage(pipeline, "lines")
    assert manifest.inputs[0]["extra_columns"] == [r"\ud800\n\x1b[31m"]
    assert manifest.noted[0].sentence().isprintable()


def test_stage_refused_file_passes_once_its_limit_is_raised(pipeline, tmp_path, monkeypatch, proofs):
    data = HEADER + b"".join(b"%d,x\n" % at for at in range(100_001))
    strangers.place(pipeline, "texts", data, rows=100_001, number=next(_numbers["texts"]))
    told = strangers.refused(pipeline, "texts", proofs, "CSV: too many rows, until the limit is raised")
    assert "`limits.rows`" in told.todo
    more = strangers.declare(tmp_path / "pipelines", monkeypatch, {**strangers.LIMITS, "rows": 200_000})
    assert strangers.stage(more, "texts").rows == 100_001


def test_limits_are_declared_in_the_yaml_and_nothing_else_is(tmp_path, monkeypatch, home):
    with pytest.raises(
        strangers.spec.SpecInvalidError, match=r"unknown key \(allowed: .*\); did you mean 'rows'\?"
    ):
        strangers.declare(tmp_path / "mistyped", monkeypatch, {"row": 5})
    with pytest.raises(strangers.spec.SpecInvalidError, match=r"limits\.rows"):
        strangers.declare(tmp_path / "none", monkeypatch, {"rows": 0})
