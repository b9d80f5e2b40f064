"""What a derived table waits for before a day of it is built is what its build refuses to do without."""

from __future__ import annotations

from datetime import date

import pytest

from sluice import crossing, holds, status
from sluice.core.errors import DayNotExpectedError, TableMissingError
from sluice.core.partitions import days_later
from sluice.declare.calendars import Expected
from sluice.declare.spec import PREDICTIONS
from sluice.ingest import completion
from sluice.status import reconcile
from sluice_lab import feed
from tests.status.conftest import RUN, publish, publish_registers, states

MONDAY, TUESDAY = "2013-04-01", "2013-04-02"
DAILY = ["schedule", "arrivals", "weather"]


def _lose_the_arrivals_of_monday(live):
    feed.deliver(live, MONDAY, sources=["schedule", "weather"])
    feed.deliver(live, TUESDAY, sources=DAILY)
    for source, run_day in [
        ("schedule", MONDAY),
        ("weather", MONDAY),
        *((source, TUESDAY) for source in DAILY),
    ]:
        publish(live, source, run_day)
    publish_registers(live, MONDAY)


def test_a_day_that_a_person_gives_up_is_no_reason_to_wait_where_an_earlier_one_is_published(live, at):
    at("2013-04-02 07:00")
    feed.deliver(live, MONDAY, sources=["schedule", "weather", "arrivals"])
    feed.deliver(live, TUESDAY, sources=["schedule", "weather"])
    for source, run_day in [("arrivals", MONDAY), ("schedule", TUESDAY), ("weather", TUESDAY)]:
        publish(live, source, run_day)
    publish_registers(live, MONDAY)
    assert states(live, TUESDAY)["features"] == "blocked"
    holds.skip(live, TUESDAY, ["arrivals"], by="Ada", why="The airline lost it.", run=RUN)
    assert states(live, TUESDAY)["features"] == "ready"


def test_a_table_that_refuses_to_be_built_over_a_hole_waits_until_the_hole_is_closed_or_given_up(live, at):
    live = live.model_copy(update={"history": live.history.model_copy(update={"missing": "refuse"})})
    at("2013-04-02 07:00")
    _lose_the_arrivals_of_monday(live)
    item = next(one for one in status.of(live) if (one.table, one.day) == ("features", TUESDAY))
    assert (item.state, item.reason) == ("blocked", "it is not built without arrivals 2013-03-31")
    with pytest.raises(TableMissingError, match="arrivals 2013-03-31"):
        crossing.stage(live, "features", [TUESDAY], RUN)
    holds.skip(live, MONDAY, ["arrivals"], by="Ada", why="The airline lost it.", run=RUN)
    assert states(live, TUESDAY)["features"] == "ready"


def test_a_published_day_whose_build_would_be_refused_is_not_started_again(live, at):
    """Built over a hole, which the table has refused since; then a source of the day is corrected."""
    at("2013-04-02 07:00")
    _lose_the_arrivals_of_monday(live)
    publish(live, "features", TUESDAY)
    feed.deliver(live, TUESDAY, sources=["weather"], corrupt="shifted", number=2)
    publish(live, "weather", TUESDAY)
    assert states(live, TUESDAY)["features"] == "outdated"
    strict = live.model_copy(update={"history": live.history.model_copy(update={"missing": "refuse"})})
    (item,) = [one for one in status.of(strict) if (one.table, one.day) == ("features", TUESDAY)]
    assert (item.state, item.reason) == (
        "blocked",
        "weather 2013-04-01 was published anew since; it is not built without arrivals 2013-03-31",
    )
    assert item.batch_id is not None, "readers go on to see it"
    started = [one.table for start in reconcile.plan(strict, {"transform": 0}) for one in start.items]
    assert started == ["outcomes"]


def test_a_source_on_the_same_lag_that_a_table_joins_is_waited_for_with_stale_input_too(live, at):
    """Outcomes join nothing else; of features every source but `schedule` lags. What lags as far as the table is its own day."""
    late = {name: one.model_copy(update={"lag_days": 1}) for name, one in live.sources.items()}
    live = live.model_copy(update={"stale_input": "mark", "sources": late})
    features = live.derived["features"].model_copy(update={"lag_days": 1, "rows_from": "schedule"})
    live = live.model_copy(update={"derived": {**live.derived, "features": features}})
    at("2013-04-01 07:00")
    feed.deliver(live, MONDAY, sources=["schedule"])
    publish(live, "schedule", MONDAY)
    (item,) = [one for one in status.of(live) if one.table == "features"]
    assert (item.state, item.reason) == ("blocked", "arrivals 2013-03-31 is missing")


def test_an_earlier_day_of_a_source_that_is_not_expected_today_is_waited_for_until_it_is_given_up(live, at):
    """No weather is expected of 2 April, and that of the day before, the newest that there should be, is missing."""
    wednesday = "2013-04-03"
    weather = live.sources["weather"].model_copy(update={"expected": Expected(holidays=(date(2013, 4, 2),))})
    live = live.model_copy(update={"sources": {**live.sources, "weather": weather}})
    at("2013-04-03 07:00")
    registers = [name for name, source in live.sources.items() if source.cadence == "weekly"]
    feed.deliver(live, MONDAY, sources=["weather", *registers])
    feed.deliver(live, wednesday, sources=["schedule", "arrivals"])
    came = [(source, MONDAY) for source in ("weather", *registers)]
    for source, run_day in [*came, ("schedule", wednesday), ("arrivals", wednesday)]:
        publish(live, source, run_day)
    assert "weather" not in states(live, wednesday)
    item = next(one for one in status.of(live) if (one.table, one.day) == ("features", wednesday))
    assert (item.state, item.reason) == ("blocked", "weather 2013-04-01 is not published")
    with pytest.raises(TableMissingError, match="weather of 2013-04-01 is not published"):
        crossing.stage(live, "features", [wednesday], RUN)
    holds.skip(live, TUESDAY, ["weather"], by="Ada", why="The station lost it.", run=RUN)
    assert states(live, wednesday)["features"] == "ready"
    crossing.stage(live, "features", [wednesday], RUN)


def test_a_pipeline_that_marks_stale_input_goes_on_without_what_lags_after_its_deadline(live, at):
    live = live.model_copy(update={"stale_input": "mark"})
    at("2013-04-02 05:00")
    publish_registers(live, MONDAY)
    feed.deliver(live, TUESDAY, sources=["schedule"])
    publish(live, "schedule", TUESDAY)
    assert states(live, TUESDAY)["features"] == "blocked"
    at("2013-04-02 06:00")
    assert states(live, TUESDAY)["features"] == "blocked", "no earlier day could stand in"
    feed.deliver(live, MONDAY, sources=["weather", "arrivals"])
    for source in ("weather", "arrivals"):
        publish(live, source, MONDAY)
    found = states(live, TUESDAY)
    assert (found["features"], found["outcomes"]) == ("ready", "blocked"), (
        "outcomes are made of the arrivals themselves"
    )


def test_a_register_that_is_late_does_not_stop_its_day(live, at):
    """As the day's own run has it: a lost transform is made up for although the weekly file stays away."""
    at("2013-04-01 07:00")
    publish_registers(live, MONDAY)
    at("2013-04-08 07:00")
    feed.deliver(live, "2013-04-08", sources=DAILY)
    for source in DAILY:
        publish(live, source, "2013-04-08")
    found = states(live, "2013-04-08")
    assert (found["airlines"], found["features"], found["outcomes"]) == ("missing", "ready", "ready")
    assert set(completion.complete(live, ["2013-04-08"], RUN)) == set(DAILY)


@pytest.mark.parametrize("came", ["never", "before the history"])
def test_a_register_of_which_nothing_is_left_to_join_stops_what_joins_it(live, at, came):
    at("2013-04-08 07:00")
    back = live.history_of("features")
    registers = {name for name, source in live.sources.items() if source.cadence == "weekly"}
    for name in sorted(registers - {"airlines"}):
        feed.deliver(live, MONDAY, sources=[name])
        publish(live, name, MONDAY)
    if came == "before the history":
        old = days_later("2013-04-08", -back - 1)
        feed.deliver(live, old, sources=["airlines"])
        publish(live, "airlines", old)
    feed.deliver(live, "2013-04-08", sources=DAILY)
    for source in DAILY:
        publish(live, source, "2013-04-08")
    found = {one.table: one for one in status.of(live) if one.run_day == "2013-04-08"}
    first = days_later("2013-04-08", -back)
    assert (found["features"].state, found["features"].reason) == (
        "blocked",
        f"nothing of airlines is published from {first} to 2013-04-08",
    )
    assert found["outcomes"].state == "ready", "it joins no register"
    with pytest.raises(
        TableMissingError, match=f"'airlines' has nothing published from {first} to 2013-04-08"
    ):
        crossing.stage(live, "features", ["2013-04-08"], RUN)


def test_a_register_that_comes_on_a_day_without_flights_makes_no_day_of_a_table(live, at):
    """Its build leaves such a day out, also where it does not declare what its rows come from."""
    saturday = "2013-04-06"
    features = live.derived["features"].model_copy(update={"rows_from": None})
    live = live.model_copy(
        update={
            "expected": Expected(holidays=(date(2013, 4, 6),)),
            "derived": {**live.derived, "features": features},
        }
    )
    at("2013-04-06 07:00")
    publish_registers(live, saturday)
    assert "features" not in states(live, saturday)
    with pytest.raises(DayNotExpectedError):
        crossing.stage(live, "features", [saturday], RUN)
    feed.deliver(live, saturday, sources=["schedule"])
    publish(live, "schedule", saturday)
    assert states(live, saturday)["features"] == "blocked"


def test_what_is_built_of_a_day_that_came_although_nothing_was_expected_is_made_up_for(live, at):
    """No flights on Tuesday and Wednesday: their transform builds what came all the same, and may be lost like any other."""
    holidays = (date.fromisoformat(MONDAY), date.fromisoformat(TUESDAY), date.fromisoformat("2013-04-03"))
    live = live.model_copy(update={"expected": Expected(holidays=holidays)})
    at("2013-04-02 12:00")
    feed.deliver(live, MONDAY, sources=["weather"])
    publish(live, "weather", MONDAY)
    publish_registers(live, MONDAY)
    feed.deliver(live, TUESDAY, sources=["schedule", "arrivals"])
    publish(live, "schedule", TUESDAY)
    assert states(live, TUESDAY)["features"] == "blocked"
    assert "outcomes" not in states(live, TUESDAY), "no arrivals are published that it could be of"
    publish(live, "arrivals", TUESDAY)
    found = states(live, TUESDAY)
    assert (found["features"], found["outcomes"], found[PREDICTIONS]) == ("ready", "ready", "blocked")
