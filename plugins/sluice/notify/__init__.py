"""Mails: an event in, one mail out through real SMTP, once for each fault, and one when it is over.

Silence is safe: a clean day has no events. This package knows nothing of Airflow; the connection it sends through is
handed to it. `report` makes events, `faults` tells which belong together, `delivery` sends or counts them, `resolved_mails`
closes them, `resolution` finds what ended them, `digest_mail` collects what needs no mail of its own, `fitness_mail` tells stakeholders
whether they can use what was made, `webhook` posts what is mailed to a chat, `resend` sends what could not be sent.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sluice.notify.delivery import deliver
    from sluice.notify.digest_mail import digest
    from sluice.notify.faults import undelivered
    from sluice.notify.fitness_mail import tell_stakeholders
    from sluice.notify.resend import retry_failed
    from sluice.notify.resolved_mails import (
        close_completed,
        close_matching,
        close_published,
        close_removed,
        close_scored,
        close_succeeded,
        done,
    )

__all__ = [
    "close_completed",
    "close_matching",
    "close_published",
    "close_removed",
    "close_scored",
    "close_succeeded",
    "deliver",
    "digest",
    "done",
    "retry_failed",
    "tell_stakeholders",
    "undelivered",
    "untold_roll_backs",
]

# Module of each that is not in `resolved_mails`.
_MODULES = {
    "deliver": "delivery",
    "digest": "digest_mail",
    "retry_failed": "resend",
    "tell_stakeholders": "fitness_mail",
    "undelivered": "faults",
    "untold_roll_backs": "resend",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for: the mail sink is in this package too, and needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'resolved_mails')}"), name)
