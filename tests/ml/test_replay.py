"""What differs between two builds of a day, and what that says."""

from __future__ import annotations

import pyarrow as pa
import pytest

from sluice_ml.checks.replay import Replayed, check, differing

ROWS = pa.table(
    {"id": ["a", "b"], "rate": [0.1 + 0.2, None], "count": pa.array([1, 2], pa.int32()), "place": ["x", None]}
)
COLUMNS = ("rate", "count", "place")


def test_rows_in_another_order_and_type_and_last_digit_are_the_same():
    other = pa.table(
        {"id": ["b", "a"], "rate": [None, 0.3], "count": pa.array([2, 1], pa.int64()), "place": [None, "x"]}
    )
    assert differing(ROWS, other, "id", COLUMNS) == ()


@pytest.mark.parametrize(
    ("name", "values"),
    [("rate", [0.3, 0.0]), ("rate", [0.3001, None]), ("count", [1, 3]), ("place", ["x", ""])],
)
def test_another_value_is_named_by_its_column(name, values):
    other = ROWS.set_column(ROWS.column_names.index(name), name, pa.array(values, ROWS[name].type))
    assert differing(ROWS, other, "id", COLUMNS) == (name,)


def test_other_rows_are_named_by_the_key():
    assert differing(ROWS, ROWS.slice(1), "id", COLUMNS) == ("id",)


@pytest.mark.parametrize(
    ("days", "state", "said"),
    [
        ({"2013-03-01": Replayed(2, (), ())}, "PASS", "2013-03-01 (2 rows)"),
        ({"2013-03-01": Replayed(2, ("rate",), ("rate",))}, "FAIL", "changes rate of 2013-03-01"),
        ({"2013-03-01": Replayed(2, ("rate",), ())}, "PASS", "corrected since"),
        ({"2013-03-01": Replayed(0, (), ())}, "ERROR", "shows nothing"),
        ({}, "ERROR", "shows nothing"),
    ],
)
def test_what_was_found_decides(days, state, said):
    found = check(days)
    assert (found.state, said in found.sentence) == (state, True), found.sentence
