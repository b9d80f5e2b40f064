"""Which days of a derived table are built without what a source has for them: one rule for the status and for the build."""

from __future__ import annotations

import pytest

from sluice.declare import spec, stale_input


@pytest.mark.parametrize(
    ("table", "source", "marks", "given_up"),
    [
        # History may be a day older, and more where a person gave the day up.
        ("features", "arrivals", True, True),
        # There is no day without the rows that become its own.
        ("outcomes", "arrivals", False, False),
        ("features", "schedule", False, False),
        # What is joined for a day of the table's own, too.
        ("outcomes", "weather", False, True),
    ],
)
def test_day_is_built_of_older_history_but_not_without_its_own_rows(table, source, marks, given_up):
    flights = spec.load("flights")
    lenient = flights.model_copy(update={"stale_input": "mark"})
    assert stale_input.goes_on_without(lenient, table, source, given_up=False) is marks
    assert not stale_input.goes_on_without(flights, table, source, given_up=False)
    for declared in (flights, lenient):
        assert stale_input.goes_on_without(declared, table, source, given_up=True) is given_up
