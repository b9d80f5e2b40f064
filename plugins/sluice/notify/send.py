"""Handing one mail to a real SMTP server: taken, or an error that says what to correct."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Literal

from sluice.core.errors import MailUndeliveredError
from sluice.notify.webhook import Webhook

# Seconds that a server may take to answer. A mail is sent by a task that has failed already: it must not hang too.
TIMEOUT = 10.0


@dataclass(frozen=True)
class Smtp:
    """Where mails are handed in. `tls`: no encryption, STARTTLS on the plain port, or TLS from the first byte.

    `connection` is the Airflow connection it was read from, named in errors. `webhook` is told the same beside it, where the
    pipeline declares one.
    """

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    tls: Literal["none", "starttls", "ssl"] = "none"
    connection: str = "smtp_default"
    webhook: Webhook | None = None


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


def _connect(smtp: Smtp) -> smtplib.SMTP:
    if smtp.tls == "ssl":
        return smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=TIMEOUT, context=ssl.create_default_context())
    return smtplib.SMTP(smtp.host, smtp.port, timeout=TIMEOUT)


def is_about_the_mail(error: MailUndeliveredError) -> bool:
    """Whether the server answers and will not take this one mail, so that another one may still go through."""
    cause = error.__cause__
    return isinstance(
        cause, smtplib.SMTPDataError | smtplib.SMTPRecipientsRefused | smtplib.SMTPSenderRefused
    )


def _undelivered(smtp: Smtp, error: Exception) -> MailUndeliveredError:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        todo = f"correct the login and password of the Airflow connection {smtp.connection!r}"
    elif isinstance(error, smtplib.SMTPRecipientsRefused):
        todo = "correct `mail_to` (of the mail [DAILY], `stakeholders`) in the pipeline's YAML, or ask the server's operator why it refuses them"
    else:
        todo = (
            f"start the server, or correct host, port and TLS of the Airflow connection {smtp.connection!r}"
        )
    return MailUndeliveredError(
        f"The SMTP server {smtp.host}:{smtp.port} did not take the mail: {type(error).__name__}: {error}.",
        where=f"Airflow connection {smtp.connection!r}",
        todo=todo,
    )
