"""When a register, a weekly source, is expected again, and what does not count as one that came."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluice import crossing, holds, schedule, status
from sluice.core.runs import Run
from sluice.ingest import deliveries
from sluice.lake import tables
from sluice_lab import feed

RUN = Run(dag_id="flights_ingest", run_id="test")
MONDAY = "2013-04-01"


def _publish(live):
    tables.publish(crossing.stage(live, "airlines", [MONDAY], RUN), verdict_id="unjudged")


def _states(live) -> dict[str, str]:
    """Run day -> state of the register."""
    return {item.run_day: item.state for item in status.of(live) if item.table == "airlines"}


def test_a_weekly_source_is_expected_a_week_after_its_last_and_no_longer_once_it_came(live, at):
    at("2013-04-01 07:00")
    feed.deliver(live, MONDAY, sources=["airlines"])
    assert _states(live) == {MONDAY: "ready"}
    _publish(live)
    at("2013-04-09 07:00")
    assert _states(live) == {MONDAY: "published", "2013-04-08": "missing"}
    feed.deliver(live, "2013-04-09", sources=["airlines"])
    assert _states(live) == {MONDAY: "published", "2013-04-09": "ready"}


def _register(live, at, **changed):
    """Publish Monday's register; returns a function: run day -> state of the register, by a time."""
    at("2013-04-01 07:00")
    feed.deliver(live, MONDAY, sources=["airlines"])
    _publish(live)
    changed_live = live.model_copy(update=changed)

    def states(now: str) -> dict[str, str]:
        at(now)
        return {day: state for day, state in _states(changed_live).items() if day != MONDAY}

    return states


def test_a_register_that_a_person_gave_up_is_missed_again_a_week_later(live, at):
    states = _register(live, at)
    assert states("2013-04-08 07:00") == {"2013-04-08": "missing"}
    holds.skip(live, "2013-04-08", ["airlines"], by="Ada", why="There is none this week.", run=RUN)
    assert states("2013-04-14 07:00") == {"2013-04-08": "skipped"}
    assert states("2013-05-20 07:00") == {"2013-04-08": "skipped", "2013-04-15": "missing"}


def test_a_register_that_never_came_is_missing_a_week_after_the_pipeline_s_first_day(live, at):
    at("2013-04-07 12:00")
    assert _states(live) == {}
    at("2013-04-08 05:00")
    assert _states(live) == {"2013-04-08": "awaited"}
    at("2013-04-10 07:00")
    assert _states(live) == {"2013-04-08": "missing"}
    at("2013-04-10 07:00")
    without = live.model_copy(update={"starts": None})
    assert _states(without) == {}, "nothing says since when it should come"


def test_a_register_that_was_added_later_is_missing_a_week_after_it_was(live, at):
    at("2013-04-01 12:00")
    without = {name: source for name, source in live.sources.items() if name != "airlines"}
    schedule.record(live.model_copy(update={"sources": without}))
    at("2013-06-04 12:00")
    schedule.record(live)
    at("2013-06-10 12:00")
    assert _states(live) == {}
    at("2013-06-11 12:00")
    assert _states(live) == {"2013-06-11": "missing"}


@pytest.mark.parametrize("stray", ["archive", "2013-05-01", "2103-04-01"])
def test_what_is_in_a_folder_of_no_day_or_of_one_to_come_is_no_register_that_came(live, at, stray):
    states = _register(live, at)
    folder = Path(live.landing_url) / "airlines" / stray
    folder.mkdir()
    (folder / f"airlines_2013-03-25.csv{deliveries.MANIFEST}").write_text("{}")
    assert states("2013-04-09 07:00") == {"2013-04-08": "missing"}


def test_a_register_whose_week_ends_on_a_day_without_a_run_is_expected_on_the_next_run_day(live, at):
    states = _register(live, at, schedule="0 4 * * 2-5")
    assert states("2013-04-08 07:00") == {}
    assert states("2013-04-09 05:00") == {"2013-04-09": "awaited"}
    assert states("2013-04-10 05:00") == {"2013-04-09": "missing"}
