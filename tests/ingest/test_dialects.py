"""What a source may declare of its files, and what becomes of files that are written in another way."""

from __future__ import annotations

import gzip

import pytest

from sluice.core.errors import ContractBrokenError, DeliveryUnreadableError
from sluice.declare.limits import Limits
from sluice.declare.reading import Reading
from sluice.declare.spec import Column, Contract, Source
from sluice.ingest import delimited, parse
from sluice.ingest.budget import Budget
from sluice.ingest.layout import Layout
from tests.ingest.reading import error, read

HEADER = "id,code,note,amount,qty,seen,day,ok\n"


def plain(**reading):
    optional = {
        "note": "string",
        "amount": "number",
        "qty": "integer",
        "seen": "timestamp",
        "day": "date",
        "ok": "boolean",
    }
    return Contract(
        version=1,
        columns={
            "id": Column(type="integer"),
            "code": Column(type="string"),
            **{name: Column(type=kind, nullable=True) for name, kind in optional.items()},
        },
        reading=Reading(**reading),
    )


def notes(data, **reading):
    data = data if isinstance(data, bytes) else data.encode()
    return read(data, "csv", plain(**reading))["note"].to_pylist()


def refused(data, **reading):
    return error(ContractBrokenError, data.encode(), "csv", plain(**reading))


# --- quotes


def rows(first, second):
    between = "".join(f"{at},B,n{at},1,1,,,true\n" for at in range(2, 42))
    return HEADER + f"1,A,{first},1.5,2,,,true\n{between}42,C,{second},2.5,3,,,true\n43,D,last,1,1,,,true\n"


@pytest.mark.parametrize("fmt", ["csv", "csv.gz"])
def test_read_stray_quotes_do_not_swallow_rows(fmt):
    data = rows('"Bud Field', '"Big Field').encode()
    data = gzip.compress(data) if fmt == "csv.gz" else data
    message = error(ContractBrokenError, data, fmt, plain())
    assert "row 1, column 'note' (lines 2 to 43 of the file): text after the closing quote" in message
    assert 'a quote (") only where a value begins and ends with one' in message
    assert "`escape: backslash`" in message


def test_read_inch_marks_are_refused_and_read_where_quotes_are_text():
    data = HEADER + '1,A,"6\'2"",1.5,2,,,true\n2,B,"5\'9"",1.5,2,,,true\n'
    assert "row 1, column 'note' (lines 2 to 3 of the file)" in refused(data)
    assert notes(data, quote=None) == ['"6\'2""', '"5\'9""']
    assert "row 1, column 'note' (line 2 of the file): a quote inside of a value" in refused(
        HEADER + "1,A,6'2\",,,,,\n"
    )


def test_read_backslash_is_refused_unless_it_is_declared():
    data = HEADER + '1,A,"say \\"hi\\" now",1.5,2,,,true\n2,A,"C:\\\\dir\\\\",,,,,\n'
    assert "row 1, column 'note' (line 2 of the file): text after the closing quote" in refused(data)
    assert notes(data, escape="backslash") == ['say "hi" now', "C:\\dir\\"]
    # In RFC 4180 a backslash is text.
    assert notes(HEADER + '1,A,"C:\\dir",,,,,\n') == ["C:\\dir"]


@pytest.mark.parametrize("value", ['"C:\\dir"', "C:\\dir", 'a\\"b', '"a""b"', "\\Nx"])
def test_read_backslash_that_means_nothing_is_refused(value):
    assert "of the file" in refused(HEADER + f"1,A,{value},,,,,\n", escape="backslash", nulls=[r"\N"])


def test_read_null_of_a_database_beside_backslashes():
    data = HEADER + '1,A,\\N,\\N,2,,,true\n2,A,"\\"",,,,,\\N\n'
    table = read(data.encode(), "csv", plain(escape="backslash", nulls=[r"\N"]))
    assert table["note"].to_pylist() == [None, '"']
    assert table["amount"].to_pylist() == table["ok"].to_pylist()[1:] * 2


@pytest.mark.parametrize("value", ["C:\\\\x", "\\\\\\\\host", "x\\\\"])
def test_read_escaped_backslash_outside_of_quotes_is_refused(value):
    """Some producers escape there and others do not: the text could be either."""
    message = refused(HEADER + f"1,A,{value},,,,,\n", escape="backslash")
    assert "row 1, column 'note' (line 2 of the file): an escaped backslash outside of quotes" in message
    assert "let its producer put values with a backslash in quotes" in message
    # Both ways that the message names.
    assert notes(HEADER + f'1,A,"{value}",,,,,\n', escape="backslash") == [value.replace("\\\\", "\\")]
    assert notes(HEADER + f"1,A,{value},,,,,\n") == [value]


def test_read_quote_beside_declared_backslashes_is_not_advised_to_declare_them():
    message = refused(HEADER + '1,A,"a""b",,,,,\n', escape="backslash")
    assert "a quote is written after a backslash" in message
    assert "`escape: backslash`" not in message


def test_read_carriage_return_inside_of_a_value_is_refused():
    message = refused(HEADER + "1,A,x\ry,,,,,\n")
    assert "row 1 (line 2 of the file): a carriage return without a line feed" in message
    assert "line ends that are all alike (LF, CR LF or CR), and others only inside of quotes" in message
    # No declaration about quotes would help.
    assert "escape" not in message
    assert "inside of quotes" not in refused(HEADER + "1,A,x\ry,,,,,\n", quote=None)
    assert notes(HEADER + '1,A,"x\ry",,,,,\n') == ["x\ry"]
    assert notes((HEADER + "1,A,x,,,,,\n").replace("\n", "\r")) == ["x"]


def test_read_blank_line_of_a_single_column_is_refused():
    contract = Contract(version=1, columns={"x": Column(type="string", nullable=True)})
    assert "row 2 is a blank line" in error(ContractBrokenError, b"x\na\n\nb\n", "csv", contract)
    assert read(b'x\na\n""\n"b\n\nc"\n\n', "csv", contract)["x"].to_pylist() == ["a", "", "b\n\nc"]


@pytest.mark.parametrize("lost", [1, -1])
def test_read_rows_that_the_reader_loses_or_makes_are_noticed(monkeypatch, lost):
    whole = delimited._table

    def other(file, layout, note):
        table = whole(file, layout, note)
        return table.slice(lost) if lost > 0 else table.take([0, *range(table.num_rows)])

    monkeypatch.setattr(delimited, "_table", other)
    assert f"The file has 3 records, and reading it gave {3 - lost} rows" in error(
        DeliveryUnreadableError, (HEADER + "1,A,,,,,,\n" * 3).encode(), "csv", plain()
    )


# --- the other options


def test_read_declared_delimiter_quote_comment_and_skipped_lines():
    data = "Report\n# by 'them'\n# today\nid;code;note;amount;qty;seen;day;ok\n1;A;'a; ''b''';1.5;;;;\n"
    assert notes(data, delimiter=";", quote="'", skip_lines=1, comment="#") == ["a; 'b'"]
    assert "line 6 of the file" in refused(
        data + "2;A;x'y;;;;;\n", delimiter=";", quote="'", skip_lines=1, comment="#"
    )


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "windows-1252"])
def test_read_declared_encoding(encoding):
    data = (HEADER + "1,A,Zürich,,,,,\n").encode(encoding)
    assert "`encoding` under `reading`" in error(DeliveryUnreadableError, data, "csv", plain())
    assert notes(data, encoding=encoding) == ["Zürich"]


def test_read_byte_that_a_declared_encoding_has_not_is_refused():
    data = (HEADER + "1,A,x\x81,,,,,\n").encode("iso-8859-1")
    message = error(DeliveryUnreadableError, data, "csv", plain(encoding="windows-1252"))
    assert "no WINDOWS-1252 text: byte 0x81, in line 2" in message


@pytest.mark.parametrize(
    ("fmt", "reading", "said"),
    [
        ("parquet", {"delimiter": ";"}, r"`reading\.delimiter` is for csv"),
        ("jsonl", {"comment": "#"}, r"`reading\.comment` is for csv"),
        ("parquet", {"encoding": "utf-16"}, "is for text"),
        ("csv", {"delimiter": ";;"}, "one ASCII character"),
        ("csv", {"quote": ","}, "must be two characters"),
        ("csv", {"quote": None, "escape": "backslash"}, "there is no `quote`"),
        ("csv", {"naive_timestamps": "Mars"}, "is no time zone"),
        ("csv", {"delimeter": ";"}, "Extra inputs"),
    ],
)
def test_reading_that_cannot_be_followed_is_refused(fmt, reading, said):
    told = dict.fromkeys(("owner", "description", "grain", "licence", "purpose"), "x")
    contract = {"version": 1, "columns": {"id": {"type": "integer"}}, "reading": reading}
    with pytest.raises(ValueError, match=said):
        Source.model_validate(
            {**told, "key": ["id"], "format": fmt, "cadence": "daily", "contract": contract}
        )


def test_contract_hash_changes_with_what_is_declared_of_reading_and_nulls_only():
    contract = Contract(version=1, columns={"x": Column(type="string")})
    # As it was before `reading` and `nulls` could be declared: batches of then are still known.
    assert contract.hash(1) == "0b4dc7209967b35bfef3f5b9fc0191dc0ea4cd7df348a656d87e7422291a7068"
    other = Contract(version=1, columns={"x": Column(type="string", nulls=[])})
    third = Contract(version=1, columns={"x": Column(type="string")}, reading=Reading(nulls=["NA"]))
    assert len({each.hash(1) for each in (contract, other, third)}) == 3


# --- headers


def test_read_header_in_capitals_says_what_was_found_and_what_reads_it():
    data = HEADER.upper() + "1,A,x,1.5,2,,,true\n"
    message = refused(data)
    assert "the file has the columns ['ID', 'CODE', 'NOTE', 'AMOUNT', 'QTY', 'SEEN', 'DAY', 'OK']" in message
    assert "differ only in case from id, code, note" in message
    assert "8 of 8 columns are missing" in message
    assert "`column_case: any`" in message
    assert notes(data, column_case="any") == ["x"]


def test_read_comment_above_the_header_says_where_the_header_is():
    data = "# exported\n" + HEADER + "1,A,x,1.5,2,,,true\n"
    message = refused(data)
    assert "the file has the columns ['# exported']; its header is perhaps in line 2" in message
    assert 'declare `skip_lines: 1` under `reading` of the contract, or `comment: "#"`' in message
    assert notes(data, skip_lines=1) == notes(data, comment="#") == ["x"]


def test_read_many_unknown_columns_show_the_header_and_all_that_is_missing():
    message = refused(",".join(f"column_{at}" for at in range(30)) + "\n" + "," * 29 + "\n")
    assert "['column_0', 'column_1'" in message
    assert "'and 10 more']" in message
    assert "8 of 8 columns are missing: id, code, note, amount, qty, seen, day, ok" in message


def test_read_column_without_a_name_is_named_so():
    layout, budget = Layout.of(plain()), Budget.of(Limits())
    data = (HEADER.rstrip() + ",,\n1,A,x,1.5,2,,,true,,\n").encode()
    assert parse.read(data, "csv", layout, budget, where="a file").left_out == ("(a column without a name)",)
