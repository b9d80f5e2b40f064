"""The message beside a mail, posted to a real HTTP server: taken, refused, slow, busy; its URL is a secret."""

from __future__ import annotations

import json
import logging
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sluice import ledger, notify
from sluice.core.errors import MailUndeliveredError, MessageRefusedError
from sluice.ledger import records
from sluice.notify import faults, webhook
from sluice.notify.events import Event
from sluice.notify.send import Smtp
from sluice.notify.webhook import Webhook
from tests.notify.reading import publication

UNSEEN = "T00/B00/very-secret"
UNSEEN_TOO = "very-secret"
ATTACK = "<!channel> <@U1> <https://evil.example|click> & *x*"


class Slack:
    """A server that answers as `answers` says, one after the other, then 200, and keeps what it took."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str]] | threading.Event] = []
        self.asked: list[str] = []
        self.taken: list[dict] = []
        slack = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                slack.asked.append(self.path)
                answer = slack.answers.pop(0) if slack.answers else (200, {})
                if isinstance(answer, threading.Event):
                    answer.wait(30)
                    return
                status, headers = answer
                if status == 200:
                    slack.taken.append(json.loads(body))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.hook = Webhook(f"http://127.0.0.1:{self.server.server_port}/services/{UNSEEN}", "slack_flights")


@pytest.fixture
def slack():
    found = Slack()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


@pytest.fixture
def quick(monkeypatch):
    """Pauses that a test need not wait for; what the server asks for is kept."""
    pauses: list[float] = []

    def pause(state):
        pauses.append(real(state))
        return 0

    real = webhook._pause
    monkeypatch.setattr(webhook, "_pause", pause)
    return pauses


def both(smtp: Smtp, hook: Webhook) -> Smtp:
    return Smtp(smtp.host, smtp.port, webhook=hook)


def deliver(event: Event, smtp: Smtp):
    return notify.deliver(event, smtp, sender="sluice@localhost", to=["oncall@example.com"])


def texts(taken: dict) -> str:
    return "\n".join(block["text"]["text"] for block in taken["blocks"])


def statuses() -> list[str]:
    return [entry.record.status for entry in reversed(ledger.entries(records.Mail))]


def test_message_says_what_the_mail_says_first_and_no_row_of_the_data(slack, held):
    event = held.model_copy(update={"probable_cause": "air_time is about 60 times as large: seconds?"})
    webhook.post(event, slack.hook)

    (taken,) = slack.taken
    assert set(taken) == {"text", "blocks"}
    subject = "[sluice][HOLD] flights arrivals 2013-02-08: 2 of 14 rules failed, 930 rows held"
    assert taken["text"].startswith(subject)
    said = texts(taken)
    for part in (
        f"*{subject}*",
        event.effect,
        "Probable cause: air_time is about 60 times as large: seconds?",
        "• delay_in_minutes: 412 values are outside -120 to 1500",
        f"Next: {event.next_steps[0]}",
        "|Open the evidence>",
        "Owner airport-operations, 2013-02-09 09:15:04 UTC",
    ):
        assert part in said, part
    assert "N509JB" not in said, "a channel has more readers than a mail"
    assert all(block["text"]["verbatim"] and block["type"] == "section" for block in taken["blocks"])
    assert slack.asked == [f"/services/{UNSEEN}"]


def test_message_with_hostile_values_mentions_nobody_and_links_nowhere(held):
    hostile = Event(
        **{
            **held.model_dump(),
            "subject": ATTACK,
            "effect": ATTACK * 200,
            "probable_cause": ATTACK,
            "next_steps": [ATTACK],
            "owner": ATTACK,
            "links": {ATTACK: "https://x.example/?a=1&b=<!here>|y>"},
            "sections": [{"title": ATTACK, "items": [{"lead": ATTACK, "text": ATTACK}] * 9}],
        }
    )
    found = webhook.message(hostile)
    said = [found["text"], *(block["text"]["text"] for block in found["blocks"])]
    controls = [control for text in said for control in re.findall(r"<[^>]*>", text)]
    assert controls == [
        "<https://x.example/?a=1&amp;b=&lt;!here&gt;%7Cy&gt;|"
        "&lt;!channel&gt; &lt;@U1&gt; &lt;https://evil.example|click&gt; &amp; *x*>"
    ]
    assert all(len(text) <= 3000 for text in said)
    assert "and 6 more" in texts(found)
    for before in range(5):
        long = held.model_copy(update={"effect": "x" * before + "<" * 2000, "rules": ()})
        text = webhook.message(long)["blocks"][0]["text"]["text"]
        assert re.search(r"&(?!amp;|lt;|gt;)", text) is None, "half of an escaped character, where it is cut"


@pytest.mark.parametrize(
    ("answers", "pauses"),
    [
        ([(500, {})], [1]),
        ([(503, {}), (502, {})], [1, 2]),
        ([(429, {"Retry-After": "3"})], [3]),
        ([(429, {"Retry-After": "soon"})], [1]),
    ],
)
def test_server_that_fails_or_is_busy_is_asked_again_after_the_pause_that_it_wants(
    slack, held, quick, answers, pauses
):
    slack.answers = list(answers)
    webhook.post(held, slack.hook)
    assert len(slack.taken) == 1
    assert quick == pauses


@pytest.mark.parametrize(
    ("answer", "times", "said", "error"),
    [
        ((500, {}), 3, "it answered 500", MailUndeliveredError),
        ((429, {"Retry-After": "3600"}), 1, "to come again after 3600 s", MailUndeliveredError),
        ((404, {}), 1, "it answered 404", MailUndeliveredError),
        ((302, {"Location": "/elsewhere"}), 1, "it answered 302", MailUndeliveredError),
        ((400, {}), 1, "it answered 400", MessageRefusedError),
    ],
)
def test_message_that_is_not_taken_is_an_error_that_names_the_connection_and_not_the_url(
    slack, held, quick, caplog, answer, times, said, error
):
    caplog.set_level(logging.DEBUG)
    slack.answers = [answer] * times
    with pytest.raises(MailUndeliveredError, match=said) as caught:
        webhook.post(held, slack.hook)
    assert type(caught.value) is error
    assert len(slack.asked) == times, "and the redirect is not followed"
    assert "'slack_flights'" in str(caught.value)
    told = f"{caught.value} {caught.value!r} {caught.value.__cause__} {slack.hook!r} {caplog.text}"
    assert UNSEEN not in told


def test_url_is_in_no_log_of_a_message_that_was_taken(slack, held, caplog):
    caplog.set_level(logging.DEBUG)
    webhook.post(held, slack.hook)
    assert slack.taken
    assert UNSEEN not in caplog.text


def test_slow_or_absent_server_is_given_up_in_bounded_time(slack, held, quick, monkeypatch, closed_port):
    monkeypatch.setattr(webhook, "TIMEOUT", 0.2)
    answered = threading.Event()
    slack.answers = [answered] * webhook.ATTEMPTS
    try:
        with pytest.raises(MailUndeliveredError, match="ReadTimeout"):
            webhook.post(held, slack.hook)
    finally:
        answered.set()
    assert len(slack.asked) == webhook.ATTEMPTS
    with pytest.raises(MailUndeliveredError, match="ConnectError"):
        webhook.post(held, Webhook(f"http://127.0.0.1:{closed_port}/{UNSEEN}", "slack_flights"))


@pytest.mark.parametrize(
    "hook",
    [
        Webhook("", "slack_flights"),
        Webhook(f"ftp://x/{UNSEEN}", "slack_flights"),
        Webhook(f"https://[/{UNSEEN}", "slack_flights"),
        Webhook("", "slack_flights", problem="it could not be read (AirflowNotFoundException)"),
    ],
)
def test_connection_without_a_usable_url_says_so_and_not_what_it_holds(held, hook):
    with pytest.raises(MailUndeliveredError, match="'slack_flights'") as caught:
        webhook.post(held, hook)
    assert UNSEEN not in str(caught.value)


# Exceptions of httpx's set-up, which are no `httpx.HTTPError`.
@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ALL_PROXY", f"socks5://user:{UNSEEN_TOO}@127.0.0.1:9", "ImportError"),
        ("HTTP_PROXY", f"gopher://{UNSEEN_TOO}", "ValueError"),
        ("SSL_CERT_FILE", f"/nowhere/{UNSEEN_TOO}", "FileNotFoundError"),
    ],
)
def test_environment_that_no_client_can_be_made_in_is_recorded_and_stops_no_mail(
    flights, sink, slack, held, mails, monkeypatch, variable, value, said
):
    smtp = both(sink[0], slack.hook)
    monkeypatch.setenv(variable, value)
    assert deliver(held, smtp).record.status == "sent"
    publication("2013-02-08")
    notify.retry_failed(flights, smtp)

    assert len(mails(sink[1])) == 2, "the fault and its end"
    failed = [entry.record for entry in ledger.entries(records.Mail) if entry.record.status == "failed"]
    assert failed
    assert all(said in one.error and UNSEEN_TOO not in one.error for one in failed)

    monkeypatch.delenv(variable)
    notify.retry_failed(flights, smtp)
    assert len(slack.taken) == 2
    assert faults.undelivered_lines("flights") == []


def test_message_that_is_refused_again_is_given_up_with_its_reason_and_the_next_is_posted(
    flights, sink, slack, held, quick
):
    smtp = both(sink[0], slack.hook)
    slack.answers = [(400, {})]
    deliver(held, smtp)
    slack.answers = [(500, {})] * 3
    deliver(Event(**{**held.model_dump(), "cause": "another"}), smtp)
    slack.answers = [(400, {})]
    notify.retry_failed(flights, smtp)
    assert statuses()[-2:] == ["dropped", "posted"]
    (given_up,) = [entry for entry in ledger.entries(records.Mail) if entry.record.status == "dropped"]
    assert (
        "refused again: The webhook of the Airflow connection 'slack_flights'" in given_up.record.reasons[0]
    )
    assert faults.undelivered_lines("flights") == []


def test_mails_do_not_wait_for_the_webhook(flights, sink, slack, held, quick, closed_port):
    slack.answers = [(500, {})] * 3
    with pytest.raises(MailUndeliveredError):
        deliver(held, both(Smtp("127.0.0.1", closed_port), slack.hook))
    notify.retry_failed(flights, both(sink[0], slack.hook))
    assert statuses() == ["failed", "failed", "sent", "posted"]


def test_one_fault_is_one_message_and_one_more_when_it_is_over(flights, sink, slack, held, mails):
    smtp = both(sink[0], slack.hook)
    for _ in range(3):
        deliver(held, smtp)
    publication("2013-02-08")
    notify.close_published(flights, "arrivals", "2013-02-08", smtp)

    subjects = [str(mail["Subject"]) for mail in mails(sink[1])]
    assert [texts(taken).split("*")[1] for taken in slack.taken] == subjects
    assert [subject.split("]")[1] for subject in subjects] == ["[HOLD", "[RESOLVED"]
    assert statuses() == ["sent", "posted", "counted", "counted", "resolved", "posted"]
    assert {entry.record.webhook for entry in ledger.entries(records.Mail)} == {"", "slack_flights"}
    (incident,) = faults.incidents("flights", held.fault)
    assert incident.is_resolved
    assert UNSEEN not in json.dumps([entry.data for entry in ledger.entries()])


def test_message_that_fails_neither_loses_nor_fails_the_mail_and_the_watcher_posts_it(
    flights, sink, slack, held, mails, quick, caplog
):
    smtp = both(sink[0], slack.hook)
    slack.answers = [(500, {})] * 3

    assert deliver(held, smtp).record.status == "sent"

    assert len(mails(sink[1])) == 1
    assert statuses() == ["sent", "failed"]
    assert "'slack_flights' did not take the message: it answered 500" in caplog.text
    (line,) = faults.undelivered_lines("flights")
    assert "[HOLD] flights arrivals 2013-02-08" in line
    assert "it answered 500" in line
    deliver(Event(**{**held.model_dump(), "cause": "another"}), smtp)
    assert len(slack.taken) == 1, "only the watcher comes back to it, not each mail"

    slack.answers = [(404, {})]
    notify.retry_failed(flights, smtp)
    assert faults.undelivered_lines("flights") == [line], "as the record of its first attempt"
    notify.retry_failed(flights, smtp)
    notify.retry_failed(flights, smtp)

    assert faults.undelivered_lines("flights") == []
    assert len(slack.taken) == 2
    assert len(mails(sink[1])) == 2, "no mail was sent again for it"


def test_message_is_posted_where_no_server_takes_the_mail(flights, sink, slack, held, mails, closed_port):
    with pytest.raises(MailUndeliveredError):
        deliver(held, both(Smtp("127.0.0.1", closed_port), slack.hook))
    assert len(slack.taken) == 1
    assert statuses() == ["failed", "posted"]

    notify.retry_failed(flights, both(sink[0], slack.hook))

    assert len(mails(sink[1])) == 1
    assert len(slack.taken) == 1, "the mail that comes later is no second message"


def test_failed_resolved_mail_returns_its_own_entry_and_not_the_messages(
    flights, sink, slack, held, closed_port
):
    deliver(held, both(sink[0], slack.hook))
    publication("2013-02-08")
    (entry,) = notify.close_published(
        flights, "arrivals", "2013-02-08", both(Smtp("127.0.0.1", closed_port), slack.hook)
    )
    assert (entry.record.status, entry.record.webhook) == ("failed", "")
    assert len(slack.taken) == 2


def test_message_of_a_pipeline_that_declares_no_webhook_any_more_is_given_up(
    flights, sink, slack, held, quick
):
    slack.answers = [(500, {})] * 3
    deliver(held, both(sink[0], slack.hook))
    notify.retry_failed(flights, sink[0])
    assert statuses() == ["sent", "failed", "dropped"]
    assert faults.undelivered_lines("flights") == []
    notify.retry_failed(flights, sink[0])
    assert len(statuses()) == 3
