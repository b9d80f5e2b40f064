"""Versions of a contract: what may be added, what is refused with a hint, and how a mapping lets another version in."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from sluice.core.errors import ContractBrokenError
from sluice.declare.limits import Limits
from sluice.declare.spec import Contract
from sluice.ingest import parse
from sluice.ingest.budget import Budget
from sluice.ingest.layout import Layout
from sluice_lab.feed.formats import encode

FORMATS = ("csv", "csv.gz", "jsonl", "parquet")
COLUMNS = {
    "flight": {"type": "integer"},
    "dest": {"type": "string"},
    "status": {"type": "string", "nullable": True},
    "delay": {"type": "integer", "nullable": True},
    "price": {"type": "number"},
}
V1 = Contract.model_validate({"version": 1, "columns": COLUMNS})
# Version 2 renames a column, spells the status out, counts in seconds and cents, and has no destination.
BOTH = Contract.model_validate(
    {
        "version": 1,
        "columns": COLUMNS,
        "mappings": {
            2: {
                "rename": {"flight_number": "flight"},
                "values": {"status": {"active": "A", "blocked": "B"}},
                "scale": {"delay": "1/60", "price": 0.01},
                "fill": {"dest": "IAH"},
            }
        },
    }
)
ROWS = pa.table(
    {
        "flight": [1, 2, 3],
        "dest": ["IAH"] * 3,
        "status": ["A", None, "B"],
        "delay": pa.array([2, None, -1], pa.int64()),
        "price": [1.5, 2.0, 0.07],
    }
)
ROWS_V2 = pa.table(
    {
        "flight_number": [1, 2, 3],
        "status": ["active", None, "blocked"],
        "delay": pa.array([120, None, -60], pa.int64()),
        "price": [150.0, 200.0, 7.0],
    }
)


def read(data, fmt, contract, *, version=None, **options):
    """What the process that reads does, in this one."""
    return parse.read(data, fmt, Layout.of(contract, version), Budget.of(Limits()), where="a file", **options)


def broken(rows, fmt, contract=BOTH, **options):
    data = rows if isinstance(rows, bytes) else encode(rows, fmt)
    with pytest.raises(ContractBrokenError) as caught:
        read(data, fmt, contract, **options)
    return str(caught.value)


@pytest.mark.parametrize("fmt", FORMATS)
def test_read_added_columns_are_left_out_and_named(fmt):
    more = ROWS.append_column("gate", pa.array(["A1", "B2", "C3"])).append_column(
        "stand", pa.array([1, 2, 3])
    )
    parsed = read(encode(more, fmt), fmt, V1)
    assert parsed.table.equals(read(encode(ROWS, fmt), fmt, V1).table)
    assert parsed.left_out == ("gate", "stand")


@pytest.mark.parametrize("fmt", FORMATS)
def test_read_renamed_column_is_refused_with_the_one_that_looks_like_it(fmt):
    message = broken(ROWS.rename_columns(["flight", "destination", "status", "delay", "price"]), fmt)
    assert "missing column 'dest'" in message
    assert "'dest' may be there under a new name: 'destination'" in message


@pytest.mark.parametrize("fmt", FORMATS)
def test_read_mapped_version_becomes_the_declared_one(fmt):
    mapped = read(encode(ROWS_V2, fmt), fmt, BOTH, version=2).table
    assert mapped.schema == ROWS.schema
    assert mapped.drop_columns("price").equals(ROWS.drop_columns("price"))
    assert mapped["price"].to_pylist() == pytest.approx(ROWS["price"].to_pylist())


def test_read_spelling_that_a_mapping_does_not_name_stays_for_the_gate():
    odd = ROWS_V2.set_column(1, "status", pa.array(["active", "asleep", None]))
    assert read(encode(odd, "csv"), "csv", BOTH, version=2).table["status"].to_pylist() == [
        "A",
        "asleep",
        None,
    ]


@pytest.mark.parametrize("fmt", FORMATS)
def test_read_scaled_integer_that_is_none_any_more_names_row_and_value(fmt):
    uneven = ROWS_V2.set_column(2, "delay", pa.array([120, None, 90], pa.int64()))
    message = broken(uneven, fmt, version=2)
    assert "column 'delay', row 3: 90.0 is no integer after it was scaled by 1/60" in message
    assert "90" not in broken(uneven, fmt, version=2, pii="direct")


@pytest.mark.parametrize("fmt", FORMATS)
def test_read_number_that_is_infinite_after_it_was_scaled_names_row_and_value(fmt):
    huge = Contract.model_validate(
        {"version": 1, "columns": COLUMNS, "mappings": {2: {"scale": {"price": 100}}}}
    )
    rows = ROWS.set_column(4, "price", pa.array([1.5, 1e308, 2.0]))
    message = broken(rows, fmt, huge, version=2)
    assert "column 'price', row 2: 1e+308 is no finite number after it was scaled by 100" in message


# --- two versions in one file


def test_read_json_rows_of_two_versions_are_refused_with_both_named():
    data = encode(ROWS, "jsonl") + encode(ROWS_V2, "jsonl")
    assert "it is read as version 1, and row 4 follows version 2" in broken(data, "jsonl")
    data = encode(ROWS_V2, "jsonl") + encode(ROWS, "jsonl")
    assert "it is read as version 2, and row 4 follows version 1" in broken(data, "jsonl", version=2)


def test_read_json_rows_of_an_undeclared_version_are_refused():
    other = ROWS.rename_columns(["flight", "dest", "state", "delay", "price"])
    message = broken(encode(ROWS, "jsonl") + encode(other, "jsonl"), "jsonl", V1)
    assert "row 4 has 'state' where rows of version 1 have 'status'" in message


def test_read_json_rows_that_leave_out_what_is_null_are_one_version():
    lines = (
        b'{"flight": 1, "dest": "IAH", "price": 1, "gate": "A1"}\n'
        b'{"flight": 2, "dest": "IAH", "price": 1, "status": "A", "delay": 3, "gate": "A2"}\n'
        b'{"flight": 3, "dest": "IAH", "price": 1, "delay": 3}\n'
    )
    parsed = read(lines, "jsonl", BOTH)
    assert parsed.table["status"].to_pylist() == [None, "A", None]
    assert parsed.left_out == ("gate",)


@pytest.mark.parametrize("version", [1, 2])
def test_read_json_whose_first_row_is_of_another_version_names_that_row(version):
    rows = {1: encode(ROWS, "jsonl"), 2: encode(ROWS_V2, "jsonl")}
    other = 3 - version
    data = rows[other].splitlines(keepends=True)[0] + rows[version]
    message = broken(data, "jsonl", version=version)
    assert f"it is read as version {version}, and row 1 follows version {other}" in message
    assert "no version of the contract does" not in message


@pytest.mark.parametrize("fmt", FORMATS)
def test_read_file_that_is_all_of_another_version_says_so(fmt):
    message = broken(ROWS, fmt, version=2)
    assert "these are the columns of version 1, and the delivery is read as version 2" in message
    assert "let its manifest say `contract_version: 1`" in message
    assert "two versions" not in message


def test_read_json_that_is_all_of_another_version_is_not_called_mixed_where_rows_leave_out_nulls():
    lines = (
        b'{"flight": 1, "dest": "IAH", "price": 1}\n{"flight": 2, "dest": "IAH", "price": 1, "status": "A"}\n'
    )
    lines += b'{"flight": 3, "dest": "IAH", "price": 1, "status": "A", "delay": 1}\n'
    message = broken(lines, "jsonl", version=2)
    assert "these are the columns of version 1" in message
    assert "two versions" not in message


@pytest.mark.parametrize("version", [1, 2])
def test_read_csv_rows_of_another_version_without_a_header_are_refused(version):
    rows = {1: encode(ROWS, "csv"), 2: encode(ROWS_V2, "csv")}
    other = 3 - version
    data = rows[version] + rows[other].split(b"\n", 1)[1]
    message = broken(data, "csv", version=version)
    assert f"it is read as version {version}, and row 4 follows version {other}" in message
    # Of as many fields as another version has, and not its types: only ragged.
    message = broken(rows[1] + b"x,y,z,w\n", "csv")
    assert "row 4 has 4 field(s), the header 5" in message


SCALED = Contract.model_validate(
    {"version": 1, "columns": COLUMNS, "mappings": {2: {"scale": {"delay": "1/60"}}}}
)


def test_read_csv_row_with_a_value_of_the_wrong_type_says_which_version_it_fits():
    rows = encode(ROWS, "csv")
    message = broken(rows + b"4,IAH,A,90.5,2.0\n", "csv", SCALED)
    assert "column 'delay', row 4: '90.5' is not an integer, and the row fits version 2" in message
    message = broken(rows + b"4,IAH,A,90.5,2.0\n", "csv", SCALED, pii="quasi")
    assert "90.5" not in message
    message = broken(rows + b"4,IAH,A,x,2.0\n", "csv", SCALED)
    assert "row 4: 'x' is not an integer" in message
    assert "version 2" not in message
    # In whichever order the file has its columns.
    header, *lines = encode(ROWS.select(["delay", "dest", "price", "flight", "status"]), "csv").splitlines(
        keepends=True
    )
    message = broken(b"".join([header, *lines, b"90.5,IAH,2.0,4,A\n"]), "csv", SCALED)
    assert "row 4: '90.5' is not an integer, and the row fits version 2" in message
    # With a column that is left out, the row is not all there.
    header, rest = rows.split(b"\n", 1)
    more = b"".join(line + b",1\n" for line in (rest + b"4,IAH,A,90.5,2.0").splitlines())
    assert "fits version" not in broken(header + b",more\n" + more, "csv", SCALED)


UNION = pa.concat_tables([ROWS, ROWS_V2], promote_options="default")


@pytest.mark.parametrize("fmt", FORMATS)
def test_read_union_of_two_layouts_is_refused_at_the_first_row_of_the_other(fmt):
    message = broken(UNION, fmt)
    assert "read as version 1, and row 4 has its values in those of version 2" in message
    message = broken(UNION.drop_columns("dest").take([4, 0]), fmt, version=2)
    assert "read as version 2, and row 2 has its values in those of version 1" in message


@pytest.mark.parametrize("fmt", FORMATS)
def test_read_names_of_both_versions_in_every_row_are_one_version(fmt):
    both = ROWS.append_column("flight_number", ROWS["flight"])
    parsed = read(encode(both, fmt), fmt, BOTH)
    assert parsed.left_out == ("flight_number",)
    assert parsed.table.equals(ROWS)


STATED = Contract.model_validate(
    {
        "version": 2,
        "columns": {**COLUMNS, "layout": {"type": "integer"}},
        "version_column": "layout",
        "mappings": {1: {"scale": {"delay": 60}}},
    }
)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize(
    ("layouts", "said"),
    [
        (
            [2, 2, 1],
            "two versions in one delivery: it is read as version 2, and row 3 says that it follows version 1",
        ),
        (
            [1, 2, 2],
            "two versions in one delivery: it is read as version 2, and row 1 says that it follows version 1",
        ),
        ([1, 1, 1], "the delivery is read as version 2, and row 1 says that it follows version 1"),
        (
            [2, 9, 2],
            "two versions in one delivery: it is read as version 2, and row 2 says that it follows version 9",
        ),
        ([2, None, 2], "row 2 does not say which version it follows (column 'layout')"),
    ],
)
def test_read_rows_that_state_another_version_are_refused(fmt, layouts, said):
    rows = ROWS.append_column("layout", pa.array(layouts, pa.int64()))
    assert said in broken(rows, fmt, STATED)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("version", [1, 2])
def test_read_rows_that_state_their_version_pass(fmt, version):
    rows = ROWS.append_column("layout", pa.array([version] * 3))
    assert read(encode(rows, fmt), fmt, STATED, version=version).table.num_rows == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version_column": "layouts"}, "which is not among the columns"),
        ({"version_column": "status"}, "must be an integer that is not nullable"),
        ({"mappings": {1: {"fill": {"layout": 1}}}}, "cannot be filled or scaled"),
        (
            {"mappings": {1: {"since": "2013-04-03"}}},
            "`since` is for a producer that does not say its version",
        ),
    ],
)
def test_contract_version_column_that_cannot_say_a_version_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        Contract.model_validate({**STATED.model_dump(), **change})


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"flight_number,status,delay,price\n", "it is read as version 1, and row 4 follows version 2"),
        (b"flight,dest,status,delay,price\n", "row 4 is the header once more"),
        (b"flight,dest,status,delay,fare\n", "it is read as version 1, and row 4 is the header of another"),
        (b'"price","delay","status","dest","flight"\n', "row 4 is the header once more"),
    ],
)
def test_read_csv_with_a_header_inside_is_refused(header, said):
    assert said in broken(encode(ROWS, "csv") + header + b"4,x,1,1,1\n", "csv")


def test_read_csv_of_text_that_looks_a_little_like_a_header_is_data():
    odd = ROWS.set_column(1, "dest", pa.array(["dest", "price", "delay"]))
    assert read(encode(odd, "csv"), "csv", BOTH).table["dest"].to_pylist()[0] == "dest"


# --- which version a delivery is


def test_contract_reads_a_silent_change_from_its_day_on():
    silent = Contract.model_validate(
        {
            "version": 1,
            "columns": COLUMNS,
            "mappings": {2: {"since": "2013-04-03"}, 3: {"since": "2013-05-01"}, 4: {}},
        }
    )
    days = {"2013-04-02": 1, "2013-04-03": 2, "2013-04-30": 2, "2013-05-01": 3}
    assert {day: silent.read_as(1, date.fromisoformat(day)) for day in days} == days
    # Whoever says its version is believed.
    assert silent.read_as(4, date(2013, 5, 1)) == 4
    assert silent.read_as(5, date(2013, 5, 1)) is None


def test_contract_hash_changes_with_what_decides_the_rows_and_with_nothing_else():
    described = {**COLUMNS, "dest": {"type": "string", "description": "where to"}}
    assert Contract.model_validate({"version": 1, "columns": described}).hash(1) == V1.hash(1)
    assert BOTH.hash(1) == V1.hash(1)
    hashes = {V1.hash(1), BOTH.hash(2)}
    for change in (
        {"columns": {**COLUMNS, "dest": {"type": "string", "nullable": True}}},
        {"columns": dict(reversed(COLUMNS.items()))},
        {"version": 2},
    ):
        hashes.add(
            Contract.model_validate({"version": 1, "columns": COLUMNS, **change}).hash(
                change.get("version", 1)
            )
        )
    assert len(hashes) == 5
