"""RESOLVED means that readers see the day, or that a person or its age gave it up; never that a file is there."""

from __future__ import annotations

import pytest

from sluice import crossing, holds, ledger, notify
from sluice.core.runs import Run
from sluice.ledger import records
from sluice.ledger.records import EndsWith
from sluice.notify import faults, report
from sluice_lab import feed
from tests.notify.reading import DATA_DAY, TASK_URL, body, refused, tell
from tests.notify.reading import RUN_DAY as DAY

RUN = Run(dag_id="flights_ingest", run_id="test")
WORD = {"by": "admin", "why": "The minutes are not used today.", "until": "2013-04-10"}


def missing(flights, smtp):
    """No delivery, mailed as the watcher does."""
    event = report.of_missed_deadline(flights, "arrivals", DATA_DAY, run_day=DAY, task_url=TASK_URL)
    return tell(event, smtp)


def as_earlier_version(flights, smtp):
    """The incident of a refused delivery as the ledgers of earlier versions have it."""
    entry = refused(flights, smtp)
    about = {"pipeline": "flights", "subject": "stage_arrivals", "partition": DATA_DAY}
    old = {**entry.data, "ends_with": "staged arrivals", "seen_as": "old", "status": "counted"}
    return ledger.append(records.Mail(**old), **about)


def staged(flights, **delivery):
    """What the stage task of the next run does, once something is there."""
    feed.deliver(flights, DAY, sources=["arrivals"], number=2, **delivery)
    return crossing.stage(flights, "arrivals", [DAY], RUN)


def published(flights, smtp, manifest):
    verdict = crossing.audit(flights, "arrivals", manifest.batch_id, RUN)
    crossing.publish(flights, "arrivals", verdict.publish_batch_id, RUN)
    notify.close_published(flights, "arrivals", DATA_DAY, smtp)
    return ledger.entries(kind="published", subject="arrivals", limit=1)[0]


def open_faults() -> list[str]:
    return [
        incident.opened.data["event"] for incident in faults.incidents("flights") if not incident.is_resolved
    ]


@pytest.mark.parametrize("begin", [refused, missing, as_earlier_version])
def test_fault_ends_with_the_publication_and_names_the_delivery_and_since_when(flights, sink, mails, begin):
    smtp, folder, _ = sink
    begin(flights, smtp)

    manifest = staged(flights)
    notify.retry_failed(flights, smtp)  # what the watcher does

    assert len(mails(folder)) == 1, "the file is there, and readers see nothing of it"
    entry = published(flights, smtp, manifest)
    first, last = mails(folder)
    assert last["In-Reply-To"] == first["Message-ID"]
    assert "arrivals_2013-04-03_2.csv.gz" in body(last)
    since = f"{entry.at:%Y-%m-%d %H:%M} UTC"
    assert f"Readers now see the arrivals of {DATA_DAY}, since {since}." in body(last)
    assert open_faults() == []


@pytest.mark.parametrize("begin", [refused, missing, as_earlier_version])
def test_publication_that_nobody_told_is_told_by_the_watcher(flights, sink, mails, begin):
    smtp, folder, _ = sink
    begin(flights, smtp)
    manifest = staged(flights)
    verdict = crossing.audit(flights, "arrivals", manifest.batch_id, RUN)
    crossing.publish(flights, "arrivals", verdict.publish_batch_id, RUN)

    notify.retry_failed(flights, smtp)

    assert "RESOLVED" in mails(folder)[-1]["Subject"]
    assert open_faults() == []


@pytest.mark.parametrize(
    ("begin", "said"),
    [
        (refused, "Replaced by arrivals_2013-04-03_2.csv.gz, which was released by admin"),
        (missing, "The delivery came: arrivals_2013-04-03_2.csv.gz. It was released by admin"),
    ],
)
def test_delivery_that_came_and_was_held_ends_both_faults_when_it_is_released(
    flights, sink, mails, begin, said
):
    smtp, folder, _ = sink
    begin(flights, smtp)
    manifest = staged(flights, corrupt="seconds")
    verdict = crossing.audit(flights, "arrivals", manifest.batch_id, RUN)
    tell(report.of_verdict(flights, verdict, task_url=TASK_URL), smtp)
    notify.retry_failed(flights, smtp)
    assert not [mail for mail in mails(folder) if "RESOLVED" in mail["Subject"]], "nothing is published"

    holds.release(flights, "arrivals", DATA_DAY, **WORD, run=RUN)
    notify.close_published(flights, "arrivals", DATA_DAY, smtp)

    first, held, *ends = mails(folder)
    told = {mail["In-Reply-To"]: body(mail) for mail in ends}
    assert said in told[first["Message-ID"]]
    assert "Released by admin" in told[held["Message-ID"]]
    assert open_faults() == []


@pytest.mark.parametrize("begin", [refused, missing])
def test_day_that_a_person_gave_up_ends_its_faults_and_says_who_and_why(flights, sink, mails, begin):
    smtp, folder, _ = sink
    begin(flights, smtp)
    data = {"by": "operator@example.com", "why": "The airport lost the file."}
    ledger.append(records.Skipped(**data), pipeline="flights", subject="arrivals", partition=DATA_DAY)

    notify.retry_failed(flights, smtp)

    last = mails(folder)[-1]
    assert "RESOLVED" in last["Subject"]
    assert "Given up by operator@example.com: The airport lost the file." in body(last)
    assert "Readers see of arrivals what they saw before" in body(last)
    assert open_faults() == []


@pytest.mark.parametrize("kind", ["held", "quarantined"])
def test_that_a_hold_has_expired_ends_no_fault_but_a_person_who_gives_it_up_does(flights, sink, mails, kind):
    smtp, folder, _ = sink
    refused(flights, smtp)
    data = {"kind": kind, "batch_id": None, "rows": 3, "hold_days": 30}
    ledger.append(records.Expired(**data), pipeline="flights", subject="arrivals", partition=DATA_DAY)

    notify.retry_failed(flights, smtp)
    assert (len(open_faults()), len(mails(folder))) == (1, 1)

    given_up = records.Skipped(by="Ada", why="The airport lost the file.")
    ledger.append(given_up, pipeline="flights", subject="arrivals", partition=DATA_DAY)
    notify.retry_failed(flights, smtp)
    assert open_faults() == []
    assert "Given up by Ada" in body(mails(folder)[-1])


def test_range_of_a_weekly_source_is_over_with_the_days_that_were_delivered(flights, sink):
    smtp, _, _ = sink
    days = "2013-04-01..2013-04-07"
    event = report.of_missed_deadline(flights, "airlines", days, run_day=days, task_url=TASK_URL)
    tell(event, smtp)
    about = {"pipeline": "flights", "subject": "airlines", "partition": "2013-04-01"}
    ledger.append(records.Published(batch_id="20300101T000000000000-aaaaaa"), **about)

    notify.close_published(flights, "airlines", "2013-04-01", smtp)

    assert open_faults() == []


def test_completed_day_that_nobody_told_is_told_by_the_watcher(flights, held, sink, mails):
    smtp, folder, _ = sink
    tell(held.model_copy(update={"partition": DAY, "ends_with": EndsWith.of("completed")}), smtp)
    about = {"pipeline": "flights", "subject": "raw", "partition": DAY}
    ledger.append(records.DayCompleted(first_day=DAY), **about)

    notify.retry_failed(flights, smtp)

    assert f"The day {DAY} is complete" in body(mails(folder)[-1])


def test_incident_of_what_is_no_day_does_not_keep_others_from_being_told_over(flights, held, sink, mails):
    """An earlier version recorded the partition key as it was given, whatever it was."""
    smtp, folder, _ = sink
    for ends_with in (EndsWith.of("completed"), EndsWith.of("published", "arrivals")):
        tell(
            held.model_copy(
                update={"partition": "yesterday", "cause": ends_with.how, "ends_with": ends_with}
            ),
            smtp,
        )
    missing(flights, smtp)

    published(flights, smtp, staged(flights))

    assert "RESOLVED" in mails(folder)[-1]["Subject"]
    assert "missing_delivery" not in open_faults()
