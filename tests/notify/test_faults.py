"""One fault, one mail, however often it is seen, by whomever; one more when it is over; none is lost."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import date, timedelta

import pytest
from pydantic import ConfigDict

from sluice import ledger, notify
from sluice.core.errors import (
    DatabaseUnavailableError,
    LakeUnreachableError,
    LandingUnreachableError,
    LedgerEntryInvalidError,
    MailUndeliveredError,
)
from sluice.core.settings import settings
from sluice.ledger import records
from sluice.ledger.record import Record
from sluice.notify import faults, report
from sluice.notify.events import Event
from sluice.notify.send import Smtp
from tests.notify.reading import body

SENDER, TO = "sluice@localhost", ["oncall@example.com"]


def changed(event: Event, **fields) -> Event:
    return Event(**{**event.model_dump(), **fields})


def deliver(event: Event, smtp: Smtp) -> ledger.Entry:
    return notify.deliver(event, smtp, sender=SENDER, to=TO)


def published(day: str, batch_id: str = "later") -> None:
    """What the crossing records when it publishes arrivals."""
    ledger.append(records.Published(batch_id=batch_id), pipeline="flights", subject="arrivals", partition=day)


def statuses() -> dict[str, int]:
    return dict(Counter(entry.data["status"] for entry in ledger.entries(kind="mail")))


@pytest.mark.slow
def test_burst_from_several_processes_is_one_mail_and_one_resolved(flights, sink, held, mails):
    smtp, folder, _ = sink
    days = [(date(2013, 2, 1) + timedelta(days=n)).isoformat() for n in range(100)]
    code = (
        "import json, sys\n"
        "from sluice import notify\n"
        "from sluice.notify.events import Event\n"
        "from sluice.notify.send import Smtp\n"
        "event, days = json.loads(sys.argv[1]), sys.argv[2:]\n"
        "for day in days:\n"
        "    one = Event(**{**event, 'partition': day, 'occurrence': day})\n"
        f"    notify.deliver(one, Smtp({smtp.host!r}, {smtp.port}), sender={SENDER!r}, to={TO!r})\n"
    )
    parts = [days[n::4] for n in range(4)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, held.model_dump_json(), *part], stderr=subprocess.PIPE, text=True
        )
        for part in parts
    ]
    errors = [process.communicate(timeout=240)[1] for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0, 0], errors
    assert statuses() == {"sent": 1, "counted": 99}
    assert len(mails(folder)) == 1

    for day in days:
        published(day)
        notify.close_published(flights, "arrivals", day, smtp)

    first, last = mails(folder)
    assert last["Subject"] == "[sluice][RESOLVED] flights arrivals: all 100 partitions are over"
    assert last["In-Reply-To"] == last["References"] == first["Message-ID"]
    assert "100 times" in body(last)
    assert "Readers now see the arrivals of 100 partitions, since" in body(last)
    assert statuses() == {"sent": 1, "counted": 99, "cleared": 99, "resolved": 1}


def test_same_occurrence_is_counted_and_told_again_only_after_it_was_over(flights, sink, held, mails):
    smtp, folder, _ = sink
    for _ in range(3):
        deliver(held, smtp)
    assert statuses() == {"sent": 1, "counted": 2}
    published("2013-02-08")
    notify.close_published(flights, "arrivals", "2013-02-08", smtp)
    notify.close_published(flights, "arrivals", "2013-02-08", smtp)

    assert deliver(held, smtp).data["status"] == "sent"

    subjects = [mail["Subject"].split("]")[1].strip("[") for mail in mails(folder)]
    assert subjects == ["HOLD", "RESOLVED", "HOLD"]
    assert len({mail["Message-ID"] for mail in mails(folder)}) == 3


def test_another_day_or_another_cause_is_told_as_the_window_says(flights, sink, held, mails, monkeypatch):
    smtp, folder, _ = sink
    deliver(held, smtp)
    other_day = changed(held, partition="2013-02-09", occurrence="other")
    assert deliver(other_day, smtp).data["status"] == "counted"
    assert deliver(changed(held, cause="another_rule"), smtp).data["status"] == "sent"

    monkeypatch.setenv("SLUICE_MAIL_WINDOW_MINUTES", "0")
    settings.cache_clear()
    assert deliver(changed(other_day, partition="2013-02-10"), smtp).data["status"] == "sent"
    assert deliver(held, smtp).data["status"] == "counted", "a repetition stays one, however late"

    published("2013-02-10")
    notify.close_published(flights, "arrivals", "2013-02-10", smtp)
    last = mails(folder)[-1]
    assert "[RESOLVED] flights arrivals 2013-02-10" in last["Subject"], "an older fault does not hide its end"


def test_missing_delivery_is_one_fault_for_the_task_and_the_watcher(flights, sink, mails):
    from sluice.core.errors import DeliveryMissingError

    smtp, folder, _ = sink
    missing = DeliveryMissingError("No complete delivery of 'arrivals'.", todo="ask for it")
    by_task = report.of_exception(
        flights,
        missing,
        task_id="arrivals.stage_arrivals",
        run_id="r1",
        dag_id="flights_ingest",
        partition="2013-04-04",
        task_url="http://x/task",
    )
    by_watcher = report.of_missed_deadline(
        flights, "arrivals", "2013-04-03", run_day="2013-04-04", task_url="http://x/watch"
    )
    deliver(by_watcher, smtp)
    assert deliver(by_task, smtp).data["status"] == "counted"
    (mail,) = mails(folder)
    assert mail["Subject"] == "[sluice][MISSING] flights arrivals 2013-04-03: not delivered"


@pytest.mark.parametrize(
    "out", [LandingUnreachableError, LakeUnreachableError, DatabaseUnavailableError, LedgerEntryInvalidError]
)
def test_landing_zone_bucket_database_or_ledger_that_cannot_be_read_is_one_fault_for_all_tasks(
    flights, sink, mails, out
):
    smtp, folder, _ = sink
    for task in ("find_deliveries", "arrivals.stage_arrivals", "weather.stage_weather"):
        error = out("The bucket 'landing' does not answer.", where=task, todo="look at it")
        event = report.of_exception(
            flights,
            error,
            task_id=task,
            run_id="r1",
            dag_id="flights_ingest",
            partition="2013-04-04",
            task_url="http://x/task",
        )
        deliver(event, smtp)
    assert statuses() == {"sent": 1, "counted": 2}

    published("2013-04-03")
    notify.close_published(flights, "arrivals", "2013-04-03", smtp)
    notify.close_completed(flights, ["2013-04-04"], smtp)
    assert len(mails(folder)) == 1, "the weather is not there yet"
    ledger.append(
        records.Published(batch_id="later"), pipeline="flights", subject="weather", partition="2013-04-03"
    )
    notify.close_published(flights, "weather", "2013-04-03", smtp)
    assert "RESOLVED" in mails(folder)[-1]["Subject"]


def test_fault_is_told_though_an_entry_about_a_mail_cannot_be_read(home, sink, held, mails):
    class OfAnotherVersion(Record, kind="mail"):
        model_config = ConfigDict(extra="allow")

    ledger.append(OfAnotherVersion(episode=7), pipeline="flights", subject="arrivals")
    smtp, folder, _ = sink
    with pytest.raises(
        LedgerEntryInvalidError, match="Entry 1 of the ledger, of kind mail, cannot be read: episode: "
    ):
        deliver(held, smtp)
    assert len(mails(folder)) == 1


def test_undelivered_mails_are_kept_and_sent_in_order_once(flights, sink, held, mails, closed_port):
    smtp, folder, _ = sink
    dead = Smtp("127.0.0.1", closed_port)
    with pytest.raises(MailUndeliveredError):
        deliver(held, dead)
    assert deliver(changed(held, partition="2013-02-09"), dead).data["status"] == "counted"
    published("2013-02-08")
    published("2013-02-09")
    notify.close_published(flights, "arrivals", "2013-02-08", dead)
    notify.close_published(flights, "arrivals", "2013-02-09", dead)
    assert [entry.data["event"] for entry in notify.undelivered("flights")] == ["held_batch", "resolved"]
    assert len(faults.undelivered_lines("flights")) == 2
    assert faults.undelivered_lines("another") == []
    assert notify.retry_failed(flights, dead) == []

    sent = notify.retry_failed(flights, smtp)

    assert [entry.data["status"] for entry in sent] == ["sent", "resolved"]
    assert notify.retry_failed(flights, smtp) == notify.undelivered() == []
    first, last = mails(folder)
    assert (first["To"], last["In-Reply-To"]) == (flights.mail_to[0], first["Message-ID"])
    assert "Seen: twice" in body(last) or "Seen: 2 times" in body(last)


def test_next_mail_that_goes_through_takes_the_undelivered_with_it(flights, sink, held, mails, closed_port):
    smtp, folder, _ = sink
    with pytest.raises(MailUndeliveredError):
        deliver(held, Smtp("127.0.0.1", closed_port))

    deliver(changed(held, cause="another_rule"), smtp)

    assert len(mails(folder)) == 2
    assert notify.undelivered("flights") == []


def test_end_that_nobody_told_is_told_by_the_watcher(flights, sink, held, mails):
    smtp, folder, _ = sink
    deliver(held, smtp)
    published("2013-02-08")  # and the process dies before it says so

    notify.retry_failed(flights, smtp)

    assert "RESOLVED" in mails(folder)[-1]["Subject"]
    assert all(incident.is_resolved for incident in faults.incidents("flights"))


def test_every_status_is_readable_in_the_ledger(flights, sink, held, closed_port):
    from click.testing import CliRunner

    from sluice.cli import main

    smtp, _, _ = sink
    with pytest.raises(MailUndeliveredError):
        deliver(held, Smtp("127.0.0.1", closed_port))
    deliver(changed(held, partition="2013-02-09"), smtp)
    for day in ("2013-02-08", "2013-02-09"):
        published(day)
        notify.close_published(flights, "arrivals", day, smtp)

    shown = CliRunner().invoke(main, ["ledger", "--kind", "mail"]).output

    for status in (
        "failed: [sluice][HOLD]",
        "counted: seen 2 times",
        "sent: [sluice][HOLD]",
        "cleared: ",
        "resolved: [",
    ):
        assert status in shown


def test_what_is_told_once_and_never_over_keeps_nothing_from_being_settled(flights, sink, held):
    smtp, _, _ = sink
    decided = records.Refused(version=3, reasons=["It is no better."])
    refused = report.of_refusal(flights, decided, partition="2013-04-01", task_url="http://x/")
    deliver(refused, smtp)
    assert refused.links["Model"].endswith("/plugin/evidence/evidence/_/model/flights")
    assert faults.open_from("flights") is None
    first = deliver(held, smtp)
    assert faults.open_from("flights") == first.seq
    assert deliver(refused, smtp).data["status"] == "counted"
