"""CSV and gzipped CSV: quotes, headers, encodings, and where in a file a problem is."""

from __future__ import annotations

import gzip

import pytest

from sluice.core.errors import ContractBrokenError, DeliveryUnreadableError
from tests.ingest.reading import ALL, GOOD, HEADER, error


def test_parse_truncated_gzip_is_refused():
    data = gzip.compress(HEADER + GOOD * 500)
    for length in (11, len(data) // 2, len(data) - 1):
        assert "truncated" in error(DeliveryUnreadableError, data[:length], "csv.gz", ALL)


def test_parse_damaged_gzip_is_refused():
    data = bytearray(gzip.compress(HEADER + GOOD * 500))
    data[-6] ^= 1  # in the checksum
    assert "damaged" in error(DeliveryUnreadableError, bytes(data), "csv.gz", ALL)


def test_parse_utf16_without_mark_is_refused_for_its_nul_bytes():
    assert "a NUL byte, in line 1" in error(
        DeliveryUnreadableError, "flight,dest\n1,IAH\n".encode("utf-16-le")
    )


def test_parse_latin1_names_the_line():
    data = "flight,dest\n1,IAH\n2,Zürich\n".encode("latin-1")
    assert "byte 0xfc, which is not UTF-8, in line 3" in error(DeliveryUnreadableError, data)


def test_parse_csv_without_header_is_refused():
    message = error(ContractBrokenError, b"1545,IAH\n1714,MIA\n")
    assert (
        "the file has the columns ['1545', 'IAH']; missing column 'flight'; missing column 'dest'" in message
    )


def test_parse_csv_with_another_separator_is_refused():
    message = error(ContractBrokenError, b"flight;dest\n1;IAH\n")
    assert "the file has the columns ['flight;dest']; its delimiter is perhaps ';'" in message
    assert 'declare `delimiter: ";"` under `reading`' in message


def test_parse_ragged_rows_are_named():
    message = error(ContractBrokenError, b"flight,dest\n1,IAH\n\n2\n3,MIA,x\n4,BOS\n")
    assert "row 2 has 1 field(s), the header 2; row 3 has 3 field(s), the header 2" in message


def test_parse_many_problems_are_counted():
    message = error(ContractBrokenError, b"flight,dest\n" + b"1\n" * 12)
    assert "row 5 has 1 field(s), the header 2; and 7 more" in message


@pytest.mark.parametrize(("rows", "name"), [(b'"2,MIA\n3,BOS\n', "flight"), (b'2,"MIA\n3,BOS\n', "dest")])
def test_parse_unclosed_quote_is_refused(rows, name):
    message = error(ContractBrokenError, b"flight,dest\n1,IAH\n" + rows)
    assert f"row 2, column '{name}' (lines 3 to 4 of the file): a quote is opened and never closed" in message


def test_parse_first_row_at_fault_of_each_column_is_named_among_many():
    ok = [str(number) for number in range(5000)]
    bad = [*ok[:3210], "n/a", *ok[3211:4000], "x", *ok[4001:]]
    data = (
        b"flight,dest\n"
        + "".join(f"{flight},{'' if number == 77 else 'IAH'}\n" for number, flight in enumerate(bad)).encode()
    )
    message = error(ContractBrokenError, data)
    assert "column 'flight', row 3211: 'n/a' is not an integer" in message
    assert "column 'dest', row 78: no value (missing in 1 of 5000 rows)" in message


def test_parse_long_value_is_shortened():
    message = error(ContractBrokenError, b"flight,dest\n" + b"9" * 5000 + b",IAH\n")
    assert len(message) < 600


def test_parse_value_without_null_names_the_row():
    assert "column 'dest', row 2: no value (missing in 2 of 3 rows)" in error(
        ContractBrokenError, b'flight,dest\n1,IAH\n2,\n3,""\n'
    )
