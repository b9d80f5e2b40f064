"""What is read of a batch's inputs: which are the same, those of one kind, and what a person is shown of each."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from sluice.core.runs import Run
from sluice.lake import batches, inputs


@pytest.mark.parametrize(
    ("recorded", "shown"),
    [
        (
            {"kind": "model", "name": "late", "version": None, "promoted": 0, "rows": 9},
            {"kind": "model", "name": "late", "version": "none, the baseline", "rows": 9},
        ),
        (
            {"kind": "model", "name": "late", "version": 2, "promoted": 7},
            {"kind": "model", "name": "late", "version": 2, "promoted": 7},
        ),
        (
            {"kind": "snapshot", "table": "features", "snapshot_id": None, "batches": {"2013-04-02": "b1"}},
            {"kind": "snapshot", "table": "features", "batch": "b1"},
        ),
        (
            {"kind": "snapshot", "table": "features", "batches": {"2013-04-02": "b1", "2013-04-03": "b2"}},
            {"kind": "snapshot", "table": "features", "partitions": 2},
        ),
        (
            {"kind": "delivery", "day": "2013-04-02", "extra_columns": ["x"], "undeclared_nulls": []},
            {"kind": "delivery", "day": "2013-04-02"},
        ),
        ({"kind": "delivery", "contract_version": 0}, {"kind": "delivery", "contract_version": 0}),
        ({"kind": "delivery", "version": None}, {"kind": "delivery"}),
        ({"kind": "model", "version": 1, "rows": None}, {"kind": "model", "version": 1}),
        ({"kind": "snapshot", "table": "features", "batches": {}}, {"kind": "snapshot", "table": "features"}),
        (
            {"kind": "snapshot", "table": "features", "batches": None},
            {"kind": "snapshot", "table": "features"},
        ),
    ],
)
def test_facts_leave_out_what_is_not_recorded_and_what_is_told_as_a_warning(recorded, shown):
    assert list(inputs.facts(recorded).items()) == list(shown.items())


DELIVERY = inputs.Delivery(
    day="2013-04-02", number=1, sha256="a", contract_version=1, read_as_version=1, contract="c"
)


@pytest.mark.parametrize(
    ("changed", "agrees"),
    [
        ({"number": 2}, True),
        ({"pseudonym_key": "k"}, True),
        ({"day": "2013-04-03"}, False),
        ({"sha256": "b"}, False),
        ({"contract_version": 2}, False),
        ({"read_as_version": 2}, False),
        ({"contract": "d"}, False),
        ({"contract": None, "read_as_version": None}, True),
        ({"contract": None, "sha256": "b"}, False),
    ],
)
def test_delivery_agrees_with_the_same_file_read_in_the_same_way_as_far_as_both_say(changed, agrees):
    other = DELIVERY.model_copy(update=changed)
    assert DELIVERY.agrees_with(other) == other.agrees_with(DELIVERY) == agrees


def test_inputs_of_one_kind_are_found_among_all(home):
    day, read = "2013-04-02", inputs.Snapshot(table="features", snapshot_id=1)
    rows = pa.table({"id": [1], "ds": pa.array([date.fromisoformat(day)], pa.date32())})
    manifest = batches.stage(
        "flights", "predictions", rows, partitions=[day], received=1, dropped={}, sort_by=["id"],
        inputs=[DELIVERY.record(), read.record(), {"kind": "told by an earlier version"}], run=Run(run_id="test"),
    )  # fmt: skip
    assert inputs.of(manifest, inputs.Snapshot) == [read]
    assert inputs.of(manifest, inputs.Delivery) == [DELIVERY]
    assert inputs.of(manifest, inputs.Model) == []
