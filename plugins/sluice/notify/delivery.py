"""Delivery: one fault, one mail, and a record of everything that was seen, sent, or could not be sent.

The record of a mail is written after the server took it. A crash between the two sends it again with the same
Message-ID: a mail twice is a nuisance, a fault that nobody heard of is damage. A mail that no server took is recorded
with its whole event, and is sent by whoever comes next: the next delivery that works, or the watcher.

A webhook is told what a mail tells, after it, whether or not the mail was taken. Of a message that it did not take there is a
record like that of a mail, which belongs to no incident; only the watcher sends it again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from sluice import ledger
from sluice.core.errors import (
    DatabaseUnavailableError,
    LedgerEntryInvalidError,
    MailUndeliveredError,
    MessageRefusedError,
)
from sluice.core.settings import settings
from sluice.declare.spec import Pipeline
from sluice.ledger import Entry, locks, records
from sluice.notify import faults, webhook
from sluice.notify.compose import compose, sentences
from sluice.notify.events import Event
from sluice.notify.send import Smtp, is_about_the_mail, send
from sluice.notify.webhook import Webhook

log = logging.getLogger(__name__)


def recipients(event: Event, to: Sequence[str], stakeholders: Sequence[str]) -> list[str]:
    """Who gets the mail about `event`: the operators (`to`), the stakeholders alone, or both."""
    if event.kind == "fitness":
        return [*stakeholders]
    return [*dict.fromkeys([*to, *(stakeholders if event.for_stakeholders else ())])]


def deliver(
    event: Event, smtp: Smtp, *, sender: str, to: Sequence[str], stakeholders: Sequence[str] = ()
) -> Entry:
    """Send the mail about `event`, or count it, where its fault is open and was told already.

    Args:
        stakeholders: who gets it beside `to` where it is for them, too.

    Returns:
        The ledger's entry, of status `sent` or `counted`.

    Raises:
        MailUndeliveredError: the server did not take it; recorded with status `failed`, and retried later.
        DatabaseUnavailableError, LedgerEntryInvalidError: the ledger does not answer, or an entry about a mail cannot
            be read. The mail was sent, and is recorded nowhere.
    """
    people = recipients(event, to, stakeholders)
    with alone(event.fault):
        try:
            past = faults.incidents(event.pipeline, event.fault)
        except (DatabaseUnavailableError, LedgerEntryInvalidError):
            # Nobody knows whether it was told before; nobody would ever learn that it was not.
            send(compose(event, sender=sender, to=people, key=event.key), smtp)
            raise
        incident = faults.belongs_to(event, past, window_minutes=settings().mail_window_minutes)
        if incident:
            entry = _count(event, incident)
        else:
            entry = post(event, smtp, sender=sender, to=people, incident=_free_key(event, past))
    if incident is None or not incident.was_mailed:
        send_undelivered(event.pipeline, smtp, sender=sender, to=to)
    return entry


def post(
    event: Event,
    smtp: Smtp,
    *,
    sender: str,
    to: Sequence[str],
    incident: str,
    answers: str = "",
    status: str = "sent",
    **data: Any,
) -> Entry:
    """Send one mail and record it with `status`; then tell the webhook, where there is one.

    Args:
        incident: key of the incident that it belongs to.
        answers: key of the mail that it is a reply to; without one it begins a thread.

    Raises:
        MailUndeliveredError: recorded as `failed`, with all that is needed to send it later.
    """
    key = _message_key(incident, answers)
    try:
        return _post_mail(
            event,
            smtp,
            sender=sender,
            to=to,
            incident=incident,
            key=key,
            answers=answers,
            status=status,
            **data,
        )
    finally:
        if smtp.webhook:
            _post_message(event, smtp.webhook, key)


def _message_key(incident: str, answers: str) -> str:
    return f"{incident}-over" if answers else incident


def _post_mail(
    event: Event,
    smtp: Smtp,
    *,
    sender: str,
    to: Sequence[str],
    incident: str,
    key: str,
    answers: str,
    status: str,
    **data: Any,
) -> Entry:
    message = compose(event, sender=sender, to=to, key=key, answers=answers)
    about = {"message": key, "mail_subject": message["Subject"], "to": list(to), **data}
    if status == "sent":
        about |= faults.sighting(event)
    try:
        refused = send(message, smtp)
    except MailUndeliveredError as error:
        faults.record(
            event,
            incident,
            "failed",
            f"{message['Subject']}: {error}",
            {
                **about,
                "error": str(error),
                "when_sent": status,
                "answers": answers,
                # As text: the order of links and columns is part of the mail.
                "content": event.model_dump_json(),
            },
        )
        raise
    return faults.record(event, incident, status, message["Subject"], {**about, "refused": refused})


def _post_message(event: Event, hook: Webhook, key: str) -> None:
    """Post the message that goes with a mail and record it; one that was not taken is recorded, and never raised."""
    subject = sentences(event)["subject"]
    about = {"message": f"{key}-webhook", "webhook": hook.connection, "mail_subject": subject}
    try:
        webhook.post(event, hook)
    except MailUndeliveredError as error:
        log.warning("%s", error)
        again = {"error": str(error), "when_sent": "posted", "content": event.model_dump_json()}
        faults.record(event, "", "failed", f"{subject}: {error}", {**about, **again})
    else:
        faults.record(event, "", "posted", subject, about)


def post_or_record(spec: Pipeline, event: Event, smtp: Smtp, *, incident: str, **how: Any) -> Entry:
    """As `post`, of a pipeline's mail, to its `recipients`; returns the entry, also of one that no server took."""
    try:
        return post(
            event,
            smtp,
            sender=settings().mail_from,
            to=recipients(event, spec.mail_to, spec.stakeholders),
            incident=incident,
            **how,
        )
    except MailUndeliveredError:
        # Recorded as undelivered; other processes may have recorded others since.
        key = _message_key(incident, how.get("answers", ""))
        newest = ledger.entries(records.Mail, pipeline=spec.pipeline, subject=event.subject)
        return next(entry for entry in newest if entry.record.message == key)


def send_undelivered(
    pipeline: str, smtp: Smtp, *, sender: str, to: Sequence[str], stakeholders: Sequence[str] | None = None
) -> list[Entry]:
    """Send the mails that no server has taken, oldest first; at most one process is at it at a time.

    Args:
        stakeholders: who gets what is for them; without any what is theirs alone is given up, and where that is not known (None) it waits.

    Returns: the entries of those that were taken now.
    """
    if not faults.undelivered_mails(pipeline):
        return []
    sent = []
    with alone(f"retry-{pipeline}", wait=False) as alone_at_it:
        # Read again: whoever was at it before may have sent them.
        for entry in faults.undelivered_mails(pipeline) if alone_at_it else []:
            event = Event.model_validate_json(entry.record.content)
            if stakeholders is None and (event.kind == "fitness" or event.for_stakeholders):
                continue
            # Never to the operators in the stakeholders' place.
            people = recipients(event, to, stakeholders or ())
            if not people:
                _drop(entry, "the pipeline declares no stakeholders any more")
                continue
            try:
                sent.append(_send_again(entry, smtp, sender=sender, to=people))
            except MailUndeliveredError as error:
                _record_again(entry, error)
                if not is_about_the_mail(error):
                    break
    return sent


def post_undelivered(pipeline: str, hook: Webhook | None) -> list[Entry]:
    """Post the messages that no webhook has taken, oldest first; without a webhook they are given up.

    Returns: the entries of those that were taken now.
    """
    posted = []
    with alone(f"webhook-{pipeline}", wait=False) as alone_at_it:
        waiting = [entry for entry in faults.undelivered(pipeline) if entry.record.webhook]
        for entry in waiting if alone_at_it else []:
            event = Event.model_validate_json(entry.record.content)
            about = {
                "fault": entry.record.fault,
                "message": entry.record.message,
                "mail_subject": entry.record.mail_subject,
                "webhook": hook.connection if hook else entry.record.webhook,
                "first_tried": entry.at.isoformat(),
            }
            if hook is None:
                _drop(entry, "the pipeline declares no webhook any more")
                continue
            try:
                webhook.post(event, hook)
            except MessageRefusedError as error:
                # Refused twice: it is the message, which does not change.
                _drop(entry, f"refused again: {error.what}")
            except MailUndeliveredError as error:
                _record_again(entry, error)
                break
            else:
                said = f"{entry.record.mail_subject} (could not be delivered before)"
                posted.append(faults.record(event, "", "posted", said, about))
    return posted


def _send_again(entry: Entry, smtp: Smtp, *, sender: str, to: Sequence[str]) -> Entry:
    event = Event.model_validate_json(entry.record.content)
    message = compose(event, sender=sender, to=to, key=entry.record.message, answers=entry.record.answers)
    refused = send(message, smtp)
    return faults.record(
        event,
        entry.record.incident,
        entry.record.when_sent,
        f"{message['Subject']} (could not be delivered before)",
        {
            "fault": entry.record.fault,
            "message": entry.record.message,
            "mail_subject": message["Subject"],
            "to": list(to),
            "refused": refused,
            "first_tried": entry.at.isoformat(),
        },
    )


def _drop(entry: Entry, why: str) -> None:
    """Record that a mail or a message is given up; `undelivered` has it no more."""
    about = {name: getattr(entry.record, name) for name in ("fault", "message", "mail_subject", "webhook")}
    event = Event.model_validate_json(entry.record.content)
    faults.record(
        event, entry.record.incident, "dropped", why, {**about, "first_tried": entry.at.isoformat()}
    )


def _record_again(entry: Entry, error: MailUndeliveredError) -> None:
    event = Event.model_validate_json(entry.record.content)
    faults.record(
        event,
        entry.record.incident,
        "failed",
        f"again: {entry.record.mail_subject}: {error}",
        {
            "fault": entry.record.fault,
            "message": entry.record.message,
            "webhook": entry.record.webhook,
            "error": str(error),
        },
    )


def _count(event: Event, incident: faults.Incident) -> Entry:
    seen = len(incident.sightings) + 1
    return faults.record(
        event,
        incident.key,
        "counted",
        f"seen {seen} times since the mail of {incident.opened.at:%Y-%m-%d %H:%M} UTC",
        faults.sighting(event),
    )


def _free_key(event: Event, past: Sequence[faults.Incident]) -> str:
    """The mail's identity: the same again, if this process dies before it has recorded what it sent."""
    taken, number = {incident.key for incident in past}, 0
    while event.incident_key(number) in taken:
        number += 1
    return event.incident_key(number)


def alone(key: str, *, wait: bool = True) -> AbstractContextManager[bool]:
    """Keep other processes from the same work meanwhile, of all machines that share the ledger: see `ledger.locks`."""
    return locks.alone(f"mail {key}", settings().work / "mail" / f"{key}.lock", wait=wait)
