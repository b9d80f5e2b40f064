"""How long a run waits for a delivery: until the next day is due, or no longer than a day that goes on without it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from sluice.core.errors import InputAwaitedError, LandingUnreachableError
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.ingest import completion, waiting
from sluice_lab import feed

MONDAY = "2013-04-01"


@pytest.fixture
def live(live_flights):
    return live_flights


def test_a_run_waits_until_the_next_is_due_and_no_longer(live, at):
    at(f"{MONDAY} 04:00")
    assert waiting.awaits(live, "arrivals", [MONDAY])
    assert waiting.until(live, "arrivals", MONDAY) == datetime.fromisoformat("2013-04-02 04:00-04:00")
    at("2013-04-02 03:59")
    assert waiting.awaits(live, "arrivals", [MONDAY])
    at("2013-04-02 04:00")
    assert not waiting.awaits(live, "arrivals", [MONDAY])


def test_a_run_whose_next_is_a_month_away_waits_for_a_week(live):
    monthly = live.model_copy(update={"schedule": "0 4 1 * *"})
    assert waiting.until(monthly, "arrivals", MONDAY) == datetime.fromisoformat("2013-04-08 04:00-04:00")


def test_a_day_that_goes_on_without_a_source_that_lags_waits_until_its_deadline(live, at):
    lenient = live.model_copy(update={"stale_input": "mark"})
    at(f"{MONDAY} 05:59")
    assert waiting.awaits(lenient, "arrivals", [MONDAY])
    at(f"{MONDAY} 06:00")
    assert not waiting.awaits(lenient, "arrivals", [MONDAY])
    assert waiting.awaits(lenient, "schedule", [MONDAY]), "without the flights there is nothing to predict"


def test_nothing_is_waited_for_that_is_there_in_any_state(live, at):
    at(f"{MONDAY} 04:00")
    (name,) = feed.deliver(live, MONDAY, sources=["arrivals"])
    assert not waiting.awaits(live, "arrivals", [MONDAY])
    (Path(live.landing_url) / f"{name}.manifest.json").write_text("{}")
    assert not waiting.awaits(live, "arrivals", [MONDAY])


def test_only_one_day_of_a_live_pipeline_is_waited_for(live, at):
    at(f"{MONDAY} 04:00")
    assert not waiting.awaits(live, "arrivals", [MONDAY, "2013-04-02"])
    assert not waiting.awaits(live, "features", [MONDAY])
    assert not waiting.awaits(spec.load("flights"), "arrivals", [MONDAY])


def test_a_landing_zone_that_is_away_is_not_a_delivery_that_is_late(live, at):
    at(f"{MONDAY} 04:00")
    (Path(live.landing_url)).rmdir()
    with pytest.raises(LandingUnreachableError):
        waiting.awaits(live, "arrivals", [MONDAY])


def test_a_day_whose_delivery_never_came_is_awaited_and_no_failure(live, at):
    at("2013-04-02 04:00")
    with pytest.raises(InputAwaitedError, match="nothing published"):
        completion.complete(live, [MONDAY], Run(run_id="test"))
