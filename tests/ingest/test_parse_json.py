"""JSON lines: keys, types and values, row by row."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.core.errors import ContractBrokenError, SluiceError
from sluice.declare.spec import Column, Contract
from sluice.ingest import jsonl
from sluice_lab.feed.formats import encode
from tests.ingest.reading import ALL, error, read


@settings(max_examples=200)
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


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('"x"', "column 'flight', row 2: 'x' is not an integer"),
        ("1.5", "column 'flight', row 2: '1.5' is not an integer"),
        ("true", "column 'flight', row 2: 'true' is not an integer"),
        ("[1]", "column 'flight', row 2: [1] is not a JSON value of type integer, or its text"),
        ("9223372036854775808", "column 'flight', row 2: '9223372036854775808' is not an integer"),
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
    data = encode(table, "jsonl").replace(b'"flight": 4', b'"flight": "x"')
    assert "column 'flight', row 5: 'x' is not an integer" in error(ContractBrokenError, data, "jsonl")


def test_parse_truncated_json_names_the_last_row():
    data = b'{"flight": 1, "dest": "IAH"}\n{"flight": 2, "de'
    assert "row 2 is cut short" in error(ContractBrokenError, data, "jsonl")
