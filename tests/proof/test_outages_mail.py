"""The mail server is down, refuses, hangs, or drops the connection: the mail is queued, shown, and sent when it is back.

A real SMTP server whose faults the test switches, at one address all the while.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from click.testing import CliRunner

from sluice import ledger, notify
from sluice.cli import main
from sluice.core.errors import DatabaseUnavailableError, MailUndeliveredError
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.ledger import records
from sluice.notify import faults, resend
from sluice.notify.events import Event
from sluice.notify.send import Smtp

SENDER, TO = "sluice@localhost", ["oncall@example.com"]

# Fault -> what its mail is queued with.
FAULTS = {
    "down": "refused",
    "auth": "SMTPAuthenticationError",
    "later": "451",
    "never": "554",
    "hangs": "timed out",
    "cut_in_data": "SMTPServerDisconnected",
    "lost": "SMTPServerDisconnected",
}


class Server:
    """An SMTP server that keeps what it takes, and does one fault at a time: see `FAULTS`."""

    def __init__(self) -> None:
        self.fault, self.kept, self.refuses = "", [], ""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.controller = self._controller(self.port)
        self.controller.start()

    @property
    def smtp(self) -> Smtp:
        return Smtp("127.0.0.1", self.port, user="sluice", password="a-password")

    @property
    def subjects(self) -> list[str]:
        return [mail["Subject"] for mail in self.kept]

    def turn(self, fault: str) -> None:
        """From now on do this; "" to work."""
        if self.fault == "down" != fault:
            self.controller = self._controller(self.port)
            self.controller.start()
        if fault == "down" != self.fault:
            self.controller.stop()
        self.fault = fault

    def stop(self) -> None:
        if self.fault != "down":
            self.controller.stop()

    def authenticate(self, server, session, envelope, mechanism, login) -> AuthResult:
        return AuthResult(success=self.fault != "auth", handled=False)

    async def handle_DATA(self, server, session, envelope) -> str:
        if self.fault == "hangs":
            # Until the client has given up.
            await _closed(server)
            return "451 too late"
        mail = message_from_bytes(envelope.content, policy=policy.default)
        if self.fault == "later":
            return "451 come again"
        if self.fault == "never" and (not self.refuses or self.refuses in mail["Subject"]):
            return "554 not this one"
        self.kept.append(mail)
        if self.fault == "lost":
            server.transport.abort()
        return "250 kept"

    def _controller(self, port: int) -> Controller:
        outer = self

        class Cutting(SMTP):
            async def smtp_DATA(self, arg: str) -> None:
                if outer.fault == "cut_in_data":
                    await self.push("354 go on")
                    await self._reader.readline()
                    self.transport.abort()
                    return
                await super().smtp_DATA(arg)

        class Controlled(Controller):
            def factory(self) -> SMTP:
                return Cutting(
                    self.handler,
                    authenticator=outer.authenticate,
                    auth_require_tls=False,
                    **{**self.SMTP_kwargs, "enable_SMTPUTF8": True},
                )

        return Controlled(self, hostname="127.0.0.1", port=port)


async def _closed(server: SMTP) -> None:
    while not server.transport.is_closing():
        await asyncio.sleep(0.02)  # how often to look; what is waited for is the client


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


def event(number: int) -> Event:
    """A fault of its own: one mail each."""
    return Event(
        kind="failed_task",
        pipeline="flights",
        subject=f"task_{number}",
        partition=f"2013-02-0{number}",
        cause=f"cause {number}",
        owner="airport-operations",
        summary="It failed.",
        next_steps=["Look at it."],
        links={"The failed task": "http://127.0.0.1:8080/dags"},
        occurred_at=datetime(2013, 2, 9, 9, 15, 4, tzinfo=UTC),
    )


def deliver(number: int, server: Server) -> ledger.Entry:
    return notify.deliver(event(number), server.smtp, sender=SENDER, to=TO)


@pytest.mark.parametrize("fault", FAULTS)
def test_mail_that_was_not_taken_is_queued_shown_and_sent_later_in_order_once(
    home, server, fault, monkeypatch, proofs
):
    monkeypatch.setattr("sluice.notify.send.TIMEOUT", 0.3)
    server.turn(fault)
    started = time.monotonic()
    for number in (1, 2, 3):
        with pytest.raises(MailUndeliveredError, match=FAULTS[fault]):
            deliver(number, server)
    took = time.monotonic() - started

    assert took < 10, "a server that does not answer is not waited for longer than its timeout"
    queued = faults.undelivered("flights")
    assert [entry.subject for entry in queued] == ["task_1", "task_2", "task_3"]
    shown = CliRunner().invoke(main, ["held", "flights"]).output
    for entry, line in zip(queued, faults.undelivered_lines(), strict=True):
        assert entry.data["mail_subject"] in line
        assert entry.data["mail_subject"] in shown
    assert "a-password" not in shown + str([entry.data for entry in queued])

    # One that the server did keep is sent again with the same identity: its answer was lost.
    before = len(server.kept)
    server.turn("")
    flights = spec.load("flights")
    resend.retry_failed(flights, server.smtp)
    resend.retry_failed(flights, server.smtp)

    assert server.subjects[before:] == [entry.data["mail_subject"] for entry in queued]
    assert {mail["Message-ID"] for mail in server.kept[:before]} <= {
        mail["Message-ID"] for mail in server.kept[before:]
    }
    assert not faults.undelivered("flights")
    assert "Not delivered" not in CliRunner().invoke(main, ["held", "flights"]).output
    proofs("outage", f"SMTP {fault}", queued=len(queued), seconds=f"{took:.1f}")


def test_mail_that_the_server_will_never_take_does_not_hold_up_the_others(home, server, proofs):
    server.turn("down")
    for number in (1, 2, 3):
        with pytest.raises(MailUndeliveredError):
            deliver(number, server)
    server.turn("never")
    server.refuses = "task_2"

    resend.retry_failed(spec.load("flights"), server.smtp)

    assert ["task_1" in server.subjects[0], "task_3" in server.subjects[1]] == [True, True]
    assert [entry.subject for entry in faults.undelivered("flights")] == ["task_2"]
    proofs("outage", "SMTP refuses one mail of three for good")


def test_fault_is_told_though_the_ledger_does_not_answer(home, server, monkeypatch, proofs):
    """Nobody would learn of it otherwise: what cannot be recorded cannot be sent later either."""
    monkeypatch.setenv("SLUICE_LOCK_SECONDS", "0.2")
    settings.cache_clear()
    ledger.append(records.Expired(), pipeline="flights", subject="arrivals")
    with closing(sqlite3.connect(home / "ledger.db", isolation_level=None)) as somebody_else:
        somebody_else.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseUnavailableError, match=r"ledger\.db"):
            deliver(1, server)
    assert len(server.kept) == 1

    # The same fault, met again by the next try.
    deliver(1, server)
    assert len({mail["Message-ID"] for mail in server.kept}) == 1
    assert [entry.data["status"] for entry in ledger.entries(kind="mail")] == ["sent"]
    proofs("outage", "ledger locked while a fault is told", mails=len(server.kept))


@pytest.mark.slow
@pytest.mark.parametrize("point", ["ledger.before_commit", "ledger.appended"])
def test_process_killed_after_the_server_took_the_mail_sends_it_again_under_the_same_identity(
    home, server, point, proofs
):
    """A mail twice is a nuisance; a fault that nobody heard of is damage. `ledger.appended`: it was recorded, so once."""
    code = (
        "import sys\n"
        "from sluice import notify\n"
        "from sluice.notify.events import Event\n"
        "from sluice.notify.send import Smtp\n"
        "event = Event.model_validate_json(sys.argv[1])\n"
        f"smtp = Smtp('127.0.0.1', {server.port}, user='sluice', password='a-password')\n"
        f"notify.deliver(event, smtp, sender={SENDER!r}, to={TO!r})\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, event(1).model_dump_json()],
        env={**os.environ, "SLUICE_HOME": str(settings().home), "SLUICE_FAILPOINT": f"{point}=kill"},
        check=False,
    )
    assert killed.returncode == -9
    assert len(server.kept) == 1
    recorded = point == "ledger.appended"

    entry = deliver(1, server)

    assert entry.data["status"] == ("counted" if recorded else "sent")
    assert len(server.kept) == (1 if recorded else 2)
    assert len({mail["Message-ID"] for mail in server.kept}) == 1
    assert [one.data["status"] for one in ledger.entries(kind="mail")].count("sent") == 1
    proofs("crash point", f"a mail's {point}", mails=len(server.kept))
