"""What the tests of parsing share: contracts, and how a file is read in this process."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.declare.limits import Limits
from sluice.declare.spec import Column, Contract
from sluice.ingest import parse
from sluice.ingest.budget import Budget
from sluice.ingest.layout import Layout

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
    """What the process that reads does, in this one."""
    layout, budget = Layout.of(contract), Budget.of(Limits())
    return parse.read(data, fmt, layout, budget, where="landing/flights.csv", **options).table


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
