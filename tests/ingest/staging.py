"""Deliver a day of arrivals that a test made, as its source would."""

from __future__ import annotations

from datetime import UTC, datetime

from sluice.core.runs import Run
from sluice.ingest import deliveries
from sluice.lake.landing import Landing
from sluice_lab import feed
from sluice_lab.feed.formats import encode

DAY = "2013-04-03"
DAY_OF_DATA = "2013-04-02"
RUN = Run(dag_id="flights_ingest", run_id="test")


def deliver(flights, rows, **options):
    """Write `rows` as the arrivals that run day `DAY` reads, with the schedule of that day beside them."""
    feed.deliver(flights, DAY, sources=["schedule"])  # moves the clock
    deliveries.write(
        Landing(flights.landing_url),
        flights,
        "arrivals",
        DAY,
        encode(rows, "csv.gz"),
        rows=rows.num_rows,
        number=1,
        delivered_at=datetime(2013, 4, 3, 7, tzinfo=UTC),
        **options,
    )
