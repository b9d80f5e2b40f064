"""A file of several days, split: nothing is lost, and each record keeps its own characters."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.core.errors import DeliveryUnreadableError
from sluice.declare import spec
from sluice.ingest.splitting import split

pytestmark = pytest.mark.fast

CSV = (
    "# made by hand\n"
    'id;day;note\r\n1;2024-05-02;"a;b"\r\n\r\n2;2024-05-01;"two\nlines"\r\n3;2024-05-02; spaced \r\n4;2024-05-01;""'
)


@pytest.fixture
def declared():
    """Function: flights with one source in a format, read in a dialect."""

    def declare(fmt: str, **reading) -> spec.Pipeline:
        flights = spec.load("flights")
        source = flights.sources["airlines"]
        contract = source.contract.model_copy(
            update={"reading": source.contract.reading.model_copy(update=reading)}
        )
        changed = source.model_copy(update={"format": fmt, "contract": contract})
        return flights.model_copy(update={"sources": {**flights.sources, "airlines": changed}})

    return declare


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("fmt", ["csv", "csv.gz"])
def test_records_of_csv_keep_their_characters(declared, fmt, encoding):
    data = CSV.encode(encoding)
    packed = gzip.compress(data) if fmt == "csv.gz" else data
    dialect = declared(fmt, delimiter=";", comment="#", encoding=encoding)
    found = split(dialect, "airlines", packed, "day")
    texts = {
        day: (gzip.decompress(part) if fmt == "csv.gz" else part).decode(encoding)
        for day, part in found.items()
    }
    before = "# made by hand\nid;day;note\r\n"
    assert texts == {
        "2024-05-01": f'{before}2;2024-05-01;"two\nlines"\r\n4;2024-05-01;""\n',
        "2024-05-02": f'{before}1;2024-05-02;"a;b"\r\n3;2024-05-02; spaced \r\n',
    }


def test_a_mark_and_blank_lines_before_the_header_and_a_long_value_are_read(declared):
    value = b"x" * 200_000
    data = b'\xef\xbb\xbf# made by hand\n\n"id;no";day\n1;2024-05-01\n' + value + b";2024-05-02\n"
    found = split(declared("csv", delimiter=";", comment="#"), "airlines", data, "day")
    assert {day: part.splitlines()[-1] for day, part in found.items()} == {
        "2024-05-01": b"1;2024-05-01",
        "2024-05-02": value + b";2024-05-02",
    }
    assert {part.count(b'\xef\xbb\xbf# made by hand\n\n"id;no";day\n') for part in found.values()} == {1}
    assert list(split(declared("jsonl"), "airlines", b'\xef\xbb\xbf{"day": "2024-05-01"}\n', "day")) == [
        "2024-05-01"
    ]


def test_a_day_that_is_written_as_its_midnight_is_that_day(declared):
    """The register has a column of days: no zone moves it."""
    flights = declared("jsonl", naive_timestamps="UTC")
    airlines = flights.sources["airlines"]
    text = next(iter(airlines.contract.columns.values()))
    contract = airlines.contract.model_copy(
        update={"columns": {**airlines.contract.columns, "on": text.model_copy(update={"type": "date"})}}
    )
    dated = flights.model_copy(
        update={
            "sources": {**flights.sources, "airlines": airlines.model_copy(update={"contract": contract})}
        }
    )
    assert list(split(dated, "airlines", b'{"on": "2024-05-02T00:00:00"}\n', "on")) == ["2024-05-02"]


def test_a_backslash_escapes_a_quote_where_that_is_declared(declared):
    data = b'id,day,note\n1,2024-05-01,"a \\"b\\", c"\n2,2024-05-02,"d"\n'
    found = split(declared("csv", escape="backslash"), "airlines", data, "day")
    assert found["2024-05-01"] == b'id,day,note\n1,2024-05-01,"a \\"b\\", c"\n'


def test_an_instant_is_of_its_day_in_the_pipelines_zone(declared):
    """New York is four hours behind in May; an instant without an offset is of the declared zone, or of the pipeline's."""
    lines = [
        json.dumps({"at": at})
        for at in ("2024-05-02T03:59:00Z", "2024-05-02T04:00:00+00:00", "2024-05-02T00:30:00")
    ]
    data = "\n".join(lines).encode()
    assert {
        day: part.count(b"\n") for day, part in split(declared("jsonl"), "airlines", data, "at").items()
    } == {
        "2024-05-01": 1,
        "2024-05-02": 2,
    }
    in_utc = split(declared("jsonl", naive_timestamps="UTC"), "airlines", data, "at")
    assert {day: part.count(b"\n") for day, part in in_utc.items()} == {"2024-05-01": 2, "2024-05-02": 1}


def test_parquet_keeps_its_schema(declared):
    rows = pa.table(
        {
            "at": pa.array(
                [datetime(2024, 5, 2, 3, tzinfo=UTC), datetime(2024, 5, 2, 5, tzinfo=UTC)],
                pa.timestamp("ms", "UTC"),
            ),
            "on": [date(2024, 5, 1), date(2024, 5, 2)],
            "kind": pa.array(["a", "b"]).dictionary_encode(),
        }
    )
    file = io.BytesIO()
    pq.write_table(rows, file)
    for column in ("at", "on"):
        found = split(declared("parquet"), "airlines", file.getvalue(), column)
        assert list(found) == ["2024-05-01", "2024-05-02"]
        parts = [pq.read_table(io.BytesIO(part)) for part in found.values()]
        assert pa.concat_tables(parts).equals(rows)


@pytest.mark.parametrize(
    ("fmt", "data", "column", "said"),
    [
        ("csv", b"id,day\n1,2024-05-01\n", "Day", "There is no column 'Day'"),
        ("csv", b"id,day\n1,2024-05-01\n2,\n", "day", "Row 2 says no day: ''"),
        ("csv", b"id,day\n1\n", "day", "Row 1 says no day: None"),
        ("csv", b"id,day\n1,01/05/2024\n", "day", "Row 1 says no day: '01/05/2024'"),
        ("csv", b'id,day\n"1,2024-05-01\n', "day", "cannot be read as csv"),
        ("csv", b"id,day\n\xff,2024-05-01\n", "day", "cannot be read as csv"),
        ("csv", b"", "day", "There is no column 'day'"),
        ("csv", b"id,day\n", "day", "The file has no rows"),
        ("csv", b"id,day\n1,2042-01-01\n2,2024-05-01\n", "day", "can be delivered: 2042-01-01"),
        (
            "csv.gz",
            gzip.compress(b"id,day\n1,2024-05-01\n" * 99, mtime=0)[:-12],
            "day",
            "cannot be read as csv.gz",
        ),
        ("csv.gz", b"id,day\n", "day", "cannot be read as csv.gz"),
        ("jsonl", b"[1]\n", "day", "There is no column 'day'"),
        ("jsonl", b'{"day": "2024-05-01"}\n{\n', "day", "cannot be read as jsonl"),
        ("jsonl", b'{"day": 5}\n', "day", "Row 1 says no day: 5"),
        ("parquet", b"PAR1", "day", "cannot be read as parquet"),
    ],
)
def test_what_cannot_be_split_is_refused_and_named(declared, fmt, data, column, said):
    with pytest.raises(DeliveryUnreadableError, match=said.replace("(", "\\(")):
        split(declared(fmt), "airlines", data, column)
