"""The sizes of real attacks, against the limits that a source has that declares none, and against none but memory."""

from __future__ import annotations

import itertools

import pytest

from sluice.core.errors import LimitExceededError
from tests.ingest import hostile, strangers
from tests.ingest.hostile import HEADER, MIB

pytestmark = pytest.mark.long

GIB = 1024 * MIB
# A producer who is trusted with size: what is left is the memory of the process that reads.
LARGE = {
    "file_mib": 4096,
    "unpacked_mib": 4096,
    "ratio": 2000,
    "rows": 10**9,
    "columns": 10**7,
    "cell_kib": 4 * MIB,
}


@pytest.fixture(params=["usual", "large"])
def pipeline(request, home, tmp_path, monkeypatch):
    limits = {} if request.param == "usual" else {**LARGE, "memory_mib": 512}
    declared = strangers.declare(tmp_path / "pipelines", monkeypatch, limits)
    strangers.place(declared, "blocks", hostile.parquet())
    strangers.stage(declared, "blocks")
    return declared


def repeated(piece, size):
    return itertools.repeat(piece, size // len(piece))


def names(count):
    return (f",c{at}".encode() for at in range(count))


SIZES = {
    "CSV: value of 1 GB": ("texts", lambda: [HEADER, b"1,", *repeated(b"a" * MIB, GIB), b"\n"]),
    "CSV: quote open over 1 GB": (
        "texts",
        lambda: [HEADER, b'1,"', *repeated(b"a,b\n" * 65_536, GIB), b'"\n'],
    ),
    "CSV: a million columns": ("texts", lambda: [b"id,text", *names(10**6), b"\n", b"1," * 10**6, b"1,1\n"]),
    "CSV: a hundred million ragged rows": (
        "texts",
        lambda: [HEADER, *repeated(b"1\n" * 10_000, 200_000_000)],
    ),
    "gzip: 10 GB of zeros": ("packed", lambda: [hostile.zipped_zeros(1, 64 * MIB)] * 160),
    "JSON: value of 1 GB": (
        "lines",
        lambda: [b'{"id": 1, "text": "', *repeated(b"a" * MIB, GIB), b'"}\n'],
    ),
    "JSON: ten million keys": (
        "lines",
        lambda: [b'{"id": 1, "text": "x"', *(b', "k%d": {"a": [1, 2, 3]}' % at for at in range(10**7)), b"}"],
    ),
    "JSON: nested 100 million deep": ("lines", lambda: [b'{"id": ', *repeated(b"[" * MIB, 100 * MIB)]),
    "Parquet: 1 TB of one value": (
        "blocks",
        lambda: [hostile.parquet_dictionary_bomb(20_000_000, 50_000)],
    ),
    "Parquet: a schema of twelve million levels": ("blocks", lambda: [hostile.parquet_nested(12_000_000)]),
}


@pytest.mark.parametrize("name", SIZES)
def test_stage_attack_of_real_size_is_refused(pipeline, proofs, name):
    source, pieces = SIZES[name]
    path = strangers.place(pipeline, source, pieces=pieces(), number=2)
    limits = "usual limits" if pipeline.source(source).limits.file_mib < 4096 else "512 MiB of memory"
    try:
        strangers.refused(pipeline, source, proofs, f"{name} ({limits})")
    finally:
        path.unlink()  # pytest keeps what a test leaves


def test_stage_billions_of_rows_that_a_footer_claims_are_refused(pipeline, proofs):
    strangers.place(pipeline, "blocks", hostile.parquet_claiming(2**60), number=2)
    told = strangers.refused(pipeline, "blocks", proofs, "Parquet: claims 2**60 rows")
    assert isinstance(told, LimitExceededError)
    assert "1,152,921,504,606,846,976" in told.what
