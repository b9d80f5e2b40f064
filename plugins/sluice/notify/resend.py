"""What the watcher does for mails: nothing that was seen stays untold because a server or a process was down."""

from __future__ import annotations

from datetime import timedelta

from sluice import ledger
from sluice.core import clock
from sluice.core.settings import settings
from sluice.declare.spec import Pipeline
from sluice.ledger import Entry, records
from sluice.ledger.model_records import RolledBack
from sluice.notify import delivery, model_events, resolved_mails
from sluice.notify.events import fault_of
from sluice.notify.send import Smtp

# What is older is history to whoever installs a version that tells of it, and no news. The project's own choice.
_NEWS = timedelta(days=7)


def untold_roll_backs(spec: Pipeline) -> list[Entry[RolledBack]]:
    """The roll-backs of the last week of which no mail has told, oldest first: a command's, and of a run that was killed before."""
    since, name = clock.utc_now() - _NEWS, spec.model.name
    found = ledger.entries(RolledBack, pipeline=spec.pipeline, subject=name)[::-1]
    recent = [entry for entry in found if entry.at >= since]
    if not recent:
        return []
    mails = ledger.entries(records.Mail, pipeline=spec.pipeline, after=recent[0].seq)
    told = {mail.record.fault for mail in mails}
    return [
        entry
        for entry in recent
        if fault_of("rolled_back", spec.pipeline, name, model_events.roll_back_cause(entry)) not in told
    ]


def retry_failed(spec: Pipeline, smtp: Smtp) -> list[Entry]:
    """Send what could not be delivered, oldest first, and close faults whose end was not told.

    It goes to those who get the pipeline's mails today, and to its webhook. What is not taken now stays undelivered.

    Returns: the entries that were made.
    """
    sent = delivery.send_undelivered(
        spec.pipeline,
        smtp,
        sender=settings().mail_from,
        to=spec.mail_to,
        stakeholders=spec.stakeholders,
    )
    closed = resolved_mails.close_ended(spec, smtp)
    # Last: a mail does not wait for the chat beside it.
    return [*sent, *closed, *delivery.post_undelivered(spec.pipeline, smtp.webhook)]
