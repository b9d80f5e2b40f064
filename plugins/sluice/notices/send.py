"""Delivery: real SMTP, at most one mail for each cause, and a record of every attempt.

The record is written after the server took the mail. A crash between the two sends it again with the same
Message-ID: a mail twice is a nuisance, a fault that nobody heard of is damage.
"""

from __future__ import annotations

import fcntl
import smtplib
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Literal

from sluice import ledger
from sluice.errors import MailUndeliveredError
from sluice.notices.compose import compose
from sluice.notices.events import Event
from sluice.settings import settings

# Seconds that a server may take to answer. A mail is sent by a task that has failed already: it must not hang too.
TIMEOUT = 10.0


@dataclass(frozen=True)
class Smtp:
    """Where mails are handed in. `tls`: no encryption, STARTTLS on the plain port, or TLS from the first byte.

    `connection` is the Airflow connection it was read from, named in errors.
    """

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    tls: Literal["none", "starttls", "ssl"] = "none"
    connection: str = "smtp_default"


def send(message: EmailMessage, smtp: Smtp) -> dict[str, str]:
    """Hand `message` to the server.

    Returns:
        Recipients that the server refused, with its reason, where it took the mail for others.

    Raises:
        MailUndeliveredError: the server cannot be reached, or took the mail for nobody.
    """
    try:
        with _connect(smtp) as client:
            if smtp.tls == "starttls":
                client.starttls(context=ssl.create_default_context())
            if smtp.user:
                client.login(smtp.user, smtp.password)
            refused = client.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        raise _undelivered(smtp, error) from error
    return {to: f"{code} {reason.decode(errors='replace')}" for to, (code, reason) in refused.items()}


def deliver(event: Event, smtp: Smtp, *, sender: str, to: Sequence[str]) -> ledger.Entry | None:
    """Send the mail about `event` unless it was sent before, and record it in the ledger either way.

    Returns:
        The ledger's entry of the mail, or None if a mail for the same cause was sent already.

    Raises:
        MailUndeliveredError: the server did not take it; recorded with status `failed`.
    """
    with _alone(event.key):
        if any(
            entry.data.get("key") == event.key and entry.data.get("status") == "sent"
            for entry in ledger.entries(
                kind="mail", pipeline=event.pipeline, subject=event.subject, partition=event.partition
            )
        ):
            return None
        message = compose(event, sender=sender, to=to)
        about = {"key": event.key, "event": event.kind, "mail_subject": message["Subject"], "to": list(to)}

        def record(once: str | None, **outcome: object) -> ledger.Entry:
            return ledger.append(
                "mail",
                pipeline=event.pipeline,
                subject=event.subject,
                partition=event.partition,
                data={**about, **outcome},
                once=once,
            )

        try:
            refused = send(message, smtp)
        except MailUndeliveredError as error:
            record(None, status="failed", error=str(error))
            raise
        return record(f"mail:{event.key}", status="sent", refused=refused)


def _connect(smtp: Smtp) -> smtplib.SMTP:
    if smtp.tls == "ssl":
        return smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=TIMEOUT, context=ssl.create_default_context())
    return smtplib.SMTP(smtp.host, smtp.port, timeout=TIMEOUT)


def _undelivered(smtp: Smtp, error: Exception) -> MailUndeliveredError:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        todo = f"correct the login and password of the Airflow connection {smtp.connection!r}"
    elif isinstance(error, smtplib.SMTPRecipientsRefused):
        todo = "correct `mail_to` in the pipeline's YAML, or ask the server's operator why it refuses them"
    else:
        todo = (
            f"start the server, or correct host, port and TLS of the Airflow connection {smtp.connection!r}"
        )
    return MailUndeliveredError(
        f"The SMTP server {smtp.host}:{smtp.port} did not take the mail: {type(error).__name__}: {error}.",
        where=f"Airflow connection {smtp.connection!r}",
        todo=todo,
    )


@contextmanager
def _alone(key: str) -> Iterator[None]:
    """Keep other processes of this machine from sending the same mail meanwhile; the lock dies with its holder."""
    folder = settings().work / "mail"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
