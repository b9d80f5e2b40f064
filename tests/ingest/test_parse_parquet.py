"""Parquet: its own types, and damage to its parts."""

from __future__ import annotations

import base64
import io
import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.core.errors import ContractBrokenError, DeliveryUnreadableError
from sluice.declare.spec import Column, Contract
from tests.ingest.reading import ARROW, error, parquet, read


def test_parse_parquet_with_text_that_is_not_utf8_is_refused():
    out = io.BytesIO()
    pq.write_table(
        pa.table({"flight": [1], "dest": ["IAH"]}), out, compression="none", write_statistics=False
    )
    data = out.getvalue().replace(b"IAH", b"\xffAH")
    assert data != out.getvalue()
    assert "damaged" in error(DeliveryUnreadableError, data, "parquet")


def test_parse_parquet_value_that_its_page_checksum_contradicts_is_refused():
    out, given = io.BytesIO(), {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pq.write_table(pa.table({"flight": [1], "dest": ["IAH"]}), out, write_page_checksum=True, **given)
    assert read(out.getvalue(), "parquet")["dest"].to_pylist() == ["IAH"]
    assert "damaged" in error(DeliveryUnreadableError, out.getvalue().replace(b"IAH", b"LAH"), "parquet")


def test_parse_truncated_parquet_is_refused():
    data = parquet(flight=list(range(1000)), dest=["IAH"] * 1000)
    for length in (4, len(data) // 2, len(data) - 1):
        assert "truncated, damaged" in error(DeliveryUnreadableError, data[:length], "parquet")


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("integer", pa.array([7, None], pa.int8())),
        ("integer", pa.array([7, None], pa.uint64())),
        ("integer", pa.array([7.0, None])),
        ("integer", pa.array([Decimal("7.00"), None], pa.decimal128(38, 2))),
        ("number", pa.array([Decimal("0.50"), None], pa.decimal128(10, 2))),
        ("number", pa.array([2**60, None])),
        ("date", pa.array([datetime(9999, 12, 31), None])),  # noqa: DTZ001
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
    read_as = values.cast(pa.date32()) if column == "date" else values
    assert table["x"].to_pylist() == read_as.to_pylist()


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("integer", pa.array([1.0, 1.5]), "row 2: '1.5' is not an integer"),
        ("integer", pa.array([1.0, 2.0**53]), "row 2: "),
        ("integer", pa.array([Decimal("1"), Decimal("1.5")]), "row 2: '1.5' is not an integer"),
        (
            "number",
            pa.array([Decimal(1), Decimal(2**53 + 1)]),
            "row 2: '9007199254740993' is not a finite number",
        ),
        ("boolean", pa.array([0, 2]), "row 2: '2' is not a boolean"),
        ("boolean", pa.array([0.0]), "is of type double"),
        ("string", pa.array(["a\0"]), "row 1: "),
        ("integer", pa.array([True]), "is of type bool"),
        ("integer", pa.array([0, 2**63], pa.uint64()), "row 2: '9223372036854775808' is not an integer"),
        ("number", pa.array([1.5, math.nan]), "row 2: 'nan' is not a finite number"),
        ("number", pa.array([1, 2**53 + 1]), "row 2: '9007199254740993' is not a finite number"),
        ("string", pa.array([1]), "is of type int64"),
        ("string", pa.array([b"x"]), "is of type binary"),
        ("date", pa.array([datetime(2013, 1, 31, 1)]), "row 1: "),  # noqa: DTZ001
        ("date", pa.array([datetime(2013, 1, 31, tzinfo=UTC)]), "is of type timestamp[us, tz=UTC]"),
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
