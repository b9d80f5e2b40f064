"""Three days off: what queued up while no scheduler was running is worked off in order, and ends as if it never was."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice import crossing, ledger
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.lake import tables
from sluice.local import stack
from sluice_lab import feed

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.long]

BEFORE = "2013-11-11"
MISSED = ["2013-11-12", "2013-11-13", "2013-11-14"]
RUN = Run(dag_id="on_time", run_id="on_time")


def _rows(table: pa.Table) -> list[str]:
    return sorted(map(repr, table.to_pylist()))


def _features_on_time(home: Path, monkeypatch) -> list[str]:
    """The features of the missed days, built from the same deliveries in a Sluice that was never off."""
    monkeypatch.setenv("SLUICE_HOME", str(home))
    settings.cache_clear()
    flights = spec.load("flights")
    feed.deliver(flights, BEFORE, sources=list(flights.sources))
    feed.deliver_range(flights, MISSED[0], MISSED[-1])
    for source in flights.sources:
        manifest = crossing.stage(flights, source, [BEFORE, *MISSED], RUN)
        tables.publish(manifest, verdict_id="unjudged")
    built = crossing.stage(flights, "features", MISSED, RUN)
    return [row for day in MISSED for row in _rows(pq.read_table(built.files[day], partitioning=None))]


def test_runs_missed_while_the_scheduler_was_off_are_caught_up_in_order(live, flights, tmp_path, monkeypatch):
    feed.deliver(flights, BEFORE, sources=list(flights.sources))
    live.succeed("flights_backfill", conf={"first_day": BEFORE, "last_day": BEFORE})
    seen = ledger.entries(limit=1)[0].seq

    assert stack.stop("scheduler") == ["scheduler"]
    runs = {}
    try:
        for day in MISSED:
            feed.deliver(flights, day)
            runs[day] = live.api.trigger("flights_ingest", partition=day)
        assert {run["state"] for run in runs.values()} == {"queued"}
    finally:
        stack.start("scheduler")

    for run in runs.values():
        assert live.api.wait_for_run("flights_ingest", run["dag_run_id"], seconds=300) == "success", (
            live.api.failures("flights_ingest", run["dag_run_id"])
        )
    entries = [entry for entry in reversed(ledger.entries(pipeline="flights")) if entry.seq > seen]
    completed = [entry.partition for entry in entries if entry.kind == "day_completed"]
    assert completed == MISSED
    raw = [
        entry.partition for entry in entries if entry.kind == "published" and entry.subject in flights.sources
    ]
    lagging = [
        entry.partition for entry in entries if (entry.kind, entry.subject) == ("published", "arrivals")
    ]
    assert lagging == [flights.data_day("arrivals", day) for day in MISSED]
    assert len(raw) == 3 * len(MISSED), "no register was due"
    # One day was done before the next was begun.
    for earlier, later in pairwise(MISSED):
        done = next(e.seq for e in entries if (e.kind, e.partition) == ("day_completed", earlier))
        begun = min(e.seq for e in entries if e.kind == "staged" and e.run == runs[later]["dag_run_id"])
        assert done < begun, f"{later} was begun before {earlier} was complete"

    found = []
    for day in MISSED:
        ended = live.api.wait_for_partition("flights_score", day, since=runs[day]["run_after"], seconds=300)
        assert ended["state"] == "success"
        found += _rows(tables.scan("flights", "features", day, day))
        predictions = tables.scan("flights", "predictions", day, day, columns=["input_age_days"])
        assert set(predictions["input_age_days"].to_pylist()) == {0}
    (tmp_path / "on_time").mkdir()
    assert found == _features_on_time(tmp_path / "on_time", monkeypatch)
