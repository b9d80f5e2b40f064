"""What should be and what is: read from the clock, the landing zone, the tables and the ledger, whatever ran or did not."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from sluice import crossing, holds, ledger, status
from sluice.core.errors import DeliveryUnreadableError, SkipRefusedError, TableMissingError
from sluice.declare import spec
from sluice.declare.calendars import Expected
from sluice.declare.spec import PREDICTIONS
from sluice.ingest import deliveries
from sluice.lake import batches, connection, tables
from sluice.status import reconcile
from sluice_lab import feed
from tests.status.conftest import RUN, publish, states

MONDAY, TUESDAY = "2013-04-01", "2013-04-02"
DAILY = ["schedule", "arrivals", "weather"]


def test_nothing_is_due_before_the_schedule_of_the_first_day(live, at):
    at("2013-04-01 03:59")
    assert status.of(live).items == ()
    at("2013-04-01 04:00")
    assert set(states(live, MONDAY)) == {*DAILY, "features", "outcomes", "predictions", "monitoring"}


def test_a_source_is_awaited_until_its_deadline_and_missing_after_it(live, at):
    at("2013-04-01 05:59")
    feed.deliver(live, MONDAY, sources=["schedule"])
    found = states(live, MONDAY)
    assert (found["schedule"], found["arrivals"]) == ("ready", "awaited")
    assert {found[table] for table in ("features", "outcomes", "predictions", "monitoring")} == {"blocked"}
    at("2013-04-01 06:00")
    (arrivals,) = [item for item in status.of(live).in_state("missing") if item.table == "arrivals"]
    assert arrivals.sentence() == (
        "arrivals 2013-03-31 is missing: it was due by 2013-04-01 06:00 EDT and has not been delivered"
    )


def test_a_day_is_done_when_all_of_it_is_published_and_a_correction_makes_it_outdated(live, at):
    at("2013-04-01 07:00")
    feed.deliver(live, MONDAY, sources=list(live.sources))
    for source in live.sources:
        publish(live, source, MONDAY)
    assert states(live, MONDAY)["features"] == "ready"
    for table in ("features", "outcomes"):
        publish(live, table, MONDAY)
    found = states(live, MONDAY)
    assert {found[table] for table in (*live.sources, "features", "outcomes")} == {"published"}
    assert (found["predictions"], found["monitoring"]) == ("ready", "blocked")

    feed.deliver(live, MONDAY, sources=["arrivals"], corrupt="shifted", number=2)
    (arrivals,) = status.of(live).in_state("outdated")
    assert arrivals.reason == "delivery 2 has come since delivery 1 was published"

    publish(live, "arrivals", MONDAY)
    outdated = {item.table: item.reason for item in status.of(live).in_state("outdated")}
    assert outdated == dict.fromkeys(("features", "outcomes"), "arrivals 2013-03-31 was published anew since")


def test_the_same_rows_again_outdate_nothing(live, at):
    at("2013-04-01 07:00")
    feed.deliver(live, MONDAY, sources=list(live.sources))
    for table in (*live.sources, "features"):
        publish(live, table, MONDAY)
    publish(live, "arrivals", MONDAY)
    assert status.of(live).in_state("outdated") == []


def test_what_is_held_waits_for_a_person_until_a_newer_delivery_comes(live, at):
    at("2013-04-01 07:00")
    feed.deliver(live, MONDAY, sources=["arrivals"], corrupt="seconds")
    manifest = crossing.stage(live, "arrivals", [MONDAY], RUN)
    assert crossing.audit(live, "arrivals", manifest.batch_id, RUN).outcome == "HOLD"
    assert states(live, MONDAY)["arrivals"] == "held"
    feed.deliver(live, MONDAY, sources=["arrivals"], number=2)
    assert states(live, MONDAY)["arrivals"] == "ready"


@pytest.mark.parametrize("damage", ["seconds", "truncated"])
def test_what_was_held_too_long_is_not_tried_again_until_something_else_comes(live, at, damage):
    """Else the same file would be held anew, with a mail, each time that its hold expires."""
    at("2013-04-01 07:00")
    feed.deliver(live, MONDAY, sources=["arrivals"], corrupt=damage)
    _hold(live, damage)
    at("2013-05-02 07:00")
    (expired,) = holds.expire(live, RUN)
    assert (expired.table, holds.open_batches(live)) == ("arrivals", [])
    for batch in batches.staged("flights", "arrivals"):  # as the maintenance does in the end
        shutil.rmtree(connection.location("flights", "arrivals", "data", batch).removeprefix("file://"))
    (arrivals,) = [one for one in status.of(live, last=MONDAY).in_state("held") if one.stage == "ingest"]
    assert "held for more than 30 days, and is not tried again by itself" in arrivals.reason
    assert reconcile.plan(live, dict.fromkeys(reconcile.STARTS, 0)) == []
    feed.deliver(live, MONDAY, sources=["arrivals"], corrupt=damage, number=2)
    assert states(live, MONDAY)["arrivals"] == ("held" if damage == "seconds" else "ready")
    feed.deliver(live, MONDAY, sources=["arrivals"], number=3)
    assert states(live, MONDAY)["arrivals"] == "ready"


def test_a_correction_that_was_held_too_long_is_held_until_a_person_gives_it_up(live, at):
    at("2013-04-01 07:00")
    feed.deliver(live, MONDAY, sources=["arrivals"])
    publish(live, "arrivals", MONDAY)
    feed.deliver(live, MONDAY, sources=["arrivals"], corrupt="seconds", number=2)
    _hold(live, "seconds")
    at("2013-05-02 07:00")
    holds.expire(live, RUN)
    (arrivals,) = [one for one in status.of(live, last=MONDAY) if one.table == "arrivals"]
    assert (arrivals.state, "not tried again by itself" in arrivals.reason) == ("held", True)
    assert reconcile.plan(live, dict.fromkeys(reconcile.STARTS, 0)) == []
    given_up = holds.skip(live, MONDAY, ["arrivals"], by="Ada", why="The first delivery was right.", run=RUN)
    assert [entry.subject for entry in given_up] == ["arrivals"], "what is made of it is not given up"
    assert states(live, MONDAY)["arrivals"] == "published"
    feed.deliver(live, MONDAY, sources=["arrivals"], number=3)
    assert states(live, MONDAY)["arrivals"] == "published", "readers see these rows"
    feed.deliver(live, MONDAY, sources=["arrivals"], corrupt="shifted", number=4)
    assert states(live, MONDAY)["arrivals"] == "outdated"


def _hold(live, damage):
    """Let Monday's arrivals be held, or refused."""
    if damage == "truncated":
        with pytest.raises(DeliveryUnreadableError, match="cut short"):
            crossing.stage(live, "arrivals", [MONDAY], RUN)
        return
    manifest = crossing.stage(live, "arrivals", [MONDAY], RUN)
    assert crossing.audit(live, "arrivals", manifest.batch_id, RUN).outcome == "HOLD"


def test_what_was_refused_waits_for_a_person_until_a_newer_delivery_comes(live, at):
    at("2013-04-01 07:00")
    (name,) = feed.deliver(live, MONDAY, sources=["arrivals"])
    landing = _landing(live)
    (landing / f"{name}{deliveries.MANIFEST}").write_text("{}")
    assert states(live, MONDAY)["arrivals"] == "ready"
    with pytest.raises(Exception, match="cannot be understood"):
        crossing.stage(live, "arrivals", [MONDAY], RUN)
    assert states(live, MONDAY)["arrivals"] == "held"
    feed.deliver(live, MONDAY, sources=["arrivals"], number=2)
    assert states(live, MONDAY)["arrivals"] == "ready"


def test_a_day_that_a_person_gives_up_is_awaited_no_longer(live, at):
    at("2013-04-01 07:00")
    feed.deliver(live, MONDAY, sources=["schedule", "weather"])
    for source in ("schedule", "weather"):
        publish(live, source, MONDAY)
    assert states(live, MONDAY)["features"] == "blocked"
    entries = holds.skip(live, MONDAY, ["arrivals"], by="Ada", why="The airline lost it.", run=RUN)
    # The rows of outcomes come from the arrivals: without these there can be none.
    assert [(entry.subject, entry.partition) for entry in entries] == [
        ("arrivals", "2013-03-31"),
        ("outcomes", "2013-03-31"),
    ]
    found = states(live, MONDAY)
    # Features look back on arrivals, and there is no earlier day of these.
    assert (found["arrivals"], found["outcomes"], found["features"]) == ("skipped", "skipped", "blocked")
    item, _ = status.of(live).in_state("skipped")
    assert item.reason == "Ada gave it up: The airline lost it."
    (features,) = [one for one in status.of(live).in_state("blocked") if one.table == "features"]
    assert features.reason == "arrivals 2013-03-31 is skipped, and no earlier day of it is published"
    with pytest.raises(TableMissingError, match="arrivals of 2013-03-31 is not published"):
        crossing.stage(live, "features", [MONDAY], RUN)
    # What comes later is not lost.
    feed.deliver(live, MONDAY, sources=["arrivals"])
    publish(live, "arrivals", MONDAY)
    assert states(live, MONDAY)["arrivals"] == "published"


def test_a_delivery_for_a_day_on_which_the_schedule_does_not_fire_is_taken_and_nothing_else_expected(
    live, at
):
    live = live.model_copy(update={"schedule": "0 4 * * 2-5"})
    at("2013-04-01 12:00")
    assert states(live, MONDAY) == {}
    feed.deliver(live, MONDAY, sources=["schedule"])
    assert states(live, MONDAY) == {"schedule": "ready"}
    (start,) = reconcile.plan(live, {"ingest": 0})
    assert (start.run_day, start.because) == (MONDAY, ("schedule 2013-04-01 is ready: delivery 1 is there",))


def test_a_delivery_for_a_day_without_a_run_starts_no_second_run_of_the_day_that_waits(live, at):
    friday, saturday = "2013-04-05", "2013-04-06"
    live = live.model_copy(update={"schedule": "0 4 * * 1-5", "starts": date(2013, 4, 5)})
    at("2013-04-05 05:00")
    (start,) = reconcile.plan(live, {"ingest": 0})
    reconcile.record(live, start, RUN)
    at("2013-04-06 09:00")
    feed.deliver(live, friday, sources=["schedule"])
    feed.deliver(live, saturday, sources=["schedule"])
    assert states(live, friday)["schedule"] == "ready"
    assert [one.run_day for one in reconcile.plan(live, {"ingest": 0}, waits=True)] == [saturday]


def test_no_register_is_due_on_a_day_on_which_only_something_else_was_delivered(live, at):
    live = live.model_copy(update={"schedule": "0 4 * * 1-5"})
    registers = [name for name, source in live.sources.items() if source.cadence == "weekly"]
    at("2013-04-13 12:00")
    feed.deliver(live, "2013-04-06", sources=registers)
    feed.deliver(live, "2013-04-13", sources=["schedule"])
    assert set(states(live, "2013-04-06")) == set(registers)
    assert states(live, "2013-04-13") == {"schedule": "ready"}


def test_nothing_is_given_up_without_a_name_and_a_reason_or_where_all_is_published(live, at):
    at("2013-04-01 07:00")
    for said in ({"by": "", "why": "x"}, {"by": "Ada", "why": " "}):
        with pytest.raises(SkipRefusedError, match="a name and a reason"):
            holds.skip(live, MONDAY, ["arrivals"], run=RUN, **said)
    feed.deliver(live, MONDAY, sources=["schedule"])
    publish(live, "schedule", MONDAY)
    with pytest.raises(SkipRefusedError, match="nothing to give up"):
        holds.skip(live, MONDAY, ["schedule"], by="Ada", why="Not needed.", run=RUN)
    assert ledger.entries(kind="skipped") == []


@pytest.mark.parametrize("day", ["2013-03-31", TUESDAY, "2031-04-01"])
def test_no_day_is_given_up_on_which_nothing_is_expected_yet_or_ever_was(live, at, day):
    at("2013-04-01 07:00")
    with pytest.raises(SkipRefusedError, match="a run day 2013-04-01 to 2013-04-01") as refused:
        holds.skip(live, day, by="Ada", why="A slip of the finger.", run=RUN)
    assert day in str(refused.value)
    assert ledger.entries(kind="skipped") == []


def test_a_replayed_pipeline_has_nothing_due_before_its_feed_begins(home, make_home):
    make_home(home)
    flights = spec.load("flights")
    assert status.of(flights) == status.Status("flights", None, ())
    feed.deliver(flights, TUESDAY, sources=["schedule"])
    # Its today is over when it is delivered.
    assert states(flights, TUESDAY) == {
        "schedule": "ready",
        "arrivals": "missing",
        "weather": "missing",
        "features": "blocked",
        "outcomes": "blocked",
        "predictions": "blocked",
        "monitoring": "blocked",
    }


def _landing(live) -> Path:
    return Path(live.landing_url)


def test_a_day_that_is_not_expected_is_asked_of_no_table(live, at):
    """No flights on Tuesday: what became of Monday's is expected on it, and of Tuesday's nothing on Wednesday."""
    holiday = live.model_copy(update={"expected": Expected(holidays=(date.fromisoformat(TUESDAY),))})
    at("2013-04-03 12:00")
    assert set(states(holiday, TUESDAY)) == {"arrivals", "weather", "outcomes"}
    assert set(states(holiday, "2013-04-03")) == {"schedule", "features", "predictions", "monitoring"}
    # What is delivered all the same is asked for like any other.
    feed.deliver(holiday, TUESDAY, sources=["schedule"])
    assert states(holiday, TUESDAY)["schedule"] == "ready"


def test_the_same_file_under_a_new_number_outdates_nothing_and_frees_nothing_that_is_held(live, at):
    at("2013-04-01 07:00")
    feed.deliver(live, MONDAY, sources=["arrivals"])
    publish(live, "arrivals", MONDAY)
    feed.deliver(live, MONDAY, sources=["arrivals"], number=2)
    assert states(live, MONDAY)["arrivals"] == "published"

    feed.deliver(live, TUESDAY, sources=["arrivals"], corrupt="seconds")
    at("2013-04-02 07:00")
    manifest = crossing.stage(live, "arrivals", [TUESDAY], RUN)
    assert crossing.audit(live, "arrivals", manifest.batch_id, RUN).outcome == "HOLD"
    feed.deliver(live, TUESDAY, sources=["arrivals"], corrupt="seconds", number=2)
    assert states(live, TUESDAY)["arrivals"] == "held"


def test_each_table_is_read_once_and_no_manifest_of_a_day_that_has_no_correction(live, at, monkeypatch):
    """Counted, so that the cost of a look does not grow with history in ways that no machine's speed hides."""
    feed.deliver_range(live, MONDAY, TUESDAY)
    at("2013-04-02 07:00")
    for run_day in (MONDAY, TUESDAY):
        for source in DAILY:
            publish(live, source, run_day)
    read: list[str] = []
    for module, name in ((tables, "published"), (batches, "load")):
        original = getattr(module, name)

        def counted(pipeline, table, *rest, original=original, name=name, **further):
            read.append(f"{name} {table}")
            return original(pipeline, table, *rest, **further)

        monkeypatch.setattr(module, name, counted)
    status.of(live)
    assert sorted(read) == sorted(f"published {table}" for table in live.tables)


def test_a_correction_is_taken_up_however_old_its_day_is(live, at):
    live = live.model_copy(update={"integrity_days": 1})
    at("2013-04-01 07:00")
    feed.deliver(live, MONDAY, sources=list(live.sources))
    for table in (*live.sources, "features", "outcomes"):
        publish(live, table, MONDAY)
    at("2013-06-01 07:00")
    assert status.of(live, last=MONDAY).in_state("outdated") == []
    feed.deliver(live, MONDAY, sources=["arrivals"], corrupt="shifted", number=2)
    (arrivals,) = status.of(live, last=MONDAY).in_state("outdated")
    assert arrivals.reason == "delivery 2 has come since delivery 1 was published"
    publish(live, "arrivals", MONDAY)
    assert [item.table for item in status.of(live, last=MONDAY).in_state("outdated")] == [
        "features",
        "outcomes",
    ]


def test_the_first_delivery_again_after_a_correction_was_held_ends_the_hold(live, at):
    at("2013-04-01 07:00")
    feed.deliver(live, MONDAY, sources=["arrivals"])
    publish(live, "arrivals", MONDAY)
    feed.deliver(live, MONDAY, sources=["arrivals"], corrupt="seconds", number=2)
    manifest = crossing.stage(live, "arrivals", [MONDAY], RUN)
    assert crossing.audit(live, "arrivals", manifest.batch_id, RUN).outcome == "HOLD"
    assert states(live, MONDAY)["arrivals"] == "held"
    feed.deliver(live, MONDAY, sources=["arrivals"], number=3)
    assert states(live, MONDAY)["arrivals"] == "outdated"
    manifest = crossing.stage(live, "arrivals", [MONDAY], RUN)
    assert crossing.audit(live, "arrivals", manifest.batch_id, RUN).publishes
    crossing.publish(live, "arrivals", manifest.batch_id, RUN)
    assert states(live, MONDAY)["arrivals"] == "published"
    assert holds.open_batches(live) == []


def test_what_comes_on_a_day_on_which_nothing_is_expected_is_asked_for_like_any_other(live, at):
    """No flights on Tuesday and Wednesday: Wednesday has no run, but for what is delivered for it all the same."""
    holidays = (date.fromisoformat(TUESDAY), date.fromisoformat("2013-04-03"))
    live = live.model_copy(update={"expected": Expected(holidays=holidays)})
    at("2013-04-03 12:00")
    assert states(live, "2013-04-03") == {}
    feed.deliver(live, "2013-04-03", sources=["schedule"])
    assert states(live, "2013-04-03")["schedule"] == "ready"


def test_what_was_given_up_with_its_rows_goes_on_when_they_come_after_all(live, at):
    at("2013-04-01 07:00")
    feed.deliver(live, MONDAY, sources=list(live.sources))
    for source in live.sources:
        if source != "arrivals":
            publish(live, source, MONDAY)
    holds.skip(live, MONDAY, ["arrivals"], by="Ada", why="The airline lost it.", run=RUN)
    assert states(live, MONDAY)["outcomes"] == "skipped"
    manifest = crossing.stage(live, "arrivals", [MONDAY], RUN)
    crossing.audit(live, "arrivals", manifest.batch_id, RUN)
    crossing.publish(live, "arrivals", manifest.batch_id, RUN)
    assert states(live, MONDAY)["outcomes"] == "ready"
    holds.skip(live, MONDAY, ["outcomes"], by="Ada", why="Not needed.", run=RUN)
    assert states(live, MONDAY)["outcomes"] == "skipped"


def test_the_newest_hold_of_a_day_is_told_and_not_that_of_a_range_before_it(live, at):
    days = [TUESDAY, "2013-04-03"]
    at("2013-04-03 07:00")
    for run_day in days:
        feed.deliver(live, run_day, sources=["arrivals"], corrupt="seconds")
    manifest = crossing.stage(live, "arrivals", days, RUN)
    assert crossing.audit(live, "arrivals", manifest.batch_id, RUN).outcome == "HOLD"
    feed.deliver(live, days[1], sources=["arrivals"], corrupt="truncated", number=2)
    assert states(live, days[1])["arrivals"] == "ready"
    with pytest.raises(DeliveryUnreadableError, match="cut short"):
        crossing.stage(live, "arrivals", days[1:], RUN)
    assert states(live, days[1])["arrivals"] == "held"


def test_predictions_are_made_again_from_corrected_features_while_their_time_is_not_over(live, at):
    live = live.model_copy(update={"model": live.model.model_copy(update={"deadline": "06:30"})})
    at("2013-04-01 04:10")
    feed.deliver(live, MONDAY, sources=list(live.sources))
    for table in (*live.sources, "features", PREDICTIONS):
        publish(live, table, MONDAY)
    assert states(live, MONDAY)[PREDICTIONS] == "published"
    at("2013-04-01 05:00")
    feed.deliver(live, MONDAY, sources=["weather"], corrupt="shifted", number=2)
    for table in ("weather", "features"):
        publish(live, table, MONDAY)
    at("2013-04-01 05:30")
    (item,) = [one for one in status.of(live).in_state("outdated") if one.stage == "score"]
    assert item.reason == "features 2013-04-01 was published anew since"
    at("2013-04-01 06:31")
    assert states(live, MONDAY)[PREDICTIONS] == "published"
