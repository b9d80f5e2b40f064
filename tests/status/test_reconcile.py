"""What is due, possible and not done is started: once, in order, never what is held, and again after a pause."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from sluice import crossing, holds, ledger
from sluice.core.runs import Run
from sluice.declare.calendars import Expected
from sluice.lake import tables
from sluice.ledger import records
from sluice.status import reconcile
from sluice_lab import feed

RUN = Run(dag_id="flights_reconcile", run_id="test")
MONDAY, TUESDAY, WEDNESDAY = "2013-04-01", "2013-04-02", "2013-04-03"
IDLE = dict.fromkeys(reconcile.STARTS, 0)
DAILY = ["schedule", "arrivals", "weather"]


def _started(live, active=IDLE):
    """Plan, and record what is planned, as the DAG does."""
    starts = reconcile.plan(live, active)
    for start in starts:
        reconcile.record(live, start, RUN)
    return [(start.stage, start.run_day) for start in starts]


def _publish(live, table, run_day):
    manifest = crossing.stage(live, table, [run_day], RUN)
    tables.publish(manifest, verdict_id="unjudged")


def test_a_day_is_started_when_it_is_due_and_waits_for_what_has_not_come(live, at):
    at("2013-04-01 03:59")
    assert _started(live) == []
    at("2013-04-01 04:00")
    assert _started(live) == [("ingest", MONDAY)]


def test_days_that_nobody_ran_are_made_up_for_one_at_a_time_oldest_first(live, at):
    feed.deliver_range(live, MONDAY, WEDNESDAY)
    at("2013-04-03 09:00")
    assert _started(live) == [("ingest", MONDAY)]
    assert _started(live, {**IDLE, "ingest": 1}) == [], "it is at work"


def test_nothing_of_a_stage_is_started_while_a_run_of_it_is_at_work_however_long_it_takes(live, at):
    at("2013-04-01 09:00")
    feed.deliver(live, MONDAY, sources=list(live.sources))
    for source in live.sources:
        _publish(live, source, MONDAY)
    assert _started(live, {**IDLE, "transform": 1}) == [], "it may be that of this day"
    assert _started(live) == [("transform", MONDAY)]


def test_a_stage_that_is_paused_is_not_started(live, at):
    feed.deliver_range(live, MONDAY, TUESDAY)
    at("2013-04-02 09:00")
    assert _started(live, {stage: 0 for stage in IDLE if stage != "ingest"}) == []


def test_what_was_started_in_vain_is_started_again_after_a_pause_that_doubles(live, at):
    feed.deliver(live, MONDAY)
    at("2013-04-01 09:00")
    assert reconcile.plan(live, IDLE)[0].attempt == 1
    assert _started(live) == [("ingest", MONDAY)]
    for now, attempt in (
        ("09:09", None),
        ("09:10", 2),
        ("09:29", None),
        ("09:30", 3),
        ("10:09", None),
        ("10:10", 4),
    ):
        at(f"2013-04-01 {now}")
        starts = reconcile.plan(live, IDLE)
        assert [start.attempt for start in starts] == ([attempt] if attempt else []), now
        for start in starts:
            reconcile.record(live, start, RUN)


def test_a_day_that_is_waited_for_is_not_started_again_whatever_comes_and_others_are(live, at):
    feed.deliver(live, MONDAY, sources=DAILY)
    at("2013-04-02 04:00")
    assert _started(live) == [("ingest", MONDAY)]
    assert _started(live) == [("ingest", TUESDAY)]
    at("2013-04-02 04:05")
    for source in DAILY:
        _publish(live, source, MONDAY)
    feed.deliver(live, TUESDAY, sources=["schedule"])
    at("2013-04-02 04:30")
    days = {start.run_day for start in reconcile.plan(live, IDLE, waits=True) if start.stage == "ingest"}
    assert days == set()
    feed.deliver(live, MONDAY, sources=["arrivals"], corrupt="shifted", number=2)
    days = {start.run_day for start in reconcile.plan(live, IDLE, waits=True) if start.stage == "ingest"}
    assert days == {MONDAY}, "a correction of another day"
    feed.deliver(live, MONDAY, sources=["arrivals"], number=3)
    days = {start.run_day for start in reconcile.plan(live, IDLE) if start.stage == "ingest"}
    assert days == {TUESDAY}, "the run that waited for it was lost"
    at("2013-04-03 04:00")
    days = {start.run_day for start in reconcile.plan(live, IDLE, waits=True) if start.stage == "ingest"}
    assert days == {TUESDAY}


def test_a_run_that_waits_is_that_of_the_newest_day_of_the_calendar_whatever_came_since(live, at):
    """Friday waits until Monday: something is delivered for Saturday meanwhile, and then what Friday waits for."""
    friday, saturday = "2013-04-05", "2013-04-06"
    weekdays = Expected(holidays=(date(2013, 4, 6), date(2013, 4, 7)))
    same_day = {
        room: {name: one.model_copy(update={"lag_days": 0}) for name, one in tables.items()}
        for room, tables in {"sources": live.sources, "derived": live.derived}.items()
    }
    live = live.model_copy(update={"expected": weekdays, "starts": date(2013, 4, 5), **same_day})
    at("2013-04-05 05:00")
    assert _started(live) == [("ingest", friday)]
    at("2013-04-06 09:00")
    feed.deliver(live, saturday, sources=["schedule"])
    (start,) = reconcile.plan(live, IDLE, waits=True)
    assert start.run_day == saturday
    reconcile.record(live, start, RUN)
    feed.deliver(live, friday, sources=["schedule"])
    at("2013-04-06 09:30")
    assert [one.run_day for one in reconcile.plan(live, IDLE, waits=True)] == [saturday], (
        "a correction of it, say"
    )


def test_no_second_run_of_the_day_is_started_where_a_person_started_the_one_that_waits(live, at):
    at("2013-04-01 04:05")
    feed.deliver(live, MONDAY, sources=["schedule"])
    assert reconcile.plan(live, IDLE, waits=True) == []
    assert [start.run_day for start in reconcile.plan(live, IDLE)] == [MONDAY]
    feed.deliver(live, MONDAY)
    waits = reconcile.plan(live, IDLE, waits=True)
    assert [start.run_day for start in waits] == [MONDAY], (
        "all has come: what waits is the run of the day before"
    )


def test_a_day_that_fails_for_months_is_started_once_a_day(live, at):
    feed.deliver(live, MONDAY)
    at("2013-04-01 09:00")
    (start,) = reconcile.plan(live, IDLE)
    reconcile.record(live, replace(start, attempt=60), RUN)
    at("2013-04-02 08:59")
    assert MONDAY not in {start.run_day for start in reconcile.plan(live, IDLE)}
    at("2013-04-02 09:00")
    assert [(start.run_day, start.attempt) for start in reconcile.plan(live, IDLE)] == [(MONDAY, 61)]


def test_a_day_that_pauses_does_not_stop_the_next(live, at):
    feed.deliver_range(live, MONDAY, TUESDAY)
    at("2013-04-02 09:00")
    assert _started(live) == [("ingest", MONDAY)]
    assert _started(live) == [("ingest", TUESDAY)]
    assert _started(live) == []


def test_something_new_starts_a_day_at_once(live, at):
    feed.deliver(live, MONDAY, sources=["schedule", "weather"])
    at("2013-04-01 09:00")
    assert _started(live) == [("ingest", MONDAY)]
    feed.deliver(live, MONDAY, sources=["arrivals"])
    assert _started(live) == [("ingest", MONDAY)]


def test_a_file_that_comes_after_everybody_stopped_waiting_starts_its_day(live, at):
    feed.deliver(live, MONDAY, sources=["schedule", "weather"])
    at("2013-04-02 03:00")
    for source in ("schedule", "weather"):
        _publish(live, source, MONDAY)
    assert _started(live) == [], "nothing can be done about what is missing"
    feed.deliver(live, MONDAY, sources=["arrivals"])
    assert _started(live) == [("ingest", MONDAY)]


def test_what_is_held_is_left_to_a_person_and_started_by_a_newer_delivery(live, at):
    at("2013-04-01 09:00")
    feed.deliver(live, MONDAY, sources=["schedule", "weather"])
    for source in ("schedule", "weather"):
        _publish(live, source, MONDAY)
    feed.deliver(live, MONDAY, sources=["arrivals"], corrupt="seconds")
    manifest = crossing.stage(live, "arrivals", [MONDAY], RUN)
    assert crossing.audit(live, "arrivals", manifest.batch_id, RUN).outcome == "HOLD"
    assert _started(live) == []
    feed.deliver(live, MONDAY, sources=["arrivals"], number=2)
    assert _started(live) == [("ingest", MONDAY)]


def test_what_a_person_gave_up_is_not_started(live, at):
    at("2013-04-01 04:30")
    holds.skip(live, MONDAY, by="Ada", why="The airports were closed.", run=RUN)
    assert _started(live) == []


def test_a_downstream_stage_that_lost_its_event_is_started_and_a_fresh_one_is_left_to_it(live, at):
    feed.deliver(live, MONDAY, sources=list(live.sources))
    at("2013-04-01 09:00")
    for source in live.sources:
        _publish(live, source, MONDAY)
    ledger.append(records.DayCompleted(first_day=MONDAY), pipeline="flights", subject="raw", partition=MONDAY)
    at("2013-04-01 09:01")
    assert _started(live) == []
    at("2013-04-01 09:03")
    assert _started(live) == [("transform", MONDAY)]


def test_a_replayed_pipeline_waits_for_nothing(live, at):
    replayed = live.model_copy(update={"clock": "feed", "starts": None})
    feed.deliver(replayed, MONDAY, sources=["schedule"])
    at("2013-04-01 23:59")
    assert reconcile.plan(replayed, IDLE)[0].because == ("schedule 2013-04-01 is ready: delivery 1 is there",)
    _publish(replayed, "schedule", MONDAY)
    assert reconcile.plan(replayed, IDLE) == []


def test_a_register_that_may_still_come_starts_nothing_until_it_is_there(live, at):
    at("2013-04-01 07:00")
    for day in (MONDAY, "2013-04-08"):
        feed.deliver(live, day, sources=["airlines"] if day == MONDAY else DAILY)
    _publish(live, "airlines", MONDAY)
    live = live.model_copy(update={"starts": date(2013, 4, 8)})
    at("2013-04-08 04:00")
    assert _started(live) == [("ingest", "2013-04-08")]
    for source in DAILY:
        _publish(live, source, "2013-04-08")
    at("2013-04-08 05:29")
    assert [one for one in _started(live) if one[0] == "ingest"] == []
    feed.deliver(live, "2013-04-08", sources=["airlines"])
    at("2013-04-08 05:30")
    assert [one for one in _started(live) if one[0] == "ingest"] == [("ingest", "2013-04-08")]


def test_what_a_replayed_pipeline_lost_is_started_and_started_again_by_the_time_that_has_passed(live, at):
    replayed = live.model_copy(update={"clock": "feed", "starts": None})
    at("2013-04-05 09:00")
    feed.deliver(replayed, MONDAY, sources=list(live.sources))
    assert _started(replayed) == [("ingest", MONDAY)]
    at("2013-04-05 09:09")
    assert _started(replayed) == []
    at("2013-04-05 09:10")
    assert _started(replayed) == [("ingest", MONDAY)]
    for source in live.sources:
        _publish(replayed, source, MONDAY)
    ledger.append(records.DayCompleted(first_day=MONDAY), pipeline="flights", subject="raw", partition=MONDAY)
    assert _started(replayed) == []
    at("2013-04-05 09:13")
    assert _started(replayed) == [("transform", MONDAY)]


def test_starts_say_why(live, at):
    at("2013-04-01 04:00")
    (start,) = reconcile.plan(live, IDLE)
    assert (start.stage, start.run_day, start.attempt) == ("ingest", MONDAY, 1)
    assert start.because == tuple(
        f"{table} {live.data_day(table, MONDAY)} is awaited: it is due by 2013-04-01 06:00 EDT"
        for table in DAILY
    )
    assert date.fromisoformat(start.run_day) == live.starts


def test_every_day_of_a_range_that_was_completed_a_moment_ago_is_fresh(live, at):
    feed.deliver(live, MONDAY, sources=list(live.sources))
    feed.deliver(live, TUESDAY)
    at("2013-04-02 09:00")
    for source in live.sources:
        manifest = crossing.stage(live, source, [MONDAY, TUESDAY], RUN)
        tables.publish(manifest, verdict_id="unjudged")
    ledger.append(
        records.DayCompleted(first_day=MONDAY), pipeline="flights", subject="raw", partition=TUESDAY
    )
    assert _started(live) == []
    at("2013-04-02 09:03")
    assert _started(live) == [("transform", MONDAY), ("transform", TUESDAY)]


def test_what_was_published_a_moment_ago_is_left_to_its_event(live, at):
    feed.deliver(live, MONDAY, sources=list(live.sources))
    at("2013-04-01 09:00")
    for source in live.sources:
        _publish(live, source, MONDAY)
    day = live.data_day("arrivals", MONDAY)
    for pipeline in ("flights", "trains"):
        ledger.append(records.Published(batch_id="b"), pipeline=pipeline, subject="arrivals", partition=day)
    at("2013-04-01 09:01:59")
    assert _started(live) == []
    at("2013-04-01 09:02:01")
    assert _started(live) == [("transform", MONDAY)]


def test_events_of_another_pipeline_are_awaited_by_nobody(live, at):
    feed.deliver(live, MONDAY, sources=list(live.sources))
    at("2013-04-01 09:00")
    for source in live.sources:
        _publish(live, source, MONDAY)
    about = {"pipeline": "trains", "partition": MONDAY}
    ledger.append(records.Published(batch_id="b"), subject="schedule", **about)
    ledger.append(records.DayCompleted(first_day=MONDAY), subject="raw", **about)
    (start,) = reconcile.plan(live, IDLE)
    ledger.append(records.Started(because=start.because, attempt=1), subject="transform", **about)
    assert reconcile.plan(live, IDLE) == [start]


def test_pause_before_a_run_is_started_again_is_never_longer_than_a_day(live, at):
    feed.deliver(live, MONDAY)
    at("2013-04-01 09:00")
    (start,) = reconcile.plan(live, IDLE)
    entry = reconcile.record(live, replace(start, attempt=12), RUN)
    assert (entry.kind, entry.pipeline, entry.run) == ("started", "flights", "test")

    def attempts():
        return [one.attempt for one in reconcile.plan(live, IDLE) if one.run_day == MONDAY]

    at("2013-04-02 08:59")
    assert attempts() == []
    at("2013-04-02 09:00")
    assert attempts() == [13]
