"""What means null is declared; what only looks like a null is kept, counted, and warned about."""

from __future__ import annotations

import json
import math
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from sluice import crossing, ledger
from sluice.core.errors import ContractBrokenError
from sluice.declare.limits import Limits
from sluice.declare.reading import NULL_LIKE, Reading
from sluice.declare.spec import Column, Contract
from sluice.ingest import parse
from sluice.ingest.budget import Budget
from sluice.ingest.layout import Layout
from sluice_lab.feed import data as source_data
from sluice_lab.feed.formats import encode
from tests.ingest.reading import FORMATS, error, parquet, read
from tests.ingest.staging import DAY, RUN, deliver

SPELLINGS = [r"\N", "NULL", "null", "N/A", "NA", "NaN", "nan", "None", "<NA>", ""]


def contract(kind="string", nulls=None, shared=(), **more):
    columns = {"id": Column(type="integer"), "x": Column(type=kind, nullable=True, nulls=nulls, **more)}
    return Contract(version=1, columns=columns, reading=Reading(nulls=shared))


def parsed(values, fmt, declared):
    data = encode(pa.table({"id": range(len(values)), "x": values}), fmt)
    return parse.read(data, fmt, Layout.of(declared), Budget.of(Limits()), where="a file")


@pytest.mark.parametrize("fmt", FORMATS)
def test_read_what_looks_like_a_null_is_kept_and_counted(fmt):
    found = parsed([*SPELLINGS, "NA", "x", None], fmt, contract())
    assert found.table["x"].to_pylist() == [*SPELLINGS, "NA", "x", None]
    assert {each.text: each.rows for each in found.null_like} == dict.fromkeys(SPELLINGS, 1) | {"NA": 2}
    assert set(SPELLINGS) <= set(NULL_LIKE)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize(
    ("declared", "expected", "warned"),
    [
        (contract(shared=["NA", r"\N"]), [None, None, "None", ""], {"None", ""}),
        (contract(nulls=["None", ""], shared=["NA", r"\N"]), ["NA", r"\N", None, None], set()),
        (contract(nulls=[]), ["NA", r"\N", "None", ""], set()),
        (contract(values=["NA"]), ["NA", r"\N", "None", ""], {r"\N", "None", ""}),
    ],
)
def test_read_declared_nulls_by_source_and_by_column(fmt, declared, expected, warned):
    found = parsed(["NA", r"\N", "None", ""], fmt, declared)
    assert found.table["x"].to_pylist() == expected
    assert {each.text for each in found.null_like} == warned


def test_read_field_with_nothing_in_it_is_null_and_two_quotes_are_an_empty_text():
    assert read(b'id,x\n1,\n2,""\n', "csv", contract())["x"].to_pylist() == [None, ""]
    assert read(b'id,x\n1,\n2,""\n', "csv", contract("integer", nulls=[""]))["x"].to_pylist() == [None, None]


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("kind", ["integer", "number", "boolean", "date", "timestamp"])
def test_read_null_in_a_typed_column_is_refused_until_it_is_declared(fmt, kind):
    data = encode(pa.table({"id": [1, 2], "x": [None, "N/A"]}), fmt)
    message = error(ContractBrokenError, data, fmt, contract(kind))
    assert "column 'x', row 2: 'N/A' is not" in message
    assert "if 'N/A' means that there is no value, declare it among the `nulls`" in message
    assert read(data, fmt, contract(kind, nulls=["N/A"]))["x"].to_pylist() == [None, None]


@pytest.mark.parametrize("fmt", FORMATS)
def test_read_number_that_means_null_is_null_however_it_is_written(fmt):
    for values in (["-999", "1"], [-999, 1], [-999.0, 1.0]):
        data = encode(pa.table({"id": [1, 2], "x": values}), fmt)
        for kind in ("integer", "number"):
            assert read(data, fmt, contract(kind, nulls=["-999"]))["x"].to_pylist() == [None, 1]


@pytest.mark.parametrize("fmt", FORMATS)
def test_read_not_a_number_is_null_where_that_is_declared(fmt):
    values = pa.array([float("nan"), 1.5])
    data = encode(pa.table({"id": [1, 2], "x": values}), fmt)
    assert "is not a finite number" in error(ContractBrokenError, data, fmt, contract("number"))
    assert read(data, fmt, contract("number", nulls=["nan", "NaN"]))["x"].to_pylist() == [None, 1.5]


def test_read_mixed_json_with_not_a_number_reads_the_declared_null():
    data = b'{"id": 1, "x": NaN}\n{"id": 2, "x": "1.5"}\n'
    assert read(data, "jsonl", contract("number", nulls=["nan"]))["x"].to_pylist() == [None, 1.5]


@pytest.mark.parametrize("fmt", FORMATS)
def test_read_empty_text_is_no_value_where_there_must_be_one(fmt):
    columns = {"id": Column(type="integer"), "x": Column(type="string")}
    data = encode(pa.table({"id": [1, 2], "x": ["a", ""]}), fmt)
    assert "column 'x', row 2: no value (missing in 1 of 2 rows)" in error(
        ContractBrokenError, data, fmt, Contract(version=1, columns=columns)
    )


def test_stage_text_that_looks_like_a_null_warns_with_its_count(flights):
    rows = source_data.rows("arrivals", date(2013, 4, 2))
    known = rows["tailnum"].to_pylist()
    at = rows.column_names.index("tailnum")
    deliver(flights, rows.set_column(at, "tailnum", pa.array(["NULL", "NULL", *known[2:]])))
    manifest = crossing.stage(flights, "arrivals", [DAY], RUN)
    (note,) = manifest.noted
    assert (note.kind, note.column, note.text, note.rows) == ("undeclared_null", "tailnum", "NULL", 2)
    (staged,) = ledger.entries(kind="staged")
    assert staged.data["noted"] == json.loads(f"[{note.model_dump_json()}]")
    verdict = crossing.audit(flights, "arrivals", manifest.batch_id, RUN)
    assert note.sentence() in verdict.reasons
    assert "the text 'NULL' in column tailnum, in 2 row(s)" in note.sentence()


# --- what a declared text stands for


def column(kind, *nulls, **reading):
    return Contract(
        version=1,
        columns={"id": Column(type="integer"), "x": Column(type=kind, nullable=True, nulls=nulls)},
        reading=Reading(**reading),
    )


@pytest.mark.parametrize(
    ("kind", "null", "values"),
    [
        ("boolean", "-1", pa.array([-1])),
        ("boolean", "-1", pa.array([-1], pa.int8())),
        ("integer", "-0.5", pa.array([-0.5])),
        ("integer", "-999", pa.array([Decimal("-999.00")])),
        ("number", "-999.9", pa.array([-999.9], pa.float32())),
        ("number", "inf", pa.array([math.inf])),
        ("date", "9999-12-31T23:59:59", pa.array([datetime(9999, 12, 31, 23, 59, 59)], pa.timestamp("us"))),  # noqa: DTZ001
        ("timestamp", "1900-01-01 00:00:00", pa.array([datetime(1900, 1, 1)], pa.timestamp("ms"))),  # noqa: DTZ001
    ],
)
def test_read_typed_value_that_a_declared_null_stands_for_is_null_as_its_text_is(kind, null, values):
    contract = column(kind, null, naive_timestamps="America/New_York")
    assert read(f"id,x\n1,{null}\n".encode(), "csv", contract)["x"].to_pylist() == [None]
    assert read(parquet(id=[1], x=values), "parquet", contract)["x"].to_pylist() == [None]


def test_read_local_time_that_a_declared_null_stands_for_is_null_in_another_spelling():
    contract = column("timestamp", "1900-01-01 00:00:00", naive_timestamps="America/New_York")
    assert read(b"id,x\n1,1900-01-01T00:00:00\n", "csv", contract)["x"].to_pylist() == [None]


def test_contract_value_that_its_reading_takes_for_null_is_refused():
    country = {"country": Column(type="string", values=["NA", "DE"])}
    with pytest.raises(ValueError, match="'NA' is among the `values` of column 'country'"):
        Contract(version=1, columns=country, reading=Reading(nulls=["NA"]))
    country["country"] = Column(type="string", values=["NA", "DE"], nulls=[])
    contract = Contract(version=1, columns=country, reading=Reading(nulls=["NA"]))
    assert read(b"country\nNA\n", "csv", contract)["country"].to_pylist() == ["NA"]
