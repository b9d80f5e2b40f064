"""What a mail says to do next can be done."""

from __future__ import annotations

from datetime import date

import pytest

from sluice.declare import spec
from sluice.notify import steps


@pytest.mark.parametrize(
    ("clock", "days", "dag"),
    [
        ("wall", ("2013-04-02",), "flights_ingest again with partition key 2013-04-02"),
        ("wall", ("2013-04-01",), "flights_backfill again for 2013-04-01 to 2013-04-01"),
        ("wall", ("2013-04-02", "2013-04-03"), "flights_backfill again for 2013-04-02 to 2013-04-03"),
        ("feed", ("2013-04-01",), "flights_ingest again with partition key 2013-04-01"),
    ],
)
def test_day_before_the_first_of_a_live_pipeline_is_landed_by_the_backfill(clock, days, dag):
    """Its ingest refuses such a day."""
    live = spec.load("flights").model_copy(update={"clock": clock, "starts": date(2013, 4, 2)})
    assert steps.rerun(live, "schedule", days).startswith(dag)
    taken = steps.taken_up(live, "schedule", days)
    by_itself = clock == "wall" and "2013-04-01" not in days
    assert taken.startswith("It is taken up by itself" if by_itself else f"Then trigger {dag}")
