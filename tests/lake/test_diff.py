"""How much numbers differ is told where values may be, and is always a number that the ledger can keep."""

from __future__ import annotations

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.lake import diff


@pytest.fixture
def compared(tmp_path):
    def of(before: list[float], after: list[float], *, examples: bool = True):
        for name, values in (("before", before), ("after", after)):
            keys = list(range(len(values)))
            pq.write_table(pa.table({"key": keys, "value": values}), tmp_path / f"{name}.parquet")
        files = ([str(tmp_path / f"{name}.parquet")] for name in ("before", "after"))
        return diff.compare(*files, ["key"], examples=examples)

    return of


def test_size_is_the_mean_of_the_rows_that_changed(compared):
    found = compared([1.0, 2.0, 3.0], [1.0, 4.0, 7.0])
    assert (found["columns"], found["sizes"]) == ({"value": 2}, {"value": 3.0})


@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_size_that_is_no_number_is_left_out(compared, odd):
    found = compared([1.0, 2.0], [odd, 4.0])
    assert (found["columns"], found["sizes"]) == ({"value": 2}, {})


def test_size_is_not_told_where_rows_may_not_be(compared):
    assert compared([1.0], [1376.0], examples=False)["sizes"] == {}
