"""Two days of flights; the arrivals of the first came in seconds, and a person released them all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice import crossing, holds
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.lake import tables
from sluice.models import monitoring
from sluice_lab import feed

FIRST, SECOND = "2013-04-02", "2013-04-03"
RUN = Run(dag_id="flights_ingest", run_id="test")
WORD = {"by": "Ada", "why": "The minutes are not used today.", "until": "2013-04-05"}


def cross(flights: spec.Pipeline, table: str, run_day: str):
    """As the three tasks of a run do; returns the verdict."""
    manifest = crossing.stage(flights, table, [run_day], RUN)
    verdict = crossing.audit(flights, table, manifest.batch_id, RUN)
    if verdict.publishes:
        crossing.publish(flights, table, verdict.publish_batch_id, RUN)
    return verdict


def land(flights: spec.Pipeline, run_day: str, *, corrupt: str | None = None) -> None:
    """Publish the sources of a day; all but arrivals unjudged, because their gates are not what is tried here."""
    names = feed.deliver(flights, run_day, corrupt=corrupt)
    for source in dict.fromkeys(name.split("/")[0] for name in names):
        if source != "arrivals":
            tables.publish(crossing.stage(flights, source, [run_day], RUN), verdict_id="unjudged")


@pytest.fixture(scope="module")
def world(tmp_path_factory, make_home) -> Iterator[Path]:
    """A home in which the arrivals of 2013-04-02 were released, and what is made of them has been made."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("waived") / "home"
        make_home(home)
        patch.setenv("SLUICE_HOME", str(home))
        settings.cache_clear()
        flights = spec.load("flights")
        land(flights, FIRST)
        cross(flights, "arrivals", FIRST)
        for table in ("features", spec.PREDICTIONS):
            assert cross(flights, table, FIRST).publishes
        land(flights, SECOND, corrupt="seconds")
        assert cross(flights, "arrivals", SECOND).outcome == "HOLD"
        holds.release(flights, "arrivals", FIRST, **WORD, run=RUN)
        for table in ("features", "outcomes", spec.PREDICTIONS):
            assert cross(flights, table, SECOND).publishes
        monitoring.report_days(flights, SECOND, RUN)
        yield home
    settings.cache_clear()


@pytest.fixture
def flights(world, monkeypatch) -> spec.Pipeline:
    monkeypatch.setenv("SLUICE_HOME", str(world))
    settings.cache_clear()
    return spec.load("flights")
