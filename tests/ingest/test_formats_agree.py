"""The same value has the same fate in CSV, gzipped CSV, JSON lines and Parquet: it is read as the same, or refused."""

from __future__ import annotations

import gzip
import io
import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sluice.core.errors import ContractBrokenError, DeliveryUnreadableError
from sluice.declare.reading import Reading
from sluice.declare.spec import Column, Contract
from tests.ingest.reading import FORMATS, error, parquet, read

REFUSED = "refused"
TYPES = ("integer", "number", "boolean", "date", "timestamp")


@dataclass(frozen=True)
class Nanoseconds:
    """An instant to the nanosecond, since 1970."""

    since: int

    @property
    def text(self):
        whole = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=self.since // 10**9)
        return f"{whole:%Y-%m-%dT%H:%M:%S}.{self.since % 10**9:09}Z"


def text_of(value):
    """A value as CSV has it, and JSON where it has no type for it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Nanoseconds):
        return value.text
    return value.isoformat() if isinstance(value, date) else str(value)


def as_csv(value):
    text = (
        ""
        if value is None
        else '"' + value.replace('"', '""') + '"'
        if isinstance(value, str)
        else text_of(value)
    )
    return f"id,x\n1,{text}\n".encode(errors="surrogatepass")


def as_json(value):
    if isinstance(value, (date, Nanoseconds)):
        value = text_of(value)
    # A decimal is a number as it is written.
    said = str(value) if isinstance(value, Decimal) else json.dumps(value)
    return f'{{"id": 1, "x": {said}}}\n'.encode()


def as_parquet(value):
    if isinstance(value, Nanoseconds):
        return parquet(id=[1], x=pa.array([value.since], pa.timestamp("ns", "UTC")))
    if isinstance(value, str):
        raw = pa.array([value.encode(errors="surrogatepass")], pa.binary())
        out = io.BytesIO()
        pq.write_table(pa.table({"id": [1], "x": raw.view(pa.string())}), out)
        return out.getvalue()
    if isinstance(value, datetime):
        return parquet(id=[1], x=pa.array([value], pa.timestamp("us", "UTC" if value.tzinfo else None)))
    kind = pa.uint64() if type(value) is int and value >= 2**63 else None
    return parquet(id=[1], x=pa.array([value], kind))


def fate(data, fmt, kind, zone):
    columns = {"id": Column(type="integer"), "x": Column(type=kind, nullable=True)}
    contract = Contract(version=1, columns=columns, reading=Reading(naive_timestamps=zone))
    try:
        found = read(data, fmt, contract)["x"][0].as_py()
    except (ContractBrokenError, DeliveryUnreadableError):
        return REFUSED
    return shown(found)


def shown(value):
    """So that -0.0 is not 0.0, nor 1 true."""
    return value.isoformat() if isinstance(value, date) else repr(value)


def fates(value, kind, zone=None):
    made = {
        "csv": as_csv(value),
        "csv.gz": gzip.compress(as_csv(value)),
        "jsonl": as_json(value),
        "parquet": as_parquet(value),
    }
    return {fmt: fate(data, fmt, kind, zone) for fmt, data in made.items()}


def agreed(value, kind, zone=None):
    found = fates(value, kind, zone)
    assert len(set(found.values())) == 1, (value, kind, found)
    return found["csv"]


near = [edge + step for edge in (0, 2**53, -(2**53), 2**60, 2**63 - 1, -(2**63)) for step in (-1, 0, 1)]
integers = st.sampled_from([each for each in near if each >= -(2**63)]) | st.integers(-(2**63), 2**64 - 1)
floats = st.floats() | st.sampled_from([0.0, -0.0, 1e308, 5e-324, 2.0**53, 2.0**53 - 1, 1e15, 1e16, 1e22])
# A bare number in JSON is a double, which keeps hundredths up to 2**45: beyond, it has become another number when it is read.
decimals = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**13), max_value=10**13, places=2)
whole = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=0)
days = st.dates() | st.sampled_from([date.min, date.max])
zones = (
    st.none() | st.just(UTC) | st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
)
# Instants that exist in UTC: beside the edges, Arrow's own writer has no way for the others.
inner = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=zones)  # noqa: DTZ001
edges = st.sampled_from(
    [edge.replace(tzinfo=zone) for edge in (datetime.min, datetime.max) for zone in (None, UTC)]  # noqa: DTZ901
)
midnights = days.map(lambda day: datetime(day.year, day.month, day.day))  # noqa: DTZ001
nanoseconds = st.integers(-(2**60), 2**60).map(Nanoseconds) | st.integers(-(2**50), 2**50).map(
    lambda micros: Nanoseconds(micros * 1000)
)
spelled = st.sampled_from(
    ["", " ", " 1", "1 ", "+1", "007", "1.0", "1.", ".5", "1e3", "1e400", "0x1F", "1_000", "1,5", "true", "TRUE", "yes", "T",
     "nan", "inf", "-0", "9007199254740993", "9007199254740993.0", "9223372036854775808", "2013-01-31", "2013-02-30",
     "0000-01-01", "9999-12-31", "10000-01-01", "2013-01-31T00:00", "2013-01-31 00:00:00.000", "2013-01-31T00:00:00Z",
     "9999-12-31T23:59:59.999999Z", "2013-01-31T06:00:00.123456000Z", "2013-01-31T06:00:00.1234567Z", "2013-01-31T06:00:00",
     "2013-01-31 06:00:00+01:00", "2013-01-31T24:00:00Z", "2013-01-31T23:59:60Z", "\u0661", "1\n", "\ufeff1"]
)  # fmt: skip
values = st.one_of(
    st.none(),
    integers,
    floats,
    decimals,
    whole,
    st.booleans(),
    days,
    inner,
    edges,
    midnights,
    nanoseconds,
    spelled,
)


@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=250)
@given(value=values, zone=st.sampled_from([None, "UTC", "America/New_York"]))
@example(value=2.0, zone=None)
@example(value=Decimal("1E-8"), zone=None)
@example(value=datetime(2013, 3, 10, 2, 30), zone="America/New_York")  # noqa: DTZ001 - a time that is skipped
@example(value=datetime(2013, 11, 3, 1, 30), zone="America/New_York")  # noqa: DTZ001 - a time that is there twice
def test_read_value_has_the_same_fate_in_every_format(kind, value, zone):
    agreed(value, kind, zone)


@settings(max_examples=250)
@given(value=st.none() | st.text(st.characters(exclude_categories=[]), max_size=6))
@example(value="")
@example(value="a\0b")
@example(value="\ud800")
@example(value="\ufeffx")
@example(value="\x1b[31m\r\n\x85\u2028 ")
@example(value=" x ")
def test_read_text_has_the_same_fate_in_every_format(value):
    read_as = agreed(value, "string")
    lost = value is not None and ("\0" in value or any(0xD800 <= ord(char) < 0xE000 for char in value))
    assert read_as == (REFUSED if lost else shown(value))


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("integer", 2**63 - 1, 2**63 - 1),
        ("integer", 2**63, REFUSED),
        ("integer", 2.0, 2),
        ("integer", 2.0**53, REFUSED),
        ("integer", Decimal("2.00"), 2),
        ("integer", "2", 2),
        ("integer", True, REFUSED),
        ("number", 2**53 + 1, REFUSED),
        ("number", 2**60, 2.0**60),
        ("number", -0.0, -0.0),
        ("number", 1e308, 1e308),
        ("number", math.inf, REFUSED),
        ("number", math.nan, REFUSED),
        ("number", Decimal("1.50"), 1.5),
        ("boolean", 1, True),
        ("boolean", 2, REFUSED),
        ("boolean", "TRUE", True),
        ("date", date.max, date.max),
        ("date", date.min, date.min),
        ("date", datetime(9999, 12, 31), date.max),  # noqa: DTZ001
        ("date", datetime(2013, 1, 31, 1), REFUSED),  # noqa: DTZ001
        ("date", datetime(2013, 1, 31, tzinfo=UTC), REFUSED),
        ("timestamp", datetime.max.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
        ("timestamp", datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)),
        ("timestamp", datetime(2013, 1, 31), REFUSED),  # noqa: DTZ001
        ("timestamp", Nanoseconds(1_000), datetime(1970, 1, 1, 0, 0, 0, 1, UTC)),
        ("timestamp", Nanoseconds(1), REFUSED),
        ("timestamp", date(2013, 1, 31), REFUSED),
    ],
)
def test_read_value_at_the_edge_is_what_it_was_or_refused(kind, value, expected):
    found = fates(value, kind)
    assert set(found.values()) == {REFUSED if expected is REFUSED else shown(expected)}, found


@pytest.mark.parametrize(
    ("zone", "local", "expected"),
    [
        ("UTC", datetime(2013, 7, 1), datetime(2013, 7, 1, tzinfo=UTC)),  # noqa: DTZ001
        ("America/New_York", datetime(2013, 7, 1), datetime(2013, 7, 1, 4, tzinfo=UTC)),  # noqa: DTZ001
        ("America/New_York", datetime(2013, 3, 10, 2, 30), REFUSED),  # noqa: DTZ001
        ("America/New_York", datetime(2013, 11, 3, 1, 30), REFUSED),  # noqa: DTZ001
        ("America/New_York", datetime(2013, 7, 1, tzinfo=UTC), datetime(2013, 7, 1, tzinfo=UTC)),
    ],
)
def test_read_time_without_an_offset_in_the_declared_zone(zone, local, expected):
    assert agreed(local, "timestamp", zone) == (REFUSED if expected is REFUSED else shown(expected))


@pytest.mark.parametrize("fmt", FORMATS)
def test_read_time_without_an_offset_says_how_to_declare_its_zone(fmt):
    made = {
        "csv": as_csv,
        "csv.gz": lambda each: gzip.compress(as_csv(each)),
        "jsonl": as_json,
        "parquet": as_parquet,
    }
    columns = {"id": Column(type="integer"), "x": Column(type="timestamp", nullable=True)}
    data = made[fmt](datetime(2013, 1, 31))  # noqa: DTZ001
    assert "`naive_timestamps: UTC`" in error(
        ContractBrokenError, data, fmt, Contract(version=1, columns=columns)
    )


@pytest.mark.parametrize("made", [as_csv, as_json, as_parquet])
def test_read_time_that_the_declared_zone_has_twice_asks_for_an_offset_and_not_for_a_zone(made):
    columns = {"id": Column(type="integer"), "x": Column(type="timestamp", nullable=True)}
    reading = Reading(naive_timestamps="America/New_York")
    data = made(datetime(2013, 11, 3, 1, 30))  # noqa: DTZ001
    fmt = {as_csv: "csv", as_json: "jsonl", as_parquet: "parquet"}[made]
    said = error(ContractBrokenError, data, fmt, Contract(version=1, columns=columns, reading=reading))
    assert "the declared zone America/New_York" in said
    assert "`naive_timestamps" not in said


def int96(*instants):
    out = io.BytesIO()
    table = pa.table({"id": [1] * len(instants), "x": pa.array(instants, pa.timestamp("ns"))})
    pq.write_table(table, out, use_deprecated_int96_timestamps=True)
    return out.getvalue()


def test_read_old_timestamps_of_parquet_in_the_declared_zone():
    data = int96(datetime(2013, 1, 1))  # noqa: DTZ001
    assert fate(data, "parquet", "timestamp", None) == REFUSED
    assert fate(data, "parquet", "timestamp", "UTC") == shown(datetime(2013, 1, 1, tzinfo=UTC))
    assert fate(data, "parquet", "date", None) == shown(date(2013, 1, 1))
    # A part of a microsecond.
    assert fate(int96(1_001), "parquet", "timestamp", "UTC") == REFUSED


@pytest.mark.parametrize("last", [datetime(9999, 12, 31, 23, 59, 59, 999999), datetime(1, 1, 1)])  # noqa: DTZ001
def test_read_old_timestamps_of_parquet_beyond_the_nanoseconds_of_64_bits(last):
    out = io.BytesIO()
    table = pa.table({"id": [1], "x": pa.array([last], pa.timestamp("us"))})
    pq.write_table(table, out, use_deprecated_int96_timestamps=True)
    assert fate(out.getvalue(), "parquet", "timestamp", "UTC") == shown(last.replace(tzinfo=UTC))


@pytest.mark.parametrize("text", ["1.0000000000000000001", "4503599627370497.4", "0e99999999999999999999"])
def test_read_integer_with_a_fraction_that_a_float_rounds_away_is_refused(text):
    assert fate(f"id,x\n1,{text}\n".encode(), "csv", "integer", None) == REFUSED
    assert fate(f'{{"id": 1, "x": "{text}"}}\n'.encode(), "jsonl", "integer", None) == REFUSED
    assert fate(parquet(id=[1], x=[text]), "parquet", "integer", None) == REFUSED


def test_read_decimal_is_a_number_as_it_is_written_and_no_text():
    tiny = pa.array([Decimal("3.000000000000000001")], pa.decimal128(38, 18))
    assert fate(parquet(id=[1], x=tiny), "parquet", "integer", None) == REFUSED
    assert fate(parquet(id=[1], x=tiny), "parquet", "number", None) == shown(3.0)
    one = parquet(id=[1], x=pa.array([Decimal(1)], pa.decimal128(1, 0)))
    assert fate(one, "parquet", "integer", None) == shown(1)
    assert fate(one, "parquet", "string", None) == REFUSED
