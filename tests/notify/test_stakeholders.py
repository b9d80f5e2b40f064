"""What goes to those who use the data beside the operators: a roll-back and its end, and nothing else that a person has to repair."""

from __future__ import annotations

import pytest

from sluice import ledger, notify
from sluice.core.errors import MailUndeliveredError
from sluice.ledger import model_records, records
from sluice.notify import delivery, report
from sluice.notify.send import Smtp

DAY = "2013-04-03"
URL = "http://127.0.0.1:8080/"
DESK = "desk@example.com"


@pytest.fixture
def used(flights):
    """flights, whose predictions somebody uses."""
    return flights.model_copy(update={"stakeholders": (DESK,)})


@pytest.fixture
def roll_back(used):
    """The event of a roll-back after which a day is scored again."""
    moved = model_records.RolledBack(version=1, previous=2, by="ada", why="Random.", reasons=["Random."])
    entry = ledger.append(moved, pipeline="flights", subject=used.model.name)
    return report.of_roll_back(used, entry, made=[DAY], again=[DAY], task_url=URL)


def _send(spec, event, smtp) -> None:
    notify.deliver(event, smtp, sender="sluice@localhost", to=spec.mail_to, stakeholders=spec.stakeholders)


def test_roll_back_and_its_one_end_go_to_them_and_to_the_operators_and_other_mails_do_not(
    used, roll_back, sink, mails
):
    smtp, folder, _ = sink
    _send(used, roll_back, smtp)
    stuck = report.of_stuck_model(used, "It drops.", since=DAY, task_url=URL)
    _send(used, stuck, smtp)
    ledger.append(records.Published(batch_id="b"), pipeline="flights", subject="predictions", partition=DAY)
    for _ in range(2):
        notify.close_published(used, "predictions", DAY, smtp)
    told = {mail["Subject"].split("]")[1]: mail["To"] for mail in mails(folder)}
    both = ", ".join([*used.mail_to, DESK])
    assert told == {"[ROLLED BACK": both, "[STUCK": ", ".join(used.mail_to), "[RESOLVED": both}
    first, _, last = mails(folder)
    assert last["In-Reply-To"] == first["Message-ID"], "one incident"


def test_undelivered_roll_back_waits_for_who_knows_the_stakeholders_and_is_sent_to_both(
    used, roll_back, sink, mails, closed_port
):
    smtp, folder, _ = sink
    stuck = report.of_stuck_model(used, "It drops.", since=DAY, task_url=URL)
    for event in (roll_back, stuck):
        with pytest.raises(MailUndeliveredError):
            _send(used, event, Smtp("127.0.0.1", closed_port))
    delivery.send_undelivered("flights", smtp, sender="sluice@localhost", to=used.mail_to)
    (mail,) = mails(folder)
    assert "[STUCK]" in mail["Subject"]
    notify.retry_failed(used, smtp)
    _, mail = mails(folder)
    assert mail["To"] == ", ".join([*used.mail_to, DESK])


def test_roll_back_is_not_given_up_where_nobody_uses_the_predictions(
    used, roll_back, sink, mails, closed_port
):
    with pytest.raises(MailUndeliveredError):
        _send(used, roll_back, Smtp("127.0.0.1", closed_port))
    notify.retry_failed(used.model_copy(update={"stakeholders": ()}), sink[0])
    (mail,) = mails(sink[1])
    assert mail["To"] == ", ".join(used.mail_to)
