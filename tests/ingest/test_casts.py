"""What a value of each declared type may be, at the edges: read as it was written, or refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from sluice.ingest import casts

S, I64, F64, B = pa.string(), pa.int64(), pa.float64(), pa.bool_()
LOCAL, INSTANT, BERLIN = pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.timestamp("ms", "Europe/Berlin")
WORDS = pa.dictionary(pa.int32(), S)
NEW_YORK = "America/New_York"


def read(kind: str, type: pa.DataType, values: list, zone: str | None = None) -> list:
    rule = casts.rules()[kind]
    found = pa.chunked_array([pa.array(values, type)])
    made = rule.cast(found, zone)
    assert made.type == rule.type
    return made.to_pylist()


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def local(*parts: int) -> datetime:
    return at(*parts).replace(tzinfo=None)


READ = [
    ("string", S, ["", "a", None], ["", "a", None]),
    ("integer", S, ["-42", "007", None, "9223372036854775807"], [-42, 7, None, 2**63 - 1]),
    ("integer", S, ["5", "2.0", "2.", "1e3", None], [5, 2, 2, 1000, None]),
    ("integer", S, ["9007199254740991.0", "-9007199254740991.0"], [2**53 - 1, 1 - 2**53]),
    ("integer", F64, [2.0, None, float(2**53 - 1)], [2, None, 2**53 - 1]),
    ("integer", pa.decimal128(5, 2), [Decimal("2.00"), None], [2, None]),
    ("integer", pa.int8(), [5, None], [5, None]),
    ("integer", S, [], []),
    ("number", S, ["-1.5", ".5", "2e3", "7", None], [-1.5, 0.5, 2000.0, 7.0, None]),
    ("number", S, ["9007199254740992000", "0000000000000000", "-9007199254740992"], [9007199254740992000.0, 0.0, -(2.0**53)]),
    ("number", S, ["1234567890.12345678"], [1234567890.12345678]),
    ("number", I64, [2**53, -(2**60), None], [2.0**53, -(2.0**60), None]),
    ("number", pa.decimal128(5, 2), [Decimal("-1.25")], [-1.25]),
    ("number", F64, [1.5, None, -2e300], [1.5, None, -2e300]),
    # The double that the file holds, not the one that its shortest text would be.
    ("number", pa.float32(), [0.1], [0.10000000149011612]),
    ("boolean", S, ["true", "FALSE", "1", "0", None], [True, False, True, False, None]),
    ("boolean", I64, [1, 0, None], [True, False, None]),
    ("boolean", pa.decimal128(3, 0), [Decimal(1)], [True]),
    ("boolean", B, [True, None], [True, None]),
    ("date", S, ["2013-02-28", "2012-02-29", None], [date(2013, 2, 28), date(2012, 2, 29), None]),
    ("date", S, ["2013-02-28 00:00", "2013-02-28T00:00:00.000"], [date(2013, 2, 28)] * 2),
    ("date", S, ["0001-01-01", "9999-12-31"], [date.min, date.max]),
    ("date", LOCAL, [local(2013, 2, 28), None], [date(2013, 2, 28), None]),
    ("timestamp", S, ["2013-01-31T06:00:00Z", "2013-01-31 06:00:00+01:00", None], [at(2013, 1, 31, 6), at(2013, 1, 31, 5), None]),
    ("timestamp", S, ["2013-01-31T06:00:00.123456000Z", "2013-01-31T06:00:00Z"], [at(2013, 1, 31, 6, 0, 0, 123456), at(2013, 1, 31, 6)]),
    ("timestamp", S, ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"], [at(1, 1, 1), at(9999, 12, 31, 23, 59, 59, 999999)]),
    ("timestamp", BERLIN, [at(2013, 1, 31, 6)], [at(2013, 1, 31, 6)]),
]  # fmt: skip

REFUSED = [
    ("string", S, ["a\0b"]),
    ("integer", S, ["2.5"]),
    ("integer", S, ["two"]),
    ("integer", S, ["5", ""]),
    ("integer", S, ["9223372036854775808"]),
    ("integer", S, ["9007199254740992.0"]),
    ("integer", S, ["1.0000000000000000001e0"]),
    ("integer", S, ["1e400"]),
    ("integer", F64, [2.5]),
    ("integer", F64, [float(2**53)]),
    ("integer", F64, [float("nan")]),
    ("integer", pa.decimal128(5, 2), [Decimal("2.50")]),
    ("integer", pa.uint64(), [2**63]),
    ("number", S, ["0x10"]),
    ("number", S, ["nan"]),
    ("number", S, ["1e400"]),
    ("number", F64, [float("inf")]),
    ("number", F64, [1.0, float("nan")]),
    ("number", S, ["9007199254740993"]),
    ("number", S, ["-9007199254740993"]),
    ("number", I64, [2**53 + 1]),
    ("boolean", S, ["yes"]),
    ("boolean", I64, [2]),
    ("boolean", pa.decimal128(3, 1), [Decimal("0.5")]),
    ("date", S, ["2013-02-29"]),
    ("date", S, ["2013-02-28 00:01"]),
    ("date", S, ["2013-02-28T00:00Z"]),
    ("date", LOCAL, [local(2013, 2, 28, 0, 1)]),
    ("date", pa.date32(), [date.min.toordinal() - date(1970, 1, 1).toordinal() - 1]),
    ("date", pa.date32(), [date.max.toordinal() - date(1970, 1, 1).toordinal() + 1]),
    ("timestamp", S, ["2013-01-31T06:00:00"]),
    ("timestamp", S, ["2013-01-31T06:00:00.1234567Z"]),
    ("timestamp", S, ["2013-01-31"]),
    ("timestamp", LOCAL, [local(2013, 1, 31)]),
    ("timestamp", INSTANT, [-62135596800000001]),
    ("timestamp", INSTANT, [253402300800000000]),
]


@pytest.mark.parametrize(("kind", "type", "values", "expected"), READ)
def test_value_is_read_as_it_was_written(kind, type, values, expected):
    assert read(kind, type, values) == expected


@pytest.mark.parametrize(("kind", "type", "values"), REFUSED)
def test_value_that_is_none_of_the_declared_type_is_refused(kind, type, values):
    with pytest.raises(pa.ArrowInvalid):
        read(kind, type, values)


def test_date_with_a_time_within_the_day_is_refused():
    for ms, expected in ((86_400_000, [date(1970, 1, 2)]), (86_400_001, None)):
        found = pa.chunked_array([pa.array([ms], pa.int64()).view(pa.date64())])
        if expected:
            assert casts.rules()["date"].cast(found, None).to_pylist() == expected
        else:
            with pytest.raises(pa.ArrowInvalid):
                casts.rules()["date"].cast(found, None)


def test_local_times_are_read_in_the_declared_zone_beside_instants_with_an_offset():
    written = ["2013-01-31T06:00:00", "2013-07-01 06:00", "2013-01-31T06:00:00Z", None]
    expected = [at(2013, 1, 31, 11), at(2013, 7, 1, 10), at(2013, 1, 31, 6), None]
    assert read("timestamp", S, written, NEW_YORK) == expected
    assert read("timestamp", LOCAL, [local(2013, 1, 31, 6)], NEW_YORK) == [at(2013, 1, 31, 11)]
    for zone in ("UTC", NEW_YORK):
        assert read("timestamp", S, ["2013-01-31T06:00:00.5000000Z"], zone) == [
            at(2013, 1, 31, 6, 0, 0, 500000)
        ]
        assert read("timestamp", INSTANT, [at(2013, 1, 31, 6)], zone) == [at(2013, 1, 31, 6)]
    assert read("timestamp", S, ["2013-01-31T06:00:00"], "UTC") == [at(2013, 1, 31, 6)]


@pytest.mark.parametrize("text", ["2013-03-10T02:30:00", "2013-11-03T01:30:00", "2013-01-31", "noon"])
def test_local_time_that_a_clock_shows_twice_or_never_is_refused(text):
    with pytest.raises(pa.ArrowInvalid):
        read("timestamp", S, [text], NEW_YORK)


ACCEPTED = {
    "string": [S],
    "integer": [S, I64, F64, pa.decimal128(5, 2)],
    "number": [S, I64, F64, pa.decimal128(5, 2)],
    "boolean": [S, I64, B, pa.decimal128(5, 2)],
    "date": [S, pa.date32(), LOCAL],
    "timestamp": [S, INSTANT, BERLIN],
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_types_of_a_file_that_are_taken_for_a_declared_type(kind):
    rule, every = (
        casts.rules()[kind],
        [S, I64, F64, B, pa.decimal128(5, 2), pa.date32(), LOCAL, INSTANT, BERLIN],
    )
    assert [found for found in every if rule.accepts(found, None)] == [
        each for each in every if each in ACCEPTED[kind]
    ]
    # In a declared zone a local time is an instant.
    assert rule.accepts(LOCAL, NEW_YORK) == (kind in ("date", "timestamp"))
    assert rule.accepts(INSTANT, NEW_YORK) == (kind == "timestamp")


@pytest.mark.parametrize(
    ("type", "values", "nulls", "expected"),
    [
        (S, ["NA", "a", None], ["NA"], [None, "a", None]),
        (S, ["NA", "nan"], [], ["NA", "nan"]),
        (S, ["nan", "a"], ["nan"], [None, "a"]),
        (I64, [-999, 1], ["NA", "-999"], [None, 1]),
        (I64, [-999, 1], ["NA"], [-999, 1]),
        (F64, [float("nan"), 1.0, -999.0], ["NaN", "-999"], [None, 1.0, None]),
        (B, [True, False], ["false"], [True, None]),
    ],
)
def test_declared_text_is_null_also_where_a_type_has_its_value(type, values, nulls, expected):
    found = pa.chunked_array([pa.array(values, type)])
    assert casts.without_nulls(found, nulls).to_pylist() == expected


def test_number_that_is_no_declared_null_stays():
    found = pa.chunked_array([pa.array([float("nan")])])
    assert str(casts.without_nulls(found, ["-999"]).to_pylist()) == "[nan]"


def test_declared_null_is_found_in_another_spelling():
    rule = casts.rules()["integer"]
    made = pa.chunked_array([[-999, 0, None]])
    assert casts.without_sentinels(made, rule, ["NA", "-999.0"], None).to_pylist() == [None, 0, None]
    assert casts.without_sentinels(made, rule, ["NA"], None).to_pylist() == [-999, 0, None]


@pytest.mark.parametrize(
    ("values", "type"),
    [
        (pa.array(["a"]).dictionary_encode(), S),
        (pa.array(["a"], pa.large_string()), S),
        (pa.array(["a"], pa.string_view()), S),
        (pa.array([None], pa.null()), S),
        (pa.array([1]), I64),
    ],
)
def test_plain_values_have_no_encoding_of_their_own(values, type):
    made = casts.plain(pa.chunked_array([values]))
    assert (made.type, made.to_pylist()) == (type, values.to_pylist())
