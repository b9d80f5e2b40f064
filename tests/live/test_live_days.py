"""A live pipeline runs itself: a file that is late, one that stays away, and runs that were paused, marked or deleted."""

from __future__ import annotations

import csv
import gzip
import io
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace

import pytest

from sluice import holds, ledger, status
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.ingest import deliveries
from sluice.lake import tables
from sluice.lake.landing import Landing
from sluice.local import running

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

MONDAY, TUESDAY, WEDNESDAY, THURSDAY = "2013-04-01", "2013-04-02", "2013-04-03", "2013-04-04"
DAILY = ["schedule", "arrivals", "weather"]


def _states(world, run_day):
    return {item.table: item.state for item in status.of(world.pipeline) if item.run_day == run_day}


def _is_done(world, run_day):
    assert set(_states(world, run_day).values()) == {"published"}, _states(world, run_day)


def _correct(world, source, run_day):
    """Deliver a source again, with a tail number that turned out to be unknown."""
    landing = Landing(world.pipeline.landing_url)
    first = deliveries.find(world.pipeline, source, run_day, landing=landing)
    rows = list(csv.reader(gzip.decompress(landing.read(first.name)).decode().splitlines()))
    column = rows[0].index("tailnum")
    next(row for row in rows[1:] if row[column])[column] = ""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    deliveries.write(
        landing,
        world.pipeline,
        source,
        run_day,
        gzip.compress(text.getvalue().encode(), mtime=0),
        rows=len(rows) - 1,
        number=first.number + 1,
        delivered_at=first.manifest.delivered_at,
    )


def test_a_file_that_is_late_is_waited_for_without_a_worker_and_told_of_once(world):
    world.at(f"{MONDAY} 04:00")
    world.deliver(MONDAY, *[source for source in world.pipeline.sources if source != "arrivals"])
    world.reconcile()
    assert world.waiting() == ["arrivals.stage_arrivals"]
    assert world.published("schedule", MONDAY)
    assert not world.published("features", MONDAY)

    world.at(f"{MONDAY} 05:59")
    world.run("watch")
    assert world.subjects() == [], "its deadline has not come"
    world.at(f"{MONDAY} 06:30")
    world.run("watch")
    world.run("watch")
    missing = "[sluice][MISSING] flights arrivals 2013-03-31: not delivered"
    assert world.subjects() == [missing]

    world.deliver(MONDAY, "arrivals")
    world.settle()
    _is_done(world, MONDAY)
    world.run("watch")
    told, over = world.subjects()
    assert told == missing
    assert over.startswith("[sluice][RESOLVED] flights arrivals 2013-03-31")
    assert [entry.partition for entry in ledger.entries(kind="started", pipeline="flights")] == [MONDAY]


@pytest.mark.long
def test_a_run_that_airflow_ends_because_it_took_too_long_is_told_and_its_day_is_made_up_for(world):
    """As that of a run which waited while the scheduler was off: Airflow fails it, and skips what it had not begun."""
    world.at(f"{MONDAY} 04:00")
    world.deliver(MONDAY, *[source for source in world.pipeline.sources if source != "arrivals"])
    world.reconcile()
    (run,) = world.runs("ingest")
    with closing(sqlite3.connect(settings().home / "airflow" / "airflow.db")) as database, database:
        database.execute(
            "UPDATE dag_run SET start_date = datetime(start_date, '-9 days') WHERE run_id = ?",
            (run["dag_run_id"],),
        )
    assert world.api.wait_for_run("flights_ingest", run["dag_run_id"]) == "failed"
    (told,) = world.api.until(lambda: world.subjects() or None, "the mail of the run", 60)
    assert told.startswith(f"[sluice][FAILED] flights_ingest {MONDAY}: The run took longer than its limit"), (
        told
    )

    world.deliver(MONDAY, "arrivals")
    world.at(f"{MONDAY} 04:30")
    world.reconcile()
    _is_done(world, MONDAY)
    assert ["[RESOLVED]" in subject for subject in world.subjects()] == [False, True], world.subjects()


@pytest.mark.long
def test_what_was_lost_is_made_up_for_and_a_day_is_given_up_only_by_a_person(world):
    world.at(f"{MONDAY} 04:00")
    world.deliver(MONDAY, *world.pipeline.sources)
    world.reconcile()
    _is_done(world, MONDAY)
    assert world.subjects() == []

    # A DAG that was paused has missed its event.
    world.api.set_paused("flights_transform", paused=True)
    world.at(f"{TUESDAY} 04:00")
    world.deliver(TUESDAY)
    world.run("reconcile")
    world.ended("ingest", TUESDAY)
    world.at(f"{TUESDAY} 04:30")
    world.run("reconcile")
    assert not world.published("features", TUESDAY)
    world.api.set_paused("flights_transform", paused=False)
    world.at(f"{TUESDAY} 04:45")
    world.reconcile()
    _is_done(world, TUESDAY)

    # A run that is marked as successful has published nothing.
    world.at(f"{WEDNESDAY} 04:00")
    world.run("reconcile")
    world.api.until(lambda: len(world.waiting()) == 3 or None, "the wait for the deliveries", 60)
    (run,) = world.api.runs("flights_ingest", partition=WEDNESDAY)
    # A correction of another day does not queue behind what waits.
    corrected = tables.published("flights", "arrivals", MONDAY, MONDAY)[MONDAY].batch_id
    _correct(world, "arrivals", TUESDAY)
    world.reconcile()
    assert tables.published("flights", "arrivals", MONDAY, MONDAY)[MONDAY].batch_id > corrected
    assert len(world.waiting()) == 3
    world.mark(run, "success")
    world.deliver(WEDNESDAY)
    world.at(f"{WEDNESDAY} 04:30")
    world.reconcile()
    _is_done(world, WEDNESDAY)

    # A run that was deleted; and nothing comes before the next day is due.
    world.at(f"{THURSDAY} 04:00")
    world.run("reconcile")
    world.api.until(lambda: len(world.waiting()) == 3 or None, "the wait for the deliveries", 60)
    (run,) = world.api.runs("flights_ingest", partition=THURSDAY)
    world.delete(run)
    world.at("2013-04-05 04:00")
    world.deliver("2013-04-05")
    world.reconcile()
    assert {_states(world, THURSDAY)[source] for source in DAILY} == {"missing"}
    assert world.published("features", "2013-04-05"), "the days after it go on"

    # It comes after all.
    world.deliver(THURSDAY, "schedule", "weather")
    world.at("2013-04-05 09:00")
    world.reconcile()
    assert _states(world, THURSDAY)["features"] == "blocked"
    holds.skip(
        world.pipeline,
        THURSDAY,
        ["arrivals", "outcomes"],
        by="Ada",
        why="The airline lost it.",
        run=Run(run_id="test"),
    )
    world.at("2013-04-05 09:30")
    world.reconcile()
    states = _states(world, THURSDAY)
    assert (states["arrivals"], states["outcomes"]) == ("skipped", "skipped")
    assert {states[table] for table in ("schedule", "weather", "features", "predictions", "monitoring")} == {
        "published"
    }


def test_days_are_run_in_order_by_a_command_until_one_is_not_complete(world):
    world.at(f"{WEDNESDAY} 04:30")
    world.deliver(MONDAY)
    world.deliver(TUESDAY, "schedule", "weather")
    world.deliver(WEDNESDAY)
    said: list[str] = []
    assert not running.run_days(world.pipeline, MONDAY, THURSDAY, world.api, said.append, train=False)
    _is_done(world, MONDAY)
    assert said[:2] == [
        f"Not due before {THURSDAY} 04:00 EDT: {THURSDAY}. What is landed for it is taken up then.",
        f"{MONDAY} (1 of 3)",
    ]
    assert [line for line in said if "is started" in line] == ["  flights_ingest is started"] * 2, said
    assert f"  features {MONDAY} is published" in said
    assert any(line.startswith(f"  arrivals {MONDAY} is missing: ") for line in said), said
    assert said[-1] == f"Not run, because they look back on {TUESDAY}: {WEDNESDAY}."

    # What is done is left as it is.
    runs = len(world.runs("ingest"))
    assert running.run_days(world.pipeline, MONDAY, MONDAY, world.api, said.append, train=False)
    assert len(world.runs("ingest")) == runs


@pytest.mark.long
def test_a_command_says_what_is_held_and_why_a_training_failed(world):
    world.at(f"{TUESDAY} 04:30")
    world.deliver(MONDAY)
    world.deliver(TUESDAY, corrupt="seconds")
    said: list[str] = []
    assert not running.run_days(world.pipeline, MONDAY, TUESDAY, world.api, said.append, train=False)
    assert any(line.startswith(f"  arrivals {MONDAY} is held: ") for line in said), said
    assert "  What was wrong, and how it goes on: sluice held flights" in said
    assert not running.run_days(world.pipeline, MONDAY, MONDAY, world.api, said.append, train=True)
    assert any("flights_train failed" in line and "days" in line for line in said), said


@pytest.mark.long
def test_a_zone_that_is_changed_moves_the_next_run_and_the_timetables_and_repeats_nothing(world):
    """From New York to Halifax, an hour earlier: 04:00 there is 03:00 on the clock that the test sets."""
    watched = ("reconcile", "watch", "maintain")
    assert {_next_run(world, stage) for stage in watched} == {"2028-02-29T05:00:00Z"}
    world.at(f"{MONDAY} 04:00")
    world.deliver(MONDAY, *world.pipeline.sources)
    world.reconcile()
    world.run("watch")
    _is_done(world, MONDAY)

    declared = settings().pipelines / "flights.yml"
    before = declared.read_text()
    world.at(f"{MONDAY} 12:00")
    try:
        declared.write_text(before.replace("timezone: America/New_York\n", "timezone: America/Halifax\n"))
        moved = replace(world, pipeline=spec.load("flights"))
        assert moved.pipeline.timezone == "America/Halifax"
        for stage in watched:
            _parse(moved, stage)
        moved.run("watch")
        moved.at(f"{TUESDAY} 02:59")
        moved.reconcile()
        assert (_states(moved, TUESDAY), moved.left()) == ({}, [])
        moved.at(f"{TUESDAY} 03:00")
        moved.deliver(TUESDAY)
        moved.reconcile()
        moved.run("watch")
        for run_day in (MONDAY, TUESDAY):
            _is_done(moved, run_day)
        for stage in ("ingest", "transform", "score", "monitor"):
            assert Counter(run["partition_key"] for run in moved.runs(stage)) == {MONDAY: 1, TUESDAY: 1}
        assert moved.subjects() == []
        assert {_next_run(moved, stage) for stage in watched} == {"2028-02-29T04:00:00Z"}
    finally:
        declared.write_text(before)
        for stage in watched:
            _parse(world, stage)


def _details(world, stage):
    return world.api.request("GET", f"/dags/flights_{stage}/details").json()


def _next_run(world, stage):
    return _details(world, stage)["next_dagrun_run_after"]


def _parse(world, stage):
    """Let the file of a stage's DAG be parsed now, and wait until it was."""
    parsed = _details(world, stage)
    world.api.request("PUT", f"/parseDagFile/{parsed['file_token']}", accept=(201,))
    world.api.until(
        lambda: _details(world, stage)["last_parsed_time"] > parsed["last_parsed_time"] or None,
        f"the parsing of {parsed['fileloc']}",
        120,
    )
