"""Predictions that are made after their time say so, are the champion's of their time, and count in no measure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from sluice import crossing, ledger, outdated, schedule
from sluice.core.errors import BatchSupersededError, SpecInvalidError
from sluice.declare import pipeline_clock, spec
from sluice.lake import batches, inputs, tables
from sluice.lake.batches import Manifest
from sluice.ledger import model_records, records
from sluice.models import due, monitoring, roles
from sluice.models.config import check_model
from sluice.models.scoring import stage_predictions
from tests.models.conftest import RUN, flights_rows

LAST = date(2013, 3, 30)
OLD, DAY = (LAST - timedelta(days=2)).isoformat(), LAST.isoformat()


def live(flights: spec.Pipeline, **model: object) -> spec.Pipeline:
    changed = {**flights.model.model_dump(mode="json"), **model}
    return spec.Pipeline.model_validate(
        {**flights.model_dump(mode="json"), "clock": "wall", "model": changed}
    )


# When a prediction is in time.


def test_time_of_a_live_day_ends_at_the_declared_deadline_and_else_with_the_day(home):
    flights = spec.load("flights")
    zone = ZoneInfo("America/New_York")
    declared = live(flights, deadline="06:30")
    assert pipeline_clock.scoring_deadline(declared, LAST) == datetime(2013, 3, 30, 6, 30, tzinfo=zone)
    assert schedule.scoring_time(declared, LAST) == datetime(2013, 3, 30, 4, tzinfo=zone)
    assert pipeline_clock.scoring_deadline(live(flights), LAST) == datetime(
        2013, 3, 30, 23, 59, 59, 999999, tzinfo=zone
    )
    # A day of 25 hours ends an hour later.
    assert pipeline_clock.scoring_deadline(live(flights), date(2013, 11, 3)).astimezone(UTC).hour == 4
    today = datetime.now(zone).date()
    assert pipeline_clock.is_late(live(flights), today - timedelta(days=1)) is True
    assert pipeline_clock.is_late(live(flights), today + timedelta(days=1)) is False


def test_time_of_a_replayed_day_ends_when_the_feed_is_a_day_further(home):
    flights = spec.load("flights")
    assert pipeline_clock.is_late(flights, LAST) is None, "nothing was delivered: there is no today"
    pipeline_clock.advance(flights, LAST)
    assert pipeline_clock.is_late(flights, LAST) is False
    pipeline_clock.advance(flights, LAST + timedelta(days=1))
    assert pipeline_clock.is_late(flights, LAST) is True


def test_deadline_before_the_schedule_is_refused(home):
    flights = spec.load("flights")
    with pytest.raises(
        SpecInvalidError, match=r"04:00 is not after 04:00, .* every prediction would be made late"
    ):
        check_model(live(flights, deadline="04:00"))
    check_model(live(flights, deadline="04:01"))
    check_model(flights)


# Who makes them, and what they say.


def publish_features(flights: spec.Pipeline, *days: str) -> None:
    rows = flights_rows(flights).drop_columns(["is_late"])
    wanted = pa.array([date.fromisoformat(day) for day in days], pa.date32())
    rows = rows.filter(pa.compute.is_in(rows["ds"], value_set=wanted))
    manifest = batches.stage(
        "flights", "features", rows, partitions=days, received=rows.num_rows, dropped={}, inputs=[], run=RUN,
        sort_by=["flight_id"],
    )  # fmt: skip
    tables.publish(manifest, verdict_id="v")


def publish(flights: spec.Pipeline, manifest: Manifest) -> None:
    """As the run of a day does, with a gate that lets it pass."""
    about = {"pipeline": "flights", "subject": manifest.table, "partition": manifest.partitions[0]}
    passed = {"publish_batch_id": manifest.batch_id, "verdict_id": "v", "outcome": "PASS"}
    ledger.append(records.Verdict(batch_id=manifest.batch_id, **passed), **about)
    crossing.publish(flights, manifest.table, manifest.batch_id, RUN)


def scored_by(manifest: Manifest) -> tuple[set[str], set[bool | None]]:
    """The model versions of its rows, and whether these were made late."""
    rows = pa.parquet.read_table(manifest.files[manifest.partitions[0]], partitioning=None)
    return set(rows["model_version"].to_pylist()), set(rows["made_late"].to_pylist())


@pytest.fixture
def champions(flights, trained, audited) -> spec.Pipeline:
    """Version 1 is champion from the end of OLD's eve on, version 2 from the end of DAY's eve on; DAY is over."""
    pipeline_clock.advance(flights, LAST - timedelta(days=3))
    roles.promote(flights, audited(trained(), None), RUN)
    pipeline_clock.advance(flights, LAST - timedelta(days=1))
    roles.promote(flights, audited(trained(), 1), RUN)
    return flights


@pytest.mark.slow
def test_past_day_is_scored_by_the_champion_of_its_time_and_says_that_it_is_late(champions):
    eve, before = (LAST - timedelta(days=1)).isoformat(), (LAST - timedelta(days=9)).isoformat()
    publish_features(champions, before, OLD, eve, DAY)
    pipeline_clock.advance(champions, LAST)
    assert scored_by(stage_predictions(champions, [DAY], RUN)) == ({"2"}, {False})

    pipeline_clock.advance(champions, LAST + timedelta(days=2))
    made = {day: stage_predictions(champions, [day], RUN) for day in (before, OLD, eve, DAY)}

    assert {day: scored_by(manifest) for day, manifest in made.items()} == {
        before: ({"baseline"}, {True}),
        OLD: ({"1"}, {True}),
        # The second was promoted on that day, after it had been scored.
        eve: ({"1"}, {True}),
        DAY: ({"2"}, {True}),
    }
    assert [note.kind for note in made[before].noted] == ["made_late", "no_champion_then"]
    assert "No model was champion at the time of 2013-03-21; the baseline" in made[before].noted[1].sentence()
    (said,) = made[OLD].noted
    assert said.sentence() == (
        "The predictions of 2013-03-28 were made late: on 2013-04-01 by the pipeline's clock, and their time ended on "
        "2013-03-28 at 23:59 -04:00. They count in no measure of performance."
    )
    assert outdated.is_newest(champions, made[OLD]), "that another one is champion now changes nothing"
    verdict = crossing.audit(champions, spec.PREDICTIONS, made[OLD].batch_id, RUN)
    assert said.sentence() in verdict.reasons
    assert verdict.outcome != "PASS"


@pytest.mark.slow
def test_roll_back_and_promotions_of_an_earlier_version_count_from_their_day(flights, trained, audited):
    """Entries that do not say when they were decided."""
    about = {"pipeline": "flights", "subject": flights.model.name}
    first, second = trained(), trained()
    said = {"champion": None, "previous": None}
    ledger.append(model_records.Promoted(version=first, **said), **about, partition=OLD)
    ledger.append(model_records.Promoted(version=second, **said), **about, partition=DAY)
    ledger.append(model_records.RolledBack(version=first, **said), **about)

    def then(day: date) -> int | None:
        return roles.current(flights, schedule.scoring_time(flights, day)).champion

    assert then(date.fromisoformat(OLD)) is None
    assert then(LAST) == first
    assert then(LAST + timedelta(days=1)) == first, "rolled back after the second, on a day that is not known"
    wall = live(flights)
    assert roles.current(wall, datetime.now(UTC) + timedelta(minutes=1)).champion == first
    assert roles.current(wall, schedule.scoring_time(wall, LAST)).champion is None, "the wall clock says when"


@pytest.mark.slow
def test_late_predictions_replace_late_ones_and_none_that_were_made_in_time(champions):
    publish_features(champions, OLD, DAY)
    pipeline_clock.advance(champions, LAST)
    publish(champions, stage_predictions(champions, [DAY], RUN))
    pipeline_clock.advance(champions, LAST + timedelta(days=1))
    with pytest.raises(BatchSupersededError, match="made in time") as caught:
        publish(champions, stage_predictions(champions, [DAY], RUN))
    assert caught.value.readers_see_newer
    # Made by a version that let today's champion score the past.
    hindsight = stage_predictions(champions, [OLD], RUN)
    made = tuple(
        {**each, "promoted": roles.current(champions).since} if each["kind"] == "model" else each
        for each in hindsight.inputs
    )
    tables.publish(hindsight.model_copy(update={"inputs": made}), verdict_id="v")
    publish(champions, stage_predictions(champions, [OLD], RUN))
    assert due.made_late(champions, OLD) == {OLD}


@pytest.mark.slow
def test_late_day_is_reported_on_once_without_outcomes_and_is_in_no_measure(flights):
    publish_features(flights, OLD, DAY)
    pipeline_clock.advance(flights, LAST)
    publish(flights, stage_predictions(flights, [OLD], RUN))
    publish(flights, stage_predictions(flights, [DAY], RUN))
    rows = flights_rows(flights)
    wanted = pa.array([date.fromisoformat(day) for day in (OLD, DAY)], pa.date32())
    rows = rows.filter(pa.compute.is_in(rows["ds"], value_set=wanted)).select(["flight_id", "ds", "is_late"])
    outcomes = batches.stage(
        "flights", "outcomes", rows, partitions=[OLD, DAY], received=rows.num_rows, dropped={}, inputs=[], run=RUN,
        sort_by=["flight_id"],
    )  # fmt: skip
    tables.publish(outcomes, verdict_id="v")

    monitoring.report_days(flights, OLD, RUN)
    pages = monitoring.report_days(flights, DAY, RUN)

    assert set(pages) == {DAY}, "the late one is not due"
    measured = {entry.partition: entry.data for entry in ledger.entries(kind="monitored")}
    assert measured[DAY]["auc"] is not None
    assert (measured[OLD]["auc"], measured[OLD]["labelled"], measured[OLD]["made_late"]) == (None, 0, True)
    assert [day.ds for day in due.days(flights, DAY)] == [DAY]
    decided = monitoring.decide(flights, OLD, RUN)
    assert decided["action"] != "retrain"
    assert f"Predicted after their time, and so in no measure: {OLD}." in decided["reasons"]
    assert decided["numbers"]["days_made_late"] == [OLD]
    assert decided["numbers"]["days_with_outcomes"] == 0


@pytest.mark.slow
def test_predictions_of_an_earlier_version_say_nothing_and_count(champions):
    publish_features(champions, OLD, DAY)
    old = stage_predictions(champions, [OLD], RUN)
    rows = pa.parquet.read_table(old.files[OLD], partitioning=None)
    rows = rows.drop_columns(["made_late", "missing_history_days"])
    old = batches.stage(
        "flights", spec.PREDICTIONS, rows, partitions=[OLD], received=rows.num_rows, dropped={},
        inputs=[inputs.Clock(today=OLD).record()], run=RUN, sort_by=["flight_id"],
    )  # fmt: skip
    publish(champions, old)
    pipeline_clock.advance(champions, LAST + timedelta(days=1))
    publish(champions, stage_predictions(champions, [DAY], RUN))

    def told(day: str) -> set[bool | None]:
        return set(tables.scan("flights", spec.PREDICTIONS, day, day)["made_late"].to_pylist())

    assert (told(OLD), told(DAY)) == ({None}, {True})
    assert due.made_late(champions, OLD) == {DAY}
