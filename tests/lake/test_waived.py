"""The column that says whether an input was released, in tables of an earlier version too."""

from __future__ import annotations

import pyarrow as pa
import pytest

from sluice.core.errors import ContractBrokenError
from sluice.lake import tables
from sluice.lake.waived import HAS_WAIVED_INPUT, WaivedInput, mark

DAY, NEXT, LATER = "2013-01-01", "2013-01-02", "2013-01-03"
WAIVED = WaivedInput(
    waiver=7,
    table="arrivals",
    partition=DAY,
    by="Ada",
    until="2013-02-01",
    through=("arrivals",),
    days=(NEXT,),
)


def test_mark_names_the_rows_of_the_days_that_rest_on_a_waiver(rows):
    marked = mark(rows(DAY, NEXT), [WAIVED], "flights.weather")

    told = {(str(row["ds"]), row[HAS_WAIVED_INPUT]) for row in marked.to_pylist()}
    assert told == {(DAY, False), (NEXT, True)}
    assert set(mark(rows(DAY), [], "flights.weather")[HAS_WAIVED_INPUT].to_pylist()) == {False}


def test_mark_refuses_rows_that_have_the_column_already(rows):
    taken = rows(DAY).append_column(HAS_WAIVED_INPUT, pa.array(["mine"] * rows(DAY).num_rows))
    with pytest.raises(ContractBrokenError, match="has_waived_input"):
        mark(taken, [WAIVED], "flights.weather")


def test_table_of_an_earlier_version_gets_the_column_and_its_held_batches_still_fit(stage, rows, tmp_path):
    old, held = stage(DAY), stage(LATER)
    tables.publish(old, verdict_id="v")
    before = tables.snapshot_id("flights", "weather")

    new = stage(NEXT, data=mark(rows(NEXT), [WAIVED], "flights.weather"), waived_inputs=[WAIVED])
    tables.publish(new, verdict_id="v")
    assert tables.publish(new, verdict_id="v").repeated
    tables.publish(held, verdict_id="v")

    read = tables.scan("flights", "weather", DAY, LATER)
    told = {(str(row["ds"]), row[HAS_WAIVED_INPUT]) for row in read.to_pylist()}
    assert told == {(DAY, None), (NEXT, True), (LATER, None)}
    assert read.num_rows == old.rows + new.rows + held.rows
    assert tables.history("flights", "weather")[1]["sluice.waived_inputs"] == "[7]"
    earlier = tables.scan("flights", "weather", DAY, LATER, snapshot_id=before)
    assert (earlier.num_rows, HAS_WAIVED_INPUT in earlier.column_names) == (old.rows, False)
