"""The daily mail to stakeholders: whether yesterday's predictions were fit for use, in three sentences.

It says what the page *Today* says, from the same function, to those who use the predictions and do not operate the pipeline. A day is
told once; what becomes of it later is on the page.
"""

from __future__ import annotations

from dataclasses import replace

from sluice import ledger
from sluice.core import clock
from sluice.core.errors import DeliveryMissingError
from sluice.core.links import evidence_url
from sluice.core.partitions import day_of, days_later
from sluice.declare import pipeline_clock
from sluice.declare.spec import Pipeline
from sluice.ledger import Entry, records
from sluice.notify import delivery
from sluice.notify.events import Event
from sluice.notify.send import Smtp
from sluice.status import today
from sluice.status.today import Fitness, Today

SUBJECT = "stakeholders"
# Reasons that the second sentence names; the page has all.
_REASONS = 3
# Until this hour of the pipeline's clock the mail waits for a day that is on its way: half of the working day is left to act on it.
_NOON = 12
_IN_WORDS: dict[Fitness, str] = {
    "fit": "fit for use",
    "reservations": "fit for use with reservations",
    "not_made": "not made",
}

# What `status.today` has looked at, and no more.
_FIT = (
    "No rule warns of them; a model has made them in time, from inputs that are neither old nor released by a person; and "
    "monitoring warns of nothing."
)
_FIT_TABLES = (
    "No rule warns of them, none was released by a person, and nothing newer is there to make them from."
)


def tell_stakeholders(spec: Pipeline, smtp: Smtp) -> Entry | None:
    """Send the mail about the newest run day up to yesterday, unless it was told.

    Returns: the ledger's entry, of status `fitness`, or `failed` if it could not be delivered yet; None where nobody is to be told,
        nothing was due yet, or it was told.

    Raises:
        LandingUnreachableError: the landing zone does not answer, so that it is not known what came.
    """
    if not spec.stakeholders:
        return None
    try:
        yesterday = days_later(day_of(pipeline_clock.today(spec)), -1)
    except DeliveryMissingError:
        return None
    with delivery.alone(f"{SUBJECT}-{spec.pipeline}"):
        found = today.read(spec, last=yesterday)
        if found.run_day is None or _may_come(spec, found, yesterday):
            return None
        told = ledger.entries(records.Mail, pipeline=spec.pipeline, subject=SUBJECT, partition=found.run_day)
        # A table may have the name that stands for the stakeholders.
        if any(entry.record.event == "fitness" for entry in told):
            return None
        event = _event(spec, found, found.run_day)
        return delivery.post_or_record(
            spec,
            event,
            replace(smtp, webhook=None),
            incident=event.key,
            status="fitness",
        )


def _may_come(spec: Pipeline, found: Today, yesterday: str) -> bool:
    """Whether yesterday is merely not finished: nothing of it is held or missing, and it is not noon yet."""
    return (
        spec.clock == "wall"
        and found.fitness == "not_made"
        and found.run_day == yesterday
        and dict(found.strip).get(yesterday) == "open"
        and found.now is not None
        and found.now.hour < _NOON
    )


def _event(spec: Pipeline, found: Today, day: str) -> Event:
    made_by = "it was made by a model, not by a person" if spec.has_model else "it was made from deliveries"
    return Event(
        kind="fitness",
        pipeline=spec.pipeline,
        subject=SUBJECT,
        partition=day,
        cause=f"fitness {day}",
        owner=spec.owner,
        effect=found.sentence,
        summary=f"{_why(spec, found)} {_by_whom(found)}",
        subject_line=_IN_WORDS[found.fitness],
        next_steps=(f"Ask {spec.owner} about a value that you doubt: {made_by}.",),
        links={"Today": evidence_url()},
        occurred_at=clock.utc_now(),
    )


def _why(spec: Pipeline, found: Today) -> str:
    """The second sentence: what stands against using them; values of data about persons are not mailed."""
    if found.fitness == "fit":
        return _FIT if spec.has_model else _FIT_TABLES
    reasons = found.reasons
    if not reasons:
        return "No reason is recorded."
    if not spec.may_quote(None):
        return "What stands against it is on the page Today: the data is about persons, and is not mailed."
    more = f"; and {len(reasons) - _REASONS} more" if len(reasons) > _REASONS else ""
    return f"Because: {'; '.join(reason.rstrip('.') for reason in reasons[:_REASONS])}{more}."


def _by_whom(found: Today) -> str:
    """The third: who scores, how well that went when it was measured last, and what is held."""
    facts = [f"{name}: {value}" for name, value in today.facts(found) if name != "next run"]
    return f"At present, {'; '.join(facts)}."
