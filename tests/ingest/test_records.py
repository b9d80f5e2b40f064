"""The strict check of quotes, against a state machine that looks at one character after the other."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sluice.ingest import records
from sluice.ingest.records import Fault, count


def by_character(text: str, doubled: bool) -> int | None:
    """Records of a file; None where it is not RFC 4180."""
    state, found, begun = "start", 0, False
    for char in text.replace("\r\n", "\n") + "\n":
        if state == "quoted":
            state = "closed" if char == '"' else "quoted"
        elif char == '"':
            if state == "open" or (state == "closed" and not doubled):
                return None
            state, begun = "quoted", True
        elif char == "\n":
            found, begun, state = found + begun, False, "start"
        elif state == "closed" and char != ",":
            return None
        else:
            state, begun = "start" if char == "," else "open", True
    return None if state == "quoted" else found


@pytest.mark.parametrize("block", [1, 3, 1024])
@settings(max_examples=400)
@given(
    pieces=st.lists(st.sampled_from(["a", ",", '"', '""', "\n", "\r\n", '"x"', '","', "é"]), max_size=12),
    doubled=st.booleans(),
)
@example(pieces=[], doubled=True)
@example(pieces=['"'], doubled=True)
@example(pieces=['"x"', '"x"'], doubled=False)
def test_count_finds_the_records_and_faults_that_a_state_machine_finds(block, pieces, doubled):
    text, whole = "".join(pieces), records._BLOCK
    records._BLOCK = block
    try:
        found = count(text.encode(), ",", '"', doubled=doubled)
    finally:
        records._BLOCK = whole
    expected = by_character(text, doubled)
    assert (None if isinstance(found, Fault) else found) == expected


@pytest.mark.parametrize(
    ("text", "what", "record", "field", "begins", "line"),
    [
        ('a,b\n1,6"\n', "a quote inside", 1, 1, 1, 1),
        ('a,b\n\n1,x\n"y" z,2\n', "text after", 2, 0, 3, 3),
        ('a,b\n1,"x\n2,y\n3,"z\n', "text after", 1, 1, 1, 3),
        ('a,b\n"1","a""b"",c\n', "never closed", 1, 1, 1, 1),
        ('a,b\n"x,\n"",1,"2\n', "text after", 1, 0, 1, 2),
        ('a,"b\n', "never closed", 0, 1, 0, 0),
        ("a,b\n1,x\ry\n", "a carriage return", 1, None, 1, 1),
    ],
)
def test_count_names_the_place_of_a_fault(text, what, record, field, begins, line):
    found = count(text.encode(), ",", '"')
    assert isinstance(found, Fault)
    assert what in found.what
    assert (found.record, found.field, found.begins, found.line) == (record, field, begins, line)


def test_count_without_quotes_takes_them_as_text():
    assert count(b'a,b\n1,6"\n"2,x\n', ",", None) == 3


def test_count_of_a_file_with_carriage_returns_only():
    assert count(b"a,b\r1,x\r\r2,y\r", ",", '"') == 3
