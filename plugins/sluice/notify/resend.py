"""What the watcher does for mails: nothing that was seen stays untold because a server or a process was down."""

from __future__ import annotations

from sluice.core.settings import settings
from sluice.declare.spec import Pipeline
from sluice.ledger import Entry
from sluice.notify import delivery, resolved_mails
from sluice.notify.send import Smtp


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
