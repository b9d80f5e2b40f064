"""Derived tables are not built from a day that is held or not there yet."""

from __future__ import annotations

import pytest

from sluice import crossing, feed, ledger, spec
from sluice.errors import TableMissingError
from sluice.lake import batches

RUN = {"run_id": "test"}


@pytest.mark.slow
def test_stage_while_the_newest_arrivals_are_held_is_refused_and_names_them(home, feed_cache):
    home.mkdir()
    (home / "feed-cache").symlink_to(feed_cache)
    flights = spec.load("flights")
    for day in ("2013-04-02", "2013-04-03"):
        feed.deliver(flights, day, corrupt="seconds" if day == "2013-04-03" else None)
        for source in flights.sources:
            if day == "2013-04-03" and flights.sources[source].cadence == "weekly":
                continue
            manifest = crossing.stage(flights, source, [day], RUN)
            if crossing.audit(flights, source, manifest.batch_id, RUN).publishes:
                crossing.publish(flights, source, manifest.batch_id, RUN)
    assert [entry.subject for entry in ledger.entries(kind="held")] == ["arrivals"]

    with pytest.raises(TableMissingError, match="arrivals of 2013-04-02 is not published"):
        crossing.stage(flights, "features", ["2013-04-03"], RUN)

    assert batches.staged("flights", "features") == []
    assert crossing.stage(flights, "features", ["2013-04-02"], RUN).rows > 900
