"""Parsing is exact: what was written is what is read, and every way to be wrong is named with its place."""

from __future__ import annotations

import gzip
import json
from datetime import UTC

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sluice.core.errors import ContractBrokenError, DeliveryUnreadableError, SluiceError
from sluice_lab.feed.formats import encode
from tests.ingest.reading import ALL, ARROW, FORMATS, SCHEMA, error, parquet, read

# --- round trips

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
int64s = st.integers(-(2**63), 2**63 - 1)
rows = st.fixed_dictionaries(
    {
        "id": int64s,
        "string": st.none() | texts | st.just("NA"),
        "integer": st.none() | int64s,
        "number": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "boolean": st.none() | st.booleans(),
        "date": st.none() | st.dates(),
        "timestamp": st.none() | st.datetimes(timezones=st.just(UTC)),
    }
)


@pytest.mark.parametrize("fmt", FORMATS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(written=st.lists(rows, min_size=1, max_size=6))
@example(written=[dict.fromkeys(ARROW) | {"id": 0, "string": '"\r\n,'}])
@example(written=[dict.fromkeys(ARROW) | {"id": 0}, dict.fromkeys(ARROW) | {"id": 1, "number": -0.0}])
def test_parse_written_table_comes_back_exactly(fmt, written):
    # JSON cannot tell a column without any value from a missing one only if the key is left out; the feed writes it.
    table = pa.Table.from_pylist(written, schema=SCHEMA)
    assert read(encode(table, fmt), fmt, ALL).equals(table)


@pytest.mark.parametrize("fmt", FORMATS)
def test_parse_columns_in_another_order_come_back_in_the_contracts(fmt):
    table = pa.table({"dest": ["IAH"], "flight": [1545]})
    assert read(encode(table, fmt), fmt).column_names == ["flight", "dest"]


# --- arbitrary input


@pytest.mark.parametrize("fmt", FORMATS)
@settings(max_examples=150)
@given(data=st.binary(max_size=200))
def test_parse_random_bytes_raise_only_our_errors(fmt, data):
    try:
        table = read(data, fmt, ALL)
    except SluiceError:
        return
    assert table.schema.types == SCHEMA.types


@pytest.mark.parametrize("fmt", FORMATS)
@settings(max_examples=150)
@given(
    cut=st.integers(0, 3000), flips=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=3)
)
def test_parse_damaged_file_raises_only_our_errors(fmt, cut, flips):
    table = pa.table({"flight": list(range(20)), "dest": ["IAH", "MIA"] * 10})
    data = bytearray(encode(table, fmt))
    for at, value in flips:
        data[at % len(data)] = value
    try:
        parsed = read(bytes(data[: len(data) - cut % len(data)]), fmt)
    except SluiceError:
        return
    assert parsed.schema.types == [pa.int64(), pa.string()]
    assert None not in parsed["flight"].to_pylist() + parsed["dest"].to_pylist()


# --- whole files that cannot be read


@pytest.mark.parametrize("fmt", [fmt for fmt in FORMATS if fmt != "jsonl"])
def test_parse_empty_file_is_refused(fmt):
    assert "0 bytes" in error(DeliveryUnreadableError, b"", fmt)


@pytest.mark.parametrize(
    ("fmt", "data"),
    [
        ("csv", b"flight,dest"),
        ("csv", b"flight,dest\n\n\n"),
        ("csv.gz", gzip.compress(b"flight,dest\n", mtime=0)),
        # It has no header: an empty file is how it says that there is nothing.
        ("jsonl", b""),
        (
            "parquet",
            encode(
                pa.table({"flight": pa.array([], pa.int64()), "dest": pa.array([], pa.string())}), "parquet"
            ),
        ),
    ],
)
def test_parse_file_without_rows_has_none(fmt, data):
    """Whether it may have none, its manifest says: see `ingest.stage`."""
    table = read(data, fmt)
    assert (table.num_rows, table.column_names) == (0, ["flight", "dest"])


@pytest.mark.parametrize(
    ("fmt", "data"), [("csv", b" \n\n"), ("csv.gz", gzip.compress(b"", mtime=0)), ("jsonl", b"\n\n")]
)
def test_parse_blank_file_is_refused(fmt, data):
    assert "blank" in error(DeliveryUnreadableError, data, fmt)


@pytest.mark.parametrize(
    ("fmt", "data", "kind"),
    [
        ("csv", gzip.compress(b"flight,dest\n1,IAH\n", mtime=0), "gzip"),
        ("csv", "flight,dest\n1,IAH\n".encode("utf-16"), "UTF-16"),
        ("jsonl", '{"flight": 1}'.encode("utf-16"), "UTF-16"),
        ("csv", parquet(flight=[1], dest=["IAH"]), "Parquet"),
        ("csv.gz", parquet(flight=[1], dest=["IAH"]), "Parquet"),
        ("parquet", gzip.compress(b"flight,dest\n1,IAH\n", mtime=0), "gzip"),
        ("csv", b"PK\x03\x04\xff\x00", "zip"),
    ],
)
def test_parse_file_in_another_format_is_recognised(fmt, data, kind):
    assert f"it looks like {kind}" in error(DeliveryUnreadableError, data, fmt)


@pytest.mark.parametrize("fmt", ["csv", "jsonl"])
def test_parse_nul_byte_names_the_line(fmt):
    data = encode(pa.table({"flight": [1, 2], "dest": ["IAH", "MIA"]}), fmt).replace(b"MIA", b"M\x00A")
    assert f"a NUL byte, in line {3 if fmt == 'csv' else 2}" in error(DeliveryUnreadableError, data, fmt)


@pytest.mark.parametrize("fmt", ["csv", "jsonl"])
def test_parse_byte_order_mark_is_skipped(fmt):
    table = pa.table({"flight": [1], "dest": ["IAH"]})
    assert read(b"\xef\xbb\xbf" + encode(table, fmt), fmt).equals(table)


# --- columns


@pytest.mark.parametrize("fmt", FORMATS)
def test_parse_missing_and_unexpected_columns_are_all_named(fmt):
    message = error(ContractBrokenError, encode(pa.table({"Flight": [1], "tail": ["N1"]}), fmt), fmt)
    assert (
        "the file has the columns ['Flight', 'tail']; ['Flight'] differ only in case from flight" in message
    )
    assert "missing column 'flight'; missing column 'dest'" in message
    assert "columns flight, dest, each once" in message
    assert "declare `column_case: any`" in message


@pytest.mark.parametrize("fmt", FORMATS)
def test_parse_missing_column_is_named(fmt):
    message = error(ContractBrokenError, encode(pa.table({"flight": [1]}), fmt), fmt)
    assert "the file has the columns ['flight']; missing column 'dest'." in message


@pytest.mark.parametrize("fmt", FORMATS)
def test_parse_missing_nullable_column_is_named(fmt):
    table = pa.Table.from_pylist([dict.fromkeys(SCHEMA.names) | {"id": 1}], schema=SCHEMA)
    assert read(encode(table, fmt), fmt, ALL).equals(table)
    message = error(ContractBrokenError, encode(table.drop_columns("date"), fmt), fmt, ALL)
    assert "missing column 'date'." in message


@pytest.mark.parametrize(
    ("fmt", "data", "said"),
    [
        ("csv", b"flight,dest,dest\n1,IAH,MIA\n", "column 'dest' is there more than once"),
        ("jsonl", b'{"flight": 1, "dest": "IAH", "dest": "MIA"}', "row 1, key 'dest': given twice"),
        (
            "parquet",
            encode(
                pa.Table.from_arrays(
                    [pa.array([1]), pa.array(["a"]), pa.array(["b"])], ["flight", "dest", "dest"]
                ),
                "parquet",
            ),
            "column 'dest' is there more than once",
        ),
    ],
)
def test_parse_duplicate_column_is_named(fmt, data, said):
    assert said in error(ContractBrokenError, data, fmt)


# --- values


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("integer", "abc", "is not an integer"),
        ("integer", "1.5", "is not an integer"),
        ("integer", "9007199254740992.0", "is not an integer"),
        ("integer", "", "is not an integer"),
        ("string", "a\0", "is not a text without NUL"),
        ("integer", "0x1F", "is not an integer"),
        ("integer", " 1", "is not an integer"),
        ("integer", "1_000", "is not an integer"),
        ("integer", "9223372036854775808", "is not an integer"),
        ("number", "1,5", "is not a finite number"),
        ("number", "nan", "is not a finite number"),
        ("number", "inf", "is not a finite number"),
        ("number", "1e999", "is not a finite number"),
        ("boolean", "yes", "is not a boolean"),
        ("date", "31.01.2013", "is not a date"),
        ("date", "2013-02-30", "is not a date"),
        ("date", "0000-01-01", "is not a date"),
        ("date", "2013-01-31T00:00:00Z", "is not a date"),
        ("date", "2013-01-31T00:00:01", "is not a date"),
        ("date", "10000-01-01", "is not a date"),
        ("number", "9007199254740993", "is not a finite number"),
        ("timestamp", "2013-01-31T06:00:00", "is not an instant with an offset"),
        ("timestamp", "2013-01-31", "is not an instant with an offset"),
        ("timestamp", "2013-01-31T06:00:00.1234567Z", "is not an instant with an offset"),
        ("timestamp", "9999-12-31T23:00:00-05:00", "is not an instant with an offset"),
        ("timestamp", "0001-01-01T00:00:00+01:00", "is not an instant with an offset"),
    ],
)
def test_parse_value_of_the_wrong_type_is_named_with_its_place(column, value, said):
    for fmt in ("jsonl", "parquet") if "\0" in value else FORMATS:
        table = pa.table(
            {name: [None, None, None, value if name == column else None] for name in SCHEMA.names}
        )
        table = table.set_column(0, "id", pa.array([1, 2, 3, 4])).set_column(
            SCHEMA.names.index(column), column, pa.array([None, None, None, value])
        )
        message = error(ContractBrokenError, encode(table, fmt), fmt, ALL)
        assert f"column '{column}', row 4: {value!r} {said}" in message
        assert "rows are counted from 1, without the header" in message


# --- personal data


@pytest.mark.parametrize(
    ("fmt", "data"),
    [
        ("csv", b"flight,dest\nJane Doe,IAH\n"),
        ("csv", b"Jane Doe,IAH\n1,MIA\n"),
        ("csv", b"flight,dest\n1,IAH,Jane Doe\n"),
        ("csv", b'flight,dest\n1,"IAH,Jane Doe\n'),
        ("jsonl", json.dumps({"flight": "Jane Doe", "dest": "IAH"}).encode()),
        ("jsonl", json.dumps({"Jane Doe": 1}).encode()),
        ("jsonl", b'{"flight": 1, "dest": "Jane Doe \\ud800"}'),
        ("jsonl", b'{"flight": 1, "dest": "Jane Doe'),
        ("parquet", parquet(flight=["Jane Doe"], dest=["IAH"])),
        ("parquet", parquet(flight=[1], dest=["Jane Doe"])[:-9]),
        ("csv.gz", b"Jane Doe"),
    ],
)
def test_parse_error_of_personal_data_shows_no_value(fmt, data):
    message = error(SluiceError, data, fmt, pii="direct")
    assert "Jane" not in message
    with pytest.raises(SluiceError) as caught:
        read(data, fmt, pii="pseudonymised")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
