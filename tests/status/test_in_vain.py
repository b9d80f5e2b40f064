"""What is started again and again and does not come to be is one mail, and one more when it is done or given up."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from sluice import crossing, holds, ledger, notify, status
from sluice.core.runs import Run
from sluice.lake import tables
from sluice.ledger import model_records
from sluice.notify import faults, report, stuck
from sluice.status import reconcile
from sluice_lab import feed
from tests.notify.reading import body, tell

RUN = Run(dag_id="flights_reconcile", run_id="test")
MONDAY = "2013-04-01"
IDLE = dict.fromkeys(reconcile.STARTS, 0)
DAILY = ("schedule", "arrivals", "weather")
URL = "http://127.0.0.1:8080/dags/flights_reconcile"


@pytest.fixture
def look(live, at, sink):
    """Function: what the reconciler does at each look from a time of Monday to another, while no run does anything."""
    smtp, _, _ = sink

    def looked(first: str, last: str) -> None:
        now, end = (datetime.fromisoformat(f"{MONDAY} {clock}") for clock in (first, last))
        while now <= end:
            at(f"{now:%Y-%m-%d %H:%M}")
            found = status.of(live)
            starts = reconcile.plan(live, IDLE, found)
            for start in starts:
                reconcile.record(live, start, RUN)
            for event in stuck.events(live, starts, task_url=URL):
                tell(event, smtp)
            notify.done(live, found, smtp)
            now += timedelta(minutes=5)

    return looked


def _publish(live, *names):
    for table in names:
        tables.publish(crossing.stage(live, table, [MONDAY], RUN), verdict_id="unjudged")


def test_a_day_that_is_started_in_vain_is_one_mail_and_one_more_when_it_is_done(live, at, look, sink, mails):
    _, folder, _ = sink
    feed.deliver(live, MONDAY)
    look("07:00", "08:05")
    assert mails(folder) == [], "it has been started three times, and may still come"
    look("08:10", "12:00")
    (mail,) = mails(folder)
    assert (
        mail["Subject"].strip() == "[sluice][STUCK] flights_ingest 2013-04-01: started 3 times, and not done"
    )
    assert "arrivals 2013-03-31 is ready: delivery 1 is there" in body(mail)
    assert "The predictions of 2013-04-01 are not made" in body(mail)
    _publish(live, "schedule")
    look("12:05", "12:05")
    assert len(mails(folder)) == 1, "two of its sources are not published"
    _publish(live, *live.sources)
    look("12:10", "12:10")
    first, last = mails(folder)
    assert last["In-Reply-To"] == first["Message-ID"]
    assert last["Subject"].strip().startswith("[sluice][RESOLVED] flights flights_ingest 2013-04-01")
    assert all(incident.is_resolved for incident in faults.incidents("flights"))


def test_a_day_that_a_person_gives_up_ends_it(live, look, sink, mails):
    _, folder, _ = sink
    feed.deliver(live, MONDAY)
    look("07:00", "08:10")
    holds.skip(live, MONDAY, by="Ada", why="The worker's disk is lost.", run=RUN)
    look("08:15", "08:15")
    first, last = mails(folder)
    assert last["In-Reply-To"] == first["Message-ID"]
    assert "Given up by Ada: The worker's disk is lost." in body(last)


def test_a_delivery_that_is_awaited_or_missing_is_not_started_in_vain(live, look, sink, mails):
    _, folder, _ = sink
    look("04:00", "10:00")
    assert mails(folder) == []


def test_what_a_mail_tells_already_is_not_told_again(live, at, look, sink, mails):
    smtp, folder, _ = sink
    feed.deliver(live, MONDAY)
    at("2013-04-01 07:00")
    failed = report.of_exception(
        live, ValueError("no"), task_id="arrivals.stage_arrivals", run_id="r", partition=MONDAY,
        task_url=URL, dag_id="flights_ingest",
    )  # fmt: skip
    tell(failed, smtp)
    look("07:00", "09:00")
    assert len(mails(folder)) == 1


def test_monitoring_that_is_started_in_vain_is_told_and_over_when_it_has_decided(live, at, look, sink, mails):
    _, folder, _ = sink
    feed.deliver(live, MONDAY, sources=list(live.sources))
    at("2013-04-01 07:00")
    _publish(live, *live.sources, "features", "outcomes", "predictions")
    look("07:03", "09:00")
    (mail,) = mails(folder)
    assert (
        mail["Subject"].strip() == "[sluice][STUCK] flights_monitor 2013-04-01: started 3 times, and not done"
    )
    assert "The predictions of 2013-04-01 are not measured yet." in body(mail)
    model = live.model.name
    ledger.append(
        model_records.Decided(action="nothing"), pipeline="flights", subject=model, partition=MONDAY
    )
    look("09:05", "09:05")
    assert "monitoring 2013-04-01 is published" in body(mails(folder)[-1])
