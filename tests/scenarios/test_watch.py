"""The watcher in a real Airflow: what did not come, and what was changed behind everybody's back, is one mail each."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sluice import ledger
from sluice.declare import spec
from sluice.lake import tables
from sluice_lab import feed

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.long]

PIPELINE, DAY = "flights_s3", "2013-11-15"


def _subjects(live, seen: set[str]) -> list[str]:
    """Of new mails, without the digest: once a day it lists what is still open."""
    subjects = [str(mail["Subject"]) for name, mail in live.mails().items() if name not in seen]
    return [subject for subject in subjects if "[DIGEST]" not in subject]


def test_watcher_tells_of_a_missing_delivery_and_of_rewritten_history_once(live):
    """In the pipeline that is only ingested: a run downstream would outlive the test."""
    pipeline = spec.load(PIPELINE)
    day_before = pipeline.data_day("arrivals", DAY)
    feed.deliver(pipeline, DAY, sources=[source for source in pipeline.sources if source != "arrivals"])
    seen = set(live.mails())

    catalogue = live.home / "reports" / PIPELINE / "catalogue" / "index.html"
    catalogue.unlink(missing_ok=True)
    live.succeed(f"{PIPELINE}_watch")
    assert f"the pipeline's today is {DAY}" in catalogue.read_text()

    (missing,) = _subjects(live, seen)
    assert "arrivals" in missing
    assert day_before in missing
    run = live.run(f"{PIPELINE}_ingest", partition=DAY)
    assert live.states(run)["arrivals.stage_arrivals"] == "failed"
    live.succeed(f"{PIPELINE}_watch")
    assert _subjects(live, seen) == [missing], "the run and the watcher found the same"

    path = Path(tables.published(PIPELINE, "schedule", DAY, DAY)[DAY].file)
    rows = pq.read_table(path, partitioning=None)
    pq.write_table(rows.slice(200), path)
    seen = set(live.mails())
    live.succeed(f"{PIPELINE}_watch")
    (rewritten,) = _subjects(live, seen)
    assert "schedule" in rewritten
    assert DAY in rewritten
    (entry,) = ledger.entries(kind="rewritten", pipeline=PIPELINE, subject="schedule", partition=DAY)
    assert (entry.data["recorded_rows"], entry.data["found_rows"]) == (rows.num_rows, rows.num_rows - 200)

    feed.deliver(pipeline, DAY, sources=["arrivals"])
    seen = set(live.mails())
    live.succeed(f"{PIPELINE}_ingest", partition=DAY)
    live.succeed(f"{PIPELINE}_watch")
    over = _subjects(live, seen)
    assert len(over) == 2
    assert all("RESOLVED" in subject for subject in over), over
    assert tables.scan(PIPELINE, "schedule", DAY, DAY).num_rows == rows.num_rows
