"""What the ledger knows of faults: which are open, what they have seen, and which mails have not been delivered.

An incident begins with a mail; what else is seen of the same fault within the window, and
every repetition, is counted in it; it is over when each of its occurrences is. So a burst is one mail, a day that is
never repaired does not hide the next one's end, and each mail has exactly one RESOLVED.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sluice import ledger
from sluice.core import clock
from sluice.ledger import Entry, records
from sluice.notify import resolution
from sluice.notify.events import Event
from sluice.notify.resolution import Ending

# Statuses of an entry whose mail the server took, or the webhook its message.
DELIVERED = ("sent", "resolved", "digest", "fitness", "posted")


@dataclass(frozen=True)
class Incident:
    """A fault, from its first mail until all that was seen of it is over; `entries` are its records, oldest first."""

    key: str
    entries: tuple[Entry, ...]

    @property
    def opened(self) -> Entry:
        return self.entries[0]

    @property
    def sightings(self) -> tuple[Entry, ...]:
        """One entry each time that the fault was seen."""
        return tuple(entry for entry in self.entries if entry.record.occurrence_key)

    @property
    def open_occurrences(self) -> dict[str, Entry]:
        """What is not over yet: occurrence to the entry that saw it last."""
        found: dict[str, Entry] = {}
        for entry in self.entries:
            if entry.record.occurrence_key:
                found[entry.record.occurrence_key] = entry
            for ended in entry.record.ended:
                found.pop(ended, None)
        return found

    @property
    def endings(self) -> dict[str, Ending]:
        """What is over: occurrence to what ended it."""
        return {
            seen: resolution.read(how) for entry in self.entries for seen, how in entry.record.ended.items()
        }

    @property
    def is_resolved(self) -> bool:
        return not self.open_occurrences

    @property
    def was_mailed(self) -> bool:
        """Whether its first mail has reached the server."""
        return any(entry.record.status == "sent" for entry in self.entries)


def incidents(pipeline: str, fault: str | None = None) -> list[Incident]:
    """The incidents of a pipeline that may be open, or all of one fault, in the order in which they began.

    What a fault was called before must be known when it is told again; who looks for what is open need not read back
    to the first day.
    """
    found: dict[str, list[Entry]] = {}
    after = ledger.closed_up_to(pipeline, "mails") if fault is None else None
    for entry in reversed(ledger.entries(records.Mail, pipeline=pipeline, after=after)):
        if entry.record.incident and fault in (None, entry.record.fault):
            found.setdefault(entry.record.incident, []).append(entry)
    return [Incident(key, tuple(entries)) for key, entries in found.items()]


def reported_names(pipeline: str) -> set[str]:
    """What a mail has told of a landing zone and is not over: what ends it, by `EndsWith.names` of `removed`."""
    return {
        name
        for incident in incidents(pipeline)
        for seen in incident.open_occurrences.values()
        if seen.record.ends_with.how == "removed"
        for name in seen.record.ends_with.names
    }


def open_from(pipeline: str) -> int | None:
    """Number of the first entry about a fault that will be over, or about a mail that is not delivered; None if none is."""
    still_open = [
        incident.opened.seq
        for incident in incidents(pipeline)
        if any(seen.record.ends_with.how for seen in incident.open_occurrences.values())
    ]
    return min([*still_open, *(entry.seq for entry in undelivered(pipeline))], default=None)


def belongs_to(event: Event, past: list[Incident], *, window_minutes: float) -> Incident | None:
    """The open incident that an event is counted in; None if it must be told."""
    since = clock.utc_now() - timedelta(minutes=window_minutes)
    running = [incident for incident in reversed(past) if not incident.is_resolved]
    repeated = (incident for incident in running if event.occurrence_key in incident.open_occurrences)
    recent = (incident for incident in running if incident.opened.at > since)
    return next(repeated, None) or next(recent, None)


def undelivered(pipeline: str | None = None) -> list[Entry]:
    """Mails and messages that no server has taken, each as the record of its first attempt, oldest first."""
    found: dict[str, Entry] = {}
    after = ledger.closed_up_to(pipeline, "mails") if pipeline else None
    for entry in reversed(ledger.entries(records.Mail, pipeline=pipeline, after=after)):
        message = entry.record.message
        if entry.record.status == "failed":
            found.setdefault(message, entry)
        elif entry.record.status in (*DELIVERED, "dropped"):
            found.pop(message, None)
    return list(found.values())


def undelivered_mails(pipeline: str) -> list[Entry]:
    """As `undelivered`, without a webhook's messages."""
    return [entry for entry in undelivered(pipeline) if not entry.record.webhook]


def undelivered_lines(pipeline: str | None = None) -> list[str]:
    """A sentence for each mail that no server has taken: they will be sent, but somebody waits for them."""
    return [
        f"Not delivered since {entry.at:%Y-%m-%d %H:%M} UTC: {entry.record.mail_subject or 'a mail'}. "
        f"{entry.record.error}"
        for entry in undelivered(pipeline)
    ]


def sighting(event: Event) -> dict[str, Any]:
    """What the ledger keeps of an event that is part of a fault."""
    return {
        "occurrence_key": event.occurrence_key,
        "ends_with": event.ends_with,
        "batch_id": event.batch_id,
        "occurred_at": event.occurred_at.isoformat(),
    }


def record(event: Event, incident: str, status: str, sentence: str, data: Mapping[str, Any]) -> Entry:
    """Add one entry of kind `mail` about an event; a mail that was delivered is recorded once."""
    message = data.get("message")
    return ledger.append(
        records.Mail(**{"fault": event.fault, **_about(event), **_data(incident, status, sentence, data)}),
        pipeline=event.pipeline,
        subject=event.subject,
        partition=event.partition,
        run=event.run_id or None,
        once=f"mail:{message}" if message and status in DELIVERED else None,
    )


def withhold(event: Event, why: str) -> Entry:
    """Add one entry of kind `mail` about an event that is not mailed; it is part of no fault."""
    return ledger.append(
        records.Mail(**_about(event), status="withheld", reasons=(f"withheld: {why}",)),
        pipeline=event.pipeline,
        subject=event.subject,
        partition=event.partition,
        run=event.run_id or None,
    )


def knows_run(pipeline: str, dag_id: str, run_id: str, clear_number: int) -> bool:
    """Whether a mail about a run was sent, counted or withheld since it was cleared for the last time."""
    asked = (run_id, dag_id, clear_number)
    found = ledger.entries(records.Mail, pipeline=pipeline)
    return any((entry.run, entry.record.dag_id, entry.record.clear_number) == asked for entry in found)


def _about(event: Event) -> dict[str, Any]:
    return {
        "event": event.kind,
        "table": event.table,
        "dag_id": event.dag_id,
        "clear_number": event.clear_number,
    }


def note(incident: Incident, status: str, sentence: str, data: Mapping[str, Any]) -> Entry:
    """Add one entry of kind `mail` about an incident, for which there is no mail."""
    opened = incident.opened
    same = {"event": opened.record.event, "fault": opened.record.fault}
    return ledger.append(
        records.Mail(**same, **_data(incident.key, status, sentence, data)),
        pipeline=opened.pipeline,
        subject=opened.subject,
        partition=opened.partition,
    )


def _data(incident: str, status: str, sentence: str, data: Mapping[str, Any]) -> dict[str, Any]:
    # `reasons` is what `sluice ledger` shows.
    return {"status": status, "incident": incident, "reasons": [f"{status}: {sentence}"], **data}
