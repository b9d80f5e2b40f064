"""Mails: an event in, one mail out through real SMTP, once for each fault, and one when it is over.

Silence is safe: a clean day has no events. This package knows nothing of Airflow; the connection it sends through is
handed to it. `report` makes events, `faults` tells which belong together, `delivery` sends or counts them, `endings`
closes them, `resolution` finds what ended them, `daily` collects what needs no mail of its own, `courier` makes up for what could not be told.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sluice.notify.delivery import deliver
    from sluice.notify.digest_mail import digest
    from sluice.notify.faults import undelivered
    from sluice.notify.resend import retry_failed
    from sluice.notify.resolved_mails import completed, done, matched, removed, resolved, scored, succeeded

__all__ = [
    "completed",
    "deliver",
    "digest",
    "done",
    "matched",
    "removed",
    "resolved",
    "retry_failed",
    "scored",
    "succeeded",
    "undelivered",
]

# Imported when asked for: the mail sink is in this package too, and needs none of it.
_HOMES = {
    "completed": "resolved_mails",
    "deliver": "delivery",
    "digest": "digest_mail",
    "done": "resolved_mails",
    "matched": "resolved_mails",
    "removed": "resolved_mails",
    "resolved": "resolved_mails",
    "retry_failed": "resend",
    "scored": "resolved_mails",
    "succeeded": "resolved_mails",
    "undelivered": "faults",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
