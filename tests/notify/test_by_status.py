"""A failure is over when what it was about is done, also where the ledger has no later entry of it."""

from __future__ import annotations

import pytest

from sluice import crossing, holds, ledger, notify, status
from sluice.core.runs import Run
from sluice.lake import tables
from sluice.ledger import model_records, records
from sluice.ledger.kinds import KINDS
from sluice.ledger.records import EndsWith
from sluice.notify import by_status, faults, report
from sluice.notify.failed_runs import of_failed_run
from sluice.status import training
from sluice_lab import feed
from tests.notify.reading import TASK_URL, body, tell

DAY = "2013-04-01"
RUN = Run(dag_id="flights_ingest", run_id="test")
WORD = {"by": "Ada", "why": "It is lost.", "run": RUN}


@pytest.fixture
def live(live_flights, at):
    at(f"{DAY} 04:00")
    feed.deliver(live_flights, DAY)
    return live_flights


@pytest.fixture
def look(live, sink, mails):
    """Function: the subjects of all mails after the reconciler has looked."""
    smtp, folder, _ = sink

    def looked() -> list[str]:
        notify.done(live, status.of(live), smtp)
        return [mail["Subject"].strip() for mail in mails(folder)]

    return looked


def publish(live, *names):
    for table in names:
        tables.publish(crossing.stage(live, table, [DAY], RUN), verdict_id="unjudged")


def failed_run(live, dag_id):
    about = {"run_id": "r1", "partition": DAY, "task": "complete_day", "run_url": TASK_URL}
    return of_failed_run(live, dag_id=dag_id, reason="task_failure", **about)


def failed_task(live, task):
    about = {"task_id": task, "run_id": "r1", "partition": DAY, "dag_id": "flights_ingest"}
    return report.of_exception(live, None, **about, task_url=TASK_URL)


def are_over() -> bool:
    return all(incident.is_resolved for incident in faults.incidents("flights"))


def test_run_that_was_killed_before_its_day_was_complete_is_over_when_all_sources_are_published(
    live, sink, mails, look
):
    smtp, folder, _ = sink
    publish(live, "schedule", "arrivals")
    tell(failed_run(live, "flights_ingest"), smtp)
    assert len(look()) == 1, "two sources are not published"
    publish(live, "weather", "airlines", "airports", "planes")
    assert len(look()) == 2
    first, last = mails(folder)
    assert last["In-Reply-To"] == first["Message-ID"]
    assert f"schedule {DAY} is published." in body(last)
    assert are_over()


@pytest.mark.parametrize("dag_id", ["flights_ingest", "flights_transform", "flights_score"])
def test_run_whose_day_was_given_up_is_over(live, sink, look, dag_id):
    smtp, _, _ = sink
    tell(failed_run(live, dag_id), smtp)
    assert len(look()) == 1
    holds.skip(live, DAY, **WORD)
    assert len(look()) == 2
    assert are_over()


def test_training_that_failed_is_over_when_a_person_gives_it_up(live, sink, look):
    smtp, _, _ = sink
    asked = KINDS["retrain_requested"]()
    ledger.append(asked, pipeline="flights", subject=live.model.name, partition=DAY)
    tell(failed_run(live, "flights_train"), smtp)
    assert len(look()) == 1
    training.skip(live, DAY, **WORD)
    assert len(look()) == 2
    assert are_over()


def test_training_that_was_answered_and_fails_when_it_is_started_again_is_not_over(live, sink, look):
    smtp, _, _ = sink
    for kind in ("retrain_requested", "promoted"):
        about = {"pipeline": "flights", "subject": live.model.name, "partition": DAY}
        ledger.append(KINDS[kind](**({"version": 1} if kind == "promoted" else {})), **about)
    tell(failed_run(live, "flights_train"), smtp)
    assert len(look()) == 1


def test_task_in_which_a_person_was_asked_is_over_when_nobody_is_waited_for_any_more(live, sink):
    smtp, _, _ = sink
    shadowed = live.model_copy(update={"model": live.model.model_copy(update={"shadow_days": 14})})
    about = {"pipeline": "flights", "subject": live.model.name, "partition": DAY}
    entered = model_records.EnteredShadow(version=2, champion=None, since=0, decision=1, days=14)
    begun = ledger.append(entered, **about).seq
    ledger.append(model_records.ApprovalRequested(version=2, decision=1, entered_shadow=begun), **about)
    tell(failed_run(live, "flights_promote"), smtp)
    notify.done(shadowed, status.of(shadowed), smtp)
    assert not are_over()
    ledger.append(records.Refused(version=2, reasons=["No."]), **about)
    notify.done(shadowed, status.of(shadowed), smtp)
    assert are_over()


def test_task_of_a_day_that_was_published_before_is_over_unless_something_newer_has_come(live, sink, look):
    smtp, _, _ = sink
    publish(live, "arrivals")
    feed.deliver(live, DAY, sources=["arrivals"], number=2, corrupt="seconds")
    tell(failed_task(live, "arrivals.stage_arrivals"), smtp)
    assert len(look()) == 1, "readers see an older delivery"
    publish(live, "arrivals")
    assert len(look()) == 2


def test_delivery_that_was_published_before_its_mail_went_out_is_missing_no_more(live, sink, mails, look):
    smtp, folder, _ = sink
    late = report.of_missed_deadline(live, "arrivals", "2013-03-31", run_day=DAY, task_url=TASK_URL)
    publish(live, "arrivals")
    tell(late, smtp)
    assert len(look()) == 2
    assert "arrivals 2013-03-31 is published." in body(mails(folder)[-1])
    assert are_over()


def test_delivery_that_came_is_named_whoever_tells_first_that_it_did(live, sink, mails, look):
    smtp, folder, _ = sink
    tell(report.of_missed_deadline(live, "arrivals", "2013-03-31", run_day=DAY, task_url=TASK_URL), smtp)
    manifest = crossing.stage(live, "arrivals", [DAY], RUN)
    tables.publish(manifest, verdict_id="unjudged")
    published = records.Published(batch_id=manifest.batch_id, rows=manifest.rows)
    ledger.append(published, pipeline="flights", subject="arrivals", partition="2013-03-31")
    assert len(look()) == 2
    assert "The delivery came: arrivals_2013-03-31.csv.gz." in body(mails(folder)[-1])


def test_fault_of_a_table_is_over_when_the_table_is_declared_no_more(live, sink, mails):
    smtp, folder, _ = sink
    tell(report.of_missed_deadline(live, "weather", "2013-03-31", run_day=DAY, task_url=TASK_URL), smtp)
    tell(failed_task(live, "weather.stage_weather"), smtp)
    notify.done(live, status.of(live), smtp)
    assert len(mails(folder)) == 2
    left = {name: source for name, source in live.sources.items() if name != "weather"}
    retired = live.model_copy(update={"sources": left})
    notify.done(retired, status.of(retired), smtp)
    assert len(mails(folder)) == 4
    assert "weather is not declared any more." in body(mails(folder)[-1])
    assert are_over()


@pytest.mark.parametrize(
    ("event", "subject", "partition", "ends_with"),
    [
        ("waiver_expired", "schedule", DAY, "published schedule"),
        ("failed_run", "flights_backfill", "2013-03-01", "completed"),
        ("failed_run", "flights_ingest", None, "succeeded complete_day"),
    ],
)
def test_fault_of_rows_that_readers_see_or_of_what_no_status_tells_of_stays(
    live, event, subject, partition, ends_with
):
    publish(live, "schedule")
    mail = records.Mail(event=event, ends_with=EndsWith.model_validate(ends_with))
    seen = ledger.append(mail, pipeline="flights", subject=subject, partition=partition)
    assert not by_status.has_ended(live, status.of(live), seen)
