from __future__ import annotations

import socket
import time
from email import message_from_bytes
from email.policy import default

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from sluice import ledger
from sluice.core.errors import MailUndeliveredError
from sluice.notify import deliver
from sluice.notify.send import Smtp

SENDER = "sluice@localhost"
TO = ["flights-oncall@example.com"]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def server():
    """Start a real SMTP server with a handler and settings of its own; stops it at the end."""
    controllers = []

    def start(handler, **settings) -> Smtp:
        controller = Controller(handler, hostname="127.0.0.1", port=closed_port(), **settings)
        controller.start()
        controllers.append(controller)
        return Smtp("127.0.0.1", controller.port)

    yield start
    for controller in controllers:
        controller.stop()


def test_deliver_held_batch_arrives_and_is_recorded(home, sink, held):
    smtp, folder, _ = sink

    entry = deliver(held, smtp, sender=SENDER, to=TO)

    (path,) = folder.iterdir()
    mail = message_from_bytes(path.read_bytes(), policy=default)
    assert (
        mail["Subject"] == "[sluice][HOLD] flights arrivals 2013-02-08: 2 of 14 rules failed, 930 rows held"
    )
    assert mail["To"] == TO[0]
    assert mail.get_body(("html",)).get_content().lstrip().startswith("<!doctype html>")
    assert (entry.kind, entry.subject, entry.partition) == ("mail", "arrivals", "2013-02-08")
    assert entry.data["status"] == "sent"
    assert entry.data["mail_subject"] == mail["Subject"]
    assert ledger.entries(kind="mail") == [entry]


def test_deliver_to_a_closed_port_fails_promptly_and_says_what_to_correct(home, held):
    port = closed_port()
    started = time.monotonic()

    with pytest.raises(MailUndeliveredError) as caught:
        deliver(held, Smtp("127.0.0.1", port, connection="company_smtp"), sender=SENDER, to=TO)

    assert time.monotonic() - started < 5
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "'company_smtp'" in caught.value.todo
    (entry,) = ledger.entries(kind="mail")
    assert entry.data["status"] == "failed"
    assert f"127.0.0.1:{port}" in entry.data["error"]


def test_deliver_to_a_silent_server_gives_up_in_time(home, held, monkeypatch):
    monkeypatch.setattr("sluice.notify.send.TIMEOUT", 0.3)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(MailUndeliveredError, match="timed out"),
    ):
        deliver(held, Smtp("127.0.0.1", silent.getsockname()[1]), sender=SENDER, to=TO)


class Refusing:
    """Refuses the recipients named in it, takes the others."""

    def __init__(self, *names: str) -> None:
        self.names = names

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.names:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        return "250 OK"


def test_deliver_with_one_refused_recipient_records_who(home, server, held):
    smtp = server(Refusing("gone@example.com"))

    entry = deliver(held, smtp, sender=SENDER, to=[*TO, "gone@example.com"])

    assert entry.data["status"] == "sent"
    assert entry.data["refused"] == {"gone@example.com": "550 no such mailbox"}


def test_deliver_with_all_recipients_refused_is_undelivered(home, server, held):
    smtp = server(Refusing(*TO))

    with pytest.raises(MailUndeliveredError, match="no such mailbox") as caught:
        deliver(held, smtp, sender=SENDER, to=TO)

    assert "mail_to" in caught.value.todo


@pytest.mark.parametrize(("password", "status"), [("right", "sent"), ("wrong", "failed")])
def test_deliver_with_login_depends_on_the_password_and_never_tells_it(home, server, held, password, status):
    def authenticate(server, session, envelope, mechanism, login):
        return AuthResult(success=login.password == b"right", handled=False)

    plain = server(Refusing(), authenticator=authenticate, auth_require_tls=False)
    smtp = Smtp(plain.host, plain.port, user="sluice", password=password)

    if status == "sent":
        deliver(held, smtp, sender=SENDER, to=TO)
    else:
        with pytest.raises(MailUndeliveredError, match="SMTPAuthenticationError") as caught:
            deliver(held, smtp, sender=SENDER, to=TO)
        assert "login and password" in caught.value.todo

    (entry,) = ledger.entries(kind="mail")
    assert entry.data["status"] == status
    assert password not in repr(smtp) + str(entry.data)


def test_deliver_with_starttls_to_a_server_without_it_sends_nothing_in_the_clear(home, sink, held):
    smtp, folder, _ = sink

    with pytest.raises(MailUndeliveredError, match="STARTTLS"):
        deliver(held, Smtp(smtp.host, smtp.port, tls="starttls"), sender=SENDER, to=TO)

    assert list(folder.iterdir()) == []
