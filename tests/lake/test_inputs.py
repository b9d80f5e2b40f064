"""What a person is shown of a batch's inputs."""

from __future__ import annotations

import pytest

from sluice.lake import inputs


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
    ],
)
def test_facts_leave_out_what_is_not_recorded_and_what_is_told_as_a_warning(recorded, shown):
    assert list(inputs.facts(recorded).items()) == list(shown.items())
