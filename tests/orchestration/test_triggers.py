"""What a task waits for in the triggerer, as the triggerer runs it: a real folder, a real clock file, no Airflow."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sluice import holds
from sluice.core.runs import Run
from sluice.core.settings import ROOT, settings
from sluice.declare import spec
from sluice_lab import feed

MONDAY = "2013-04-01"


@pytest.fixture
def live(home, make_home, tmp_path, monkeypatch) -> spec.Pipeline:
    """flights as a live pipeline, in a YAML of its own, at 05:00 of its first day."""
    make_home(home)
    (home / "landing").mkdir()
    (tmp_path / "pipelines").mkdir()
    text = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()
    (tmp_path / "pipelines" / "flights.yml").write_text(
        text.replace("clock: feed", f"clock: wall\nstarts: {MONDAY}")
    )
    (tmp_path / "clock").write_text(f"{MONDAY}T05:00-04:00")
    monkeypatch.setenv("SLUICE_PIPELINES", str(tmp_path / "pipelines"))
    monkeypatch.setenv("SLUICE_CLOCK", str(tmp_path / "clock"))
    monkeypatch.setenv("SLUICE_LANDING_SECONDS", "0.01")
    settings.cache_clear()
    return spec.load("flights")


def _fires(trigger, looked, act):
    """What the trigger fires with, where `act` happens after its first look."""

    async def wait():
        event = asyncio.ensure_future(anext(trigger.run()))
        while not looked():
            assert not event.done(), event
            await asyncio.sleep(0)
        act()
        return (await asyncio.wait_for(event, 30)).payload

    return asyncio.run(wait())


@pytest.fixture
def trigger(live, monkeypatch):
    """A trigger that waits for the arrivals, and how often it has looked."""
    from sluice.orchestration.triggers import DeliveryTrigger

    made = DeliveryTrigger("flights", "arrivals", [MONDAY])
    looks: list[object] = []
    look = made._look

    def counted():
        found = look()
        looks.append(found)
        return found

    monkeypatch.setattr(made, "_look", counted)
    return made, looks


def test_it_fires_when_the_delivery_is_there(live, trigger):
    made, looks = trigger
    fired = _fires(made, lambda: looks, lambda: feed.deliver(live, MONDAY, sources=["arrivals"]))
    assert fired == {"delivered": True}
    assert looks[0] is None


def test_it_gives_up_when_the_next_day_is_due(live, trigger):
    made, looks = trigger
    fired = _fires(made, lambda: looks, lambda: Path(settings().clock).write_text("2013-04-02T04:00-04:00"))
    assert fired == {
        "delivered": False,
        "said": "arrivals of 2013-03-31 was not delivered by 2013-04-02 04:00 EDT; the day starts again when it is.",
    }


def test_it_waits_no_longer_for_what_a_person_gave_up(live, trigger):
    made, looks = trigger
    said = {"by": "Ada", "why": "The airline lost it."}
    fired = _fires(
        made, lambda: looks, lambda: holds.skip(live, MONDAY, ["arrivals"], run=Run(run_id="test"), **said)
    )
    assert fired == {"delivered": False, "said": "Ada gave it up: The airline lost it."}


def test_it_goes_on_asking_a_landing_zone_that_is_away(live, trigger):
    made, looks = trigger
    landing = Path(live.landing_url)
    landing.rmdir()

    def comes_back():
        landing.mkdir()
        feed.deliver(live, MONDAY, sources=["arrivals"])

    assert _fires(made, lambda: len(looks) > 1, comes_back) == {"delivered": True}


def test_airflow_makes_it_again_from_what_it_keeps(live):
    from airflow._shared.module_loading import import_string

    from sluice.orchestration.triggers import DeliveryTrigger

    path, arguments = DeliveryTrigger("flights", "arrivals", [MONDAY]).serialize()
    again = import_string(path)(**arguments)
    assert (again.pipeline, again.source, again.run_days) == ("flights", "arrivals", [MONDAY])
