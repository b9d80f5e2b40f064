"""Derived tables are not built from a day that is held or not there yet."""

from __future__ import annotations

from datetime import date

import pytest

from sluice import crossing, holds, ledger
from sluice.core.errors import DayNotExpectedError, TableMissingError
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.declare.calendars import Expected
from sluice.lake import batches, tables
from sluice_lab import feed

RUN = Run(run_id="test")


@pytest.mark.slow
def test_stage_while_the_newest_arrivals_are_held_is_refused_and_names_them(home, make_home):
    make_home(home)
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

    # A person gives the day up: what lags is done without, and the age says so; nothing is made of the day itself.
    given_up = holds.skip(flights, "2013-04-03", ["arrivals"], by="Ada", why="It will not come.", run=RUN)
    assert {entry.subject for entry in given_up} == {"arrivals", "outcomes"}
    staged = crossing.stage(flights, "features", ["2013-04-03"], RUN)
    ages = {each["table"]: each["age_days"] for each in staged.inputs if each["kind"] == "freshness"}
    assert ages == {"schedule": 0, "arrivals": 1, "weather": 0}
    with pytest.raises(TableMissingError, match="arrivals of 2013-04-02 is not published"):
        crossing.stage(flights, "outcomes", ["2013-04-03"], RUN)


def _publish(flights, day: str, sources) -> None:
    """Publish deliveries unjudged: gates are not what is tested here."""
    feed.deliver(flights, day, sources=list(sources))
    for source in sources:
        tables.publish(crossing.stage(flights, source, [day], RUN), verdict_id="unjudged")


@pytest.mark.slow
def test_stage_of_days_that_are_not_expected_is_skipped_and_they_make_no_later_day_stale(home, make_home):
    """No flights on Tuesday 2 April: its features are not waited for, and those of the day after are as fresh as can be."""
    make_home(home)
    flights = spec.load("flights").model_copy(
        update={"expected": Expected(holidays=(date(2013, 4, 2),)), "stale_input": "mark"}
    )
    _publish(flights, "2013-04-01", flights.sources)
    _publish(flights, "2013-04-02", ("arrivals", "weather"))
    _publish(flights, "2013-04-03", ("schedule",))

    with pytest.raises(DayNotExpectedError, match=r"features has no 2013-04-02.*`expected`"):
        crossing.stage(flights, "features", ["2013-04-02"], RUN)
    with pytest.raises(DayNotExpectedError, match="outcomes has no 2013-04-02"):
        crossing.stage(flights, "outcomes", ["2013-04-03"], RUN)
    assert crossing.stage(flights, "outcomes", ["2013-04-02"], RUN).partitions == ("2013-04-01",)

    days = ["2013-04-01", "2013-04-02", "2013-04-03"]
    staged = crossing.stage(flights, "features", days, RUN)
    assert staged.partitions == ("2013-04-01", "2013-04-03")
    ages = [each for each in staged.inputs if each["kind"] == "freshness"]
    assert {(each["newest"], each["age_days"]) for each in ages if each["table"] == "arrivals"} == {
        ("2013-04-01", 0)
    }


@pytest.mark.slow
@pytest.mark.parametrize("rows_from", [None, "arrivals"])
def test_stage_goes_on_without_a_source_of_its_own_day_that_was_given_up_unless_its_rows_come_from_it(
    home, make_home, rows_from
):
    make_home(home)
    flights = spec.load("flights")
    features = flights.derived["features"].model_copy(
        update={"rows_from": rows_from, "key_from": None, "values_from": {}}
    )
    joined = flights.model_copy(update={"derived": {**flights.derived, "features": features}})
    _publish(joined, "2013-04-01", joined.sources)
    _publish(joined, "2013-04-02", ("arrivals", "weather"))
    about = {"by": "Ada", "why": "It will not come.", "run": RUN}
    skipped = holds.skip(joined, "2013-04-02", ["schedule"], **about)
    assert [entry.subject for entry in skipped] == ["schedule"]

    staged = crossing.stage(joined, "features", ["2013-04-02"], RUN)

    ages = {each["table"]: each["age_days"] for each in staged.inputs if each["kind"] == "freshness"}
    assert ages == {"schedule": 1, "arrivals": 0, "weather": 0}
    with pytest.raises(TableMissingError, match="schedule of 2013-04-02 is not published"):
        crossing.stage(flights, "features", ["2013-04-02"], RUN)
