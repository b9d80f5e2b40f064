"""A live pipeline on a clock that tests set."""

from __future__ import annotations

import pytest

from sluice import crossing, status
from sluice.core.runs import Run
from sluice.lake import tables
from sluice_lab import feed

RUN = Run(dag_id="flights_ingest", run_id="test")


@pytest.fixture
def live(live_flights):
    return live_flights


def publish(live, table, run_day):
    manifest = crossing.stage(live, table, [run_day], RUN)
    tables.publish(manifest, verdict_id="unjudged")
    return manifest


def states(live, run_day, **window):
    return {item.table: item.state for item in status.of(live, **window) if item.run_day == run_day}


def publish_registers(live, run_day):
    """The weekly sources, of which what is built needs a file of the last weeks."""
    registers = [name for name, source in live.sources.items() if source.cadence == "weekly"]
    feed.deliver(live, run_day, sources=registers)
    for name in registers:
        publish(live, name, run_day)
