"""Parsing is exact: what was written is what is read, and every way to be wrong is named with its place."""

from __future__ import annotations

import base64
import gzip
import io
import json
import math
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sluice.errors import ContractBrokenError, DeliveryUnreadableError, SluiceError
from sluice.feed.formats import encode
from sluice.ingest import jsonl
from sluice.ingest.parse import parse
from sluice.spec import Column, Contract

FORMATS = ("csv", "csv.gz", "jsonl", "parquet")

ARROW = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}

# One column of each type, and a key that must be there.
ALL = Contract(
    version=1,
    columns={
        "id": Column(type="integer"),
        **{name: Column(type=name, nullable=True) for name in ARROW},
    },
)
SCHEMA = pa.schema([("id", pa.int64()), *ARROW.items()])
HEADER = b"id,string,integer,number,boolean,date,timestamp\n"
GOOD = b"1,x,-2,1.5,true,2013-01-31,2013-01-31T06:00:00Z\n"

# Two columns of the schedule.
SMALL = Contract(version=1, columns={"flight": Column(type="integer"), "dest": Column(type="string")})


def read(data, fmt="csv", contract=SMALL, **options):
    return parse(data, fmt, contract, where="landing/flights.csv", **options)


def error(kind, data, fmt="csv", contract=SMALL, **options):
    with pytest.raises(kind) as caught:
        read(data, fmt, contract, **options)
    assert "landing/flights.csv" in caught.value.where
    assert caught.value.allowed
    assert caught.value.todo
    return str(caught.value)


def parquet(**columns):
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


# --- round trips

# Empty text means null in every format, which `test_parse_empty_text_is_null` shows. Text files hold no NUL.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=8)
int64s = st.integers(-(2**63), 2**63 - 1)
rows = st.fixed_dictionaries(
    {
        "id": int64s,
        "string": st.none() | texts | st.just("NA"),
        "integer": st.none() | int64s,
        "number": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "boolean": st.none() | st.booleans(),
        "date": st.none() | st.dates(date(1, 1, 1), date(9999, 12, 30)),
        "timestamp": st.none()
        | st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001
    }
)


@pytest.mark.parametrize("fmt", FORMATS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200))
def test_parse_random_bytes_raise_only_our_errors(fmt, data):
    try:
        table = read(data, fmt, ALL)
    except SluiceError:
        return
    assert table.schema.types == SCHEMA.types


@pytest.mark.parametrize("fmt", FORMATS)
@settings(max_examples=150, deadline=None)
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


@settings(max_examples=200, deadline=None)
@given(
    lines=st.lists(st.text(st.sampled_from('{}[]":,\\ \n\r\t01-.eEntrualsfighdu"'), max_size=30), max_size=4)
)
def test_parse_random_json_raises_only_our_errors(lines):
    try:
        read("\n".join(lines).encode(), "jsonl", ALL)
    except SluiceError:
        return


@pytest.mark.parametrize("data", [b"[" * 200_000, b'{"flight":' * 200_000, b'{"flight":' + b"[" * 200_000])
def test_parse_deeply_nested_json_is_refused(data):
    assert "row 1 is cut short, or is not a JSON object" in error(ContractBrokenError, data, "jsonl")


# --- whole files that cannot be read


@pytest.mark.parametrize("fmt", FORMATS)
def test_parse_empty_file_is_refused(fmt):
    assert "0 bytes" in error(DeliveryUnreadableError, b"", fmt)


@pytest.mark.parametrize(
    ("fmt", "data"),
    [
        ("csv", b"flight,dest"),
        ("csv", b"flight,dest\n\n\n"),
        ("csv.gz", gzip.compress(b"flight,dest\n")),
        (
            "parquet",
            encode(
                pa.table({"flight": pa.array([], pa.int64()), "dest": pa.array([], pa.string())}), "parquet"
            ),
        ),
    ],
)
def test_parse_file_without_rows_is_refused(fmt, data):
    assert "no rows" in error(DeliveryUnreadableError, data, fmt)


@pytest.mark.parametrize(
    ("fmt", "data"), [("csv", b" \n\n"), ("csv.gz", gzip.compress(b"")), ("jsonl", b"\n\n")]
)
def test_parse_blank_file_is_refused(fmt, data):
    assert "blank" in error(DeliveryUnreadableError, data, fmt)


def test_parse_truncated_gzip_is_refused():
    data = gzip.compress(HEADER + GOOD * 500)
    for length in (11, len(data) // 2, len(data) - 1):
        assert "truncated" in error(DeliveryUnreadableError, data[:length], "csv.gz", ALL)


def test_parse_parquet_with_text_that_is_not_utf8_is_refused():
    out = io.BytesIO()
    pq.write_table(
        pa.table({"flight": [1], "dest": ["IAH"]}), out, compression="none", write_statistics=False
    )
    data = out.getvalue().replace(b"IAH", b"\xffAH")
    assert data != out.getvalue()
    assert "damaged" in error(DeliveryUnreadableError, data, "parquet")


def test_parse_damaged_gzip_is_refused():
    data = bytearray(gzip.compress(HEADER + GOOD * 500))
    data[-6] ^= 1  # in the checksum
    assert "damaged" in error(DeliveryUnreadableError, bytes(data), "csv.gz", ALL)


def test_parse_truncated_parquet_is_refused():
    data = parquet(flight=list(range(1000)), dest=["IAH"] * 1000)
    for length in (4, len(data) // 2, len(data) - 1):
        assert "truncated, damaged" in error(DeliveryUnreadableError, data[:length], "parquet")


@pytest.mark.parametrize(
    ("fmt", "data", "kind"),
    [
        ("csv", gzip.compress(b"flight,dest\n1,IAH\n"), "gzip"),
        ("csv", "flight,dest\n1,IAH\n".encode("utf-16"), "UTF-16"),
        ("jsonl", '{"flight": 1}'.encode("utf-16"), "UTF-16"),
        ("csv", parquet(flight=[1], dest=["IAH"]), "Parquet"),
        ("csv.gz", parquet(flight=[1], dest=["IAH"]), "Parquet"),
        ("parquet", gzip.compress(b"flight,dest\n1,IAH\n"), "gzip"),
        ("csv", b"PK\x03\x04\xff\x00", "zip"),
    ],
)
def test_parse_file_in_another_format_is_recognised(fmt, data, kind):
    assert f"it looks like {kind}" in error(DeliveryUnreadableError, data, fmt)


def test_parse_utf16_without_mark_is_refused_for_its_nul_bytes():
    assert "a NUL byte, in line 1" in error(
        DeliveryUnreadableError, "flight,dest\n1,IAH\n".encode("utf-16-le")
    )


def test_parse_latin1_names_the_line():
    data = "flight,dest\n1,IAH\n2,Zürich\n".encode("latin-1")
    assert "byte 0xfc, which is not UTF-8, in line 3" in error(DeliveryUnreadableError, data)


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
    assert "unexpected column 'Flight'" in message
    assert "unexpected column 'tail'" in message
    assert "columns flight, dest, each once" in message
    if fmt != "jsonl":  # Arrow refuses a row of JSON at its first unexpected key
        assert "missing column 'flight'; missing column 'dest'" in message


@pytest.mark.parametrize("fmt", FORMATS)
def test_parse_missing_column_is_named(fmt):
    message = error(ContractBrokenError, encode(pa.table({"flight": [1]}), fmt), fmt)
    assert "missing column 'dest'" in message
    assert "'flight'" not in message


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


def test_parse_csv_without_header_is_refused():
    message = error(ContractBrokenError, b"1545,IAH\n1714,MIA\n")
    assert "missing column 'flight'; missing column 'dest'; unexpected column '1545'" in message


def test_parse_csv_with_another_separator_is_refused():
    assert "unexpected column 'flight;dest'" in error(ContractBrokenError, b"flight;dest\n1;IAH\n")


def test_parse_ragged_rows_are_named():
    message = error(ContractBrokenError, b"flight,dest\n1,IAH\n\n2\n3,MIA,x\n4,BOS\n")
    assert "row 2 has 1 field(s), the header 2; row 3 has 3 field(s), the header 2" in message


def test_parse_many_problems_are_counted():
    message = error(ContractBrokenError, b"flight,dest\n" + b"1\n" * 12)
    assert "row 5 has 1 field(s), the header 2; and 7 more" in message


@pytest.mark.parametrize("rows", [b'"2,MIA\n3,BOS\n', b'2,"MIA\n3,BOS\n', b'2,MIA"\n3,BOS\n'])
def test_parse_unclosed_quote_is_refused(rows):
    assert "never closed" in error(DeliveryUnreadableError, b"flight,dest\n1,IAH\n" + rows)


# --- values


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("integer", "abc", "is not an integer"),
        ("integer", "1.0", "is not an integer"),
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
        ("timestamp", "2013-01-31T06:00:00", "is not an instant with an offset"),
        ("timestamp", "2013-01-31", "is not an instant with an offset"),
        ("timestamp", "2013-01-31T06:00:00.1234567Z", "is not an instant with an offset"),
        ("timestamp", "9999-12-31T23:00:00-05:00", "is not an instant with an offset"),
    ],
)
def test_parse_value_of_the_wrong_type_is_named_with_its_place(column, value, said):
    for fmt in ("csv", "jsonl"):
        table = pa.table(
            {name: [None, None, None, value if name == column else None] for name in SCHEMA.names}
        )
        table = table.set_column(0, "id", pa.array([1, 2, 3, 4])).set_column(
            SCHEMA.names.index(column), column, pa.array([None, None, None, value])
        )
        message = error(ContractBrokenError, encode(table, fmt), fmt, ALL)
        if fmt == "csv" or column in ("date", "timestamp"):
            assert f"column '{column}', row 4: {value!r} {said}" in message
        else:
            assert f"column '{column}', row 4: {value!r} is not a JSON {column}" in message
        assert "rows are counted from 1, without the header" in message


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('"1"', "column 'flight', row 2: '1' is not a JSON integer"),
        ("1.0", "column 'flight', row 2: 1.0 is not a JSON integer"),
        ("true", "column 'flight', row 2: True is not a JSON integer"),
        ("[1]", "column 'flight', row 2: [1] is not a JSON integer"),
        ("9223372036854775808", "column 'flight', row 2: 9223372036854775808 is not a JSON integer"),
        ("null", "column 'flight', row 2: no value (missing in 1 of 2 rows)"),
        ("1,", "row 2 is cut short, or is not a JSON object"),
    ],
)
def test_parse_json_value_is_named_with_its_place(value, said):
    data = f'{{"flight": 1, "dest": "IAH"}}\n{{"dest": "MIA", "flight": {value}}}\n'.encode()
    assert said in error(ContractBrokenError, data, "jsonl")


def test_parse_json_number_column_accepts_integers_and_refuses_nan():
    contract = Contract(version=1, columns={"precip": Column(type="number")})
    assert read(b'{"precip": 1}\n{"precip": 0.5}', "jsonl", contract)["precip"].to_pylist() == [1.0, 0.5]
    assert "row 2: 'nan' is not a finite number" in error(
        ContractBrokenError, b'{"precip": 1}\n{"precip": NaN}', "jsonl", contract
    )


@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_parse_json_in_several_chunks_counts_rows_throughout(monkeypatch, chunk):
    monkeypatch.setattr(jsonl, "_CHUNK", chunk)
    table = pa.table({"flight": list(range(6)), "dest": ["IAH"] * 6})
    assert read(encode(table, "jsonl"), "jsonl").equals(table)
    assert "missing column 'dest'" in error(
        ContractBrokenError, encode(table.drop_columns("dest"), "jsonl"), "jsonl"
    )
    data = encode(table, "jsonl").replace(b'"flight": 4', b'"flight": "4"')
    assert "column 'flight', row 5: '4' is not a JSON integer" in error(ContractBrokenError, data, "jsonl")


def test_parse_truncated_json_names_the_last_row():
    data = b'{"flight": 1, "dest": "IAH"}\n{"flight": 2, "de'
    assert "row 2 is cut short" in error(ContractBrokenError, data, "jsonl")


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


@pytest.mark.parametrize("fmt", FORMATS)
def test_parse_empty_text_is_null(fmt):
    contract = Contract(
        version=1, columns={"dest": Column(type="string", nullable=True), "n": Column(type="integer")}
    )
    table = pa.table({"dest": ["", "IAH"], "n": [1, 2]})
    assert read(encode(table, fmt), fmt, contract)["dest"].to_pylist() == [None, "IAH"]


def test_parse_na_is_null_unless_it_is_quoted_text():
    contract = Contract(
        version=1,
        columns={"country": Column(type="string", nullable=True), "n": Column(type="integer", nullable=True)},
    )
    table = read(b'country,n\nNA,NA\n"NA","NA"\n"",""\n', "csv", contract)
    assert table.to_pylist() == [
        {"country": None, "n": None},
        {"country": "NA", "n": None},
        {"country": None, "n": None},
    ]


def test_parse_value_without_null_names_the_row():
    assert "column 'dest', row 2: no value (missing in 2 of 3 rows)" in error(
        ContractBrokenError, b'flight,dest\n1,IAH\n2,NA\n3,""\n'
    )


# --- Parquet's own types


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("integer", pa.array([7, None], pa.int8())),
        ("integer", pa.array([7, None], pa.uint64())),
        ("integer", pa.array([None, None], pa.null())),
        ("number", pa.array([0.5, None], pa.float32())),
        ("number", pa.array([5, None], pa.int32())),
        ("string", pa.array(["IAH", None]).dictionary_encode()),
        ("string", pa.array(["IAH", None], pa.large_string())),
        ("date", pa.array([date(2013, 1, 31), None], pa.date64())),
        (
            "timestamp",
            pa.array([datetime(2013, 1, 31, tzinfo=UTC), None], pa.timestamp("ns", "America/New_York")),
        ),
    ],
)
def test_parse_parquet_type_that_loses_nothing_is_taken(column, values):
    contract = Contract(version=1, columns={"x": Column(type=column, nullable=True)})
    table = read(parquet(x=values), "parquet", contract)
    assert table["x"].type == ARROW[column]
    assert table["x"].to_pylist() == values.to_pylist()


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("integer", pa.array([1.0]), "is of type double"),
        ("integer", pa.array([True]), "is of type bool"),
        ("integer", pa.array([0, 2**63], pa.uint64()), "row 2: '9223372036854775808' is not an integer"),
        ("number", pa.array([1.5, math.nan]), "row 2: 'nan' is not a finite number"),
        ("number", pa.array([1, 2**53 + 1]), "row 2: '9007199254740993' is not a finite number"),
        ("string", pa.array([1]), "is of type int64"),
        ("string", pa.array([b"x"]), "is of type binary"),
        ("date", pa.array([datetime(2013, 1, 31)]), "is of type timestamp[us]"),  # noqa: DTZ001
        ("date", pa.array([2**31 - 1], pa.int32()).cast(pa.date32()), "row 1: "),
        ("timestamp", pa.array([datetime(2013, 1, 31)]), "is of type timestamp[us]"),  # noqa: DTZ001
        ("timestamp", pa.array([1], pa.timestamp("ns", "UTC")), "row 1: "),
        ("timestamp", pa.array([2**62], pa.timestamp("us", "UTC")), "row 1: "),
        ("string", pa.array([["nested"]]), "is of type list<"),
    ],
)
def test_parse_parquet_type_that_would_lose_something_is_refused(column, values, said):
    contract = Contract(version=1, columns={"x": Column(type=column, nullable=True)})
    message = error(ContractBrokenError, parquet(x=values), "parquet", contract)
    assert "column 'x'" in message
    assert said in message


def test_parse_parquet_with_a_damaged_zone_name_reads_the_instants():
    contract = Contract(version=1, columns={"x": Column(type="timestamp")})
    instants = pa.array([datetime(2013, 1, 31, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    data = parquet(x=instants)
    described = pq.ParquetFile(io.BytesIO(data)).metadata.metadata[b"ARROW:schema"]
    damaged = base64.b64encode(base64.b64decode(described).replace(b"UTC", b"\xbdTC"))
    assert damaged != described
    assert (
        read(data.replace(described, damaged), "parquet", contract)["x"].to_pylist() == instants.to_pylist()
    )


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
