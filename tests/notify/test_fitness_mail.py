"""The daily mail to stakeholders: what the page Today says of yesterday, once, and to nobody else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sluice import crossing, ledger, notify
from sluice.core.runs import Run
from sluice.declare.spec import PREDICTIONS
from sluice.lake import tables
from sluice.ledger import records
from sluice.notify import delivery, faults, fitness_mail
from sluice.notify.send import Smtp
from sluice.notify.webhook import Webhook
from sluice.status import today
from sluice_lab import feed
from tests.notify.reading import body

FIRST, SECOND, THIRD = "2013-04-02", "2013-04-03", "2013-04-04"
RUN = Run(dag_id="flights_ingest", run_id="test")
PEOPLE = ("desk@example.com", "planning@example.com")


@pytest.fixture
def asked(flights):
    """flights, whose stakeholders want to be told."""
    return flights.model_copy(update={"stakeholders": PEOPLE})


def publish(flights, day, *names):
    for table in names:
        tables.publish(crossing.stage(flights, table, [day], RUN), verdict_id="unjudged")


@pytest.mark.slow
def test_stakeholders_are_told_once_a_day_what_the_page_says_of_yesterday(asked, sink, mails, closed_port):
    smtp, folder, _ = sink
    assert notify.tell_stakeholders(asked, smtp) is None, "before the feed has begun there is no day"
    feed.deliver(asked, FIRST)
    publish(asked, FIRST, "schedule", "weather", "airlines", "airports", "planes", "arrivals", "features")
    publish(asked, FIRST, PREDICTIONS)
    assert notify.tell_stakeholders(asked, smtp) is None, "of a day that is not over nothing is said"

    names = [name.split("/")[0] for name in feed.deliver(asked, SECOND, corrupt="seconds")]
    page = today.read(asked, last=FIRST)
    nobodys = asked.model_copy(update={"stakeholders": ()})
    assert notify.tell_stakeholders(nobodys, smtp) is None
    # A message would be posted to nowhere, and recorded.
    entry = notify.tell_stakeholders(asked, Smtp(smtp.host, smtp.port, webhook=Webhook("", "slack_flights")))
    assert notify.tell_stakeholders(asked, smtp) is None, "once a day"

    (mail,) = mails(folder)
    assert (entry.record.status, entry.partition) == ("fitness", FIRST)
    assert [one.record.status for one in ledger.entries(records.Mail)] == ["fitness"], "no webhook is told"
    assert mail["To"] == ", ".join(PEOPLE)
    assert mail["Subject"] == f"[sluice][DAILY] flights {FIRST}: fit for use with reservations"
    assert page.sentence == f"The predictions of {FIRST} are fit for use with reservations."
    sentences = (
        page.sentence,
        "Because: The baseline has scored, and no model.",
        "At present, scored by: the baseline, and no model; measured: nothing yet; held: nothing.",
    )
    html = mail.get_body(("html",)).get_content()
    for sentence in sentences:
        assert sentence in body(mail)
    for part in ("fit for use with reservations", "The baseline has scored, and no model.", "flights-data"):
        assert part in html
    assert "FACTS" not in body(mail)

    publish(asked, SECOND, *(name for name in asked.sources if name in names and name != "arrivals"))
    manifest = crossing.stage(asked, "arrivals", [SECOND], RUN)
    assert crossing.audit(asked, "arrivals", manifest.batch_id, RUN).outcome == "HOLD"
    feed.deliver(asked, THIRD)
    # As the mail of a table that is called so.
    tables_own = records.Mail(
        event="held", status="posted", message="another-webhook", webhook="slack_flights"
    )
    ledger.append(tables_own, pipeline="flights", subject=fitness_mail.SUBJECT, partition=SECOND)
    failed = notify.tell_stakeholders(asked, Smtp("127.0.0.1", closed_port))
    assert (failed.record.status, failed.partition) == ("failed", SECOND)
    assert notify.tell_stakeholders(asked, smtp) is None, "it waits to be sent again"

    notify.retry_failed(asked, smtp)

    told = mails(folder)[-1]
    assert told["To"] == ", ".join(PEOPLE), "not to the operators"
    assert told["Subject"] == f"[sluice][DAILY] flights {SECOND}: not made"
    assert f"The predictions of {SECOND} are not made: readers see those of {FIRST}" in body(told)
    assert "Because: arrivals 2013-04-02 is held: " in body(told)
    assert "held: 1" in body(told)
    assert faults.undelivered() == []
    assert len(mails(folder)) == 2


@pytest.mark.parametrize(
    ("fitness", "reasons", "said"),
    [
        ("fit", (), "No rule warns of them; a model has made them in time"),
        ("reservations", ("One.", "Two.", "Three.", "Four."), "Because: One; Two; Three; and 1 more."),
        ("not_made", (), "No reason is recorded."),
    ],
)
def test_second_sentence_says_what_stands_against_it(asked, fitness, reasons, said):
    found = today.Today(
        pipeline="flights",
        title="t",
        now=None,
        run_day=FIRST,
        fitness=fitness,
        sentence="A sentence.",
        reasons=reasons,
        scorer="version 3",
        monitoring="",
        held=0,
        oldest_days=0,
        next_run=None,
        strip=(),
    )
    assert fitness_mail._event(asked, found, FIRST).summary.startswith(said)
    arrivals = asked.sources["arrivals"].model_copy(update={"pii": "direct"})
    persons = asked.model_copy(update={"sources": {**asked.sources, "arrivals": arrivals}})
    told = fitness_mail._event(persons, found, FIRST).summary
    assert "Two" not in told, "a reason may quote values"
    assert ("about persons" in told) == bool(reasons)


def test_second_sentence_about_tables_says_nothing_of_a_model(asked):
    found = today.Today(
        pipeline="flights", title="t", now=None, run_day=FIRST, fitness="fit", sentence="A sentence.", reasons=(),
        scorer="", monitoring="", held=0, oldest_days=0, next_run=None, strip=(),
    )  # fmt: skip
    plain = asked.model_copy(update={"model": None})
    said = fitness_mail._why(plain, found)
    assert said == fitness_mail._FIT_TABLES
    assert "model" not in said


def failed_mail(asked, smtp):
    """The entry of a fitness mail that no server takes."""
    found = today.Today(
        pipeline="flights", title="t", now=None, run_day=FIRST, fitness="fit", sentence="A sentence.", reasons=(),
        scorer="", monitoring="", held=0, oldest_days=0, next_run=None, strip=(),
    )  # fmt: skip
    event = fitness_mail._event(asked, found, FIRST)
    return delivery.post_or_record(asked, event, smtp, incident=event.key, status="fitness")


def test_mail_goes_to_todays_stakeholders_and_is_given_up_where_there_are_none(
    asked, sink, mails, closed_port
):
    smtp, folder, _ = sink
    assert failed_mail(asked, Smtp("127.0.0.1", closed_port)).record.status == "failed"
    delivery.send_undelivered("flights", smtp, sender="sluice@localhost", to=["oncall@example.com"])
    assert mails(folder) == [], "who is no watcher does not know whose it is"

    notify.retry_failed(asked.model_copy(update={"stakeholders": ("right@example.com",)}), smtp)
    (mail,) = mails(folder)
    assert mail["To"] == "right@example.com"


def test_mail_to_stakeholders_that_are_declared_no_more_is_given_up(asked, sink, mails, closed_port):
    failed_mail(asked, Smtp("127.0.0.1", closed_port))
    notify.retry_failed(asked.model_copy(update={"stakeholders": ()}), sink[0])
    assert mails(sink[1]) == []
    assert faults.undelivered() == []
    assert ledger.entries(records.Mail, limit=1)[0].record.status == "dropped"


def test_entry_of_a_failed_mail_is_found_behind_two_newer_ones_of_its_subject(
    asked, closed_port, monkeypatch
):
    post = delivery.post

    def overtaken(event, *what, **how):
        try:
            return post(event, *what, **how)
        finally:
            for number in (1, 2):
                faults.record(event, "", "posted", "a message", {"message": f"{number}", "webhook": "slack"})

    monkeypatch.setattr(delivery, "post", overtaken)
    entry = failed_mail(asked, Smtp("127.0.0.1", closed_port))
    assert (entry.record.status, entry.record.webhook) == ("failed", "")


@pytest.mark.parametrize(
    ("hour", "mark", "run_day", "waits"),
    [
        (7, "open", SECOND, True),
        (12, "open", SECOND, False),
        (7, "held", SECOND, False),
        (7, "open", FIRST, False),
    ],
)
def test_day_that_is_merely_not_finished_is_waited_for_until_noon(asked, hour, mark, run_day, waits):
    found = today.Today(
        pipeline="flights", title="t", now=datetime(2013, 4, 4, hour, tzinfo=UTC), run_day=run_day, fitness="not_made",
        sentence="Not made.", reasons=(), scorer="", monitoring="", held=0, oldest_days=0, next_run=None,
        strip=((run_day, mark),),
    )  # fmt: skip
    live = asked.model_copy(update={"clock": "wall"})
    assert fitness_mail._may_come(live, found, SECOND) == waits
