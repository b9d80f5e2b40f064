"""The end of a fault: one mail, a reply to the first, that says how long it lasted and what ended it.

Whoever publishes a table, completes a day or ends a task says so here, and the watcher makes up for it. What ended the
fault is read from the ledger and the manifests, so that the mail tells a corrected delivery from a corrected rule, from a
release, and from a day that was given up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime

from sluice import ledger
from sluice.core import clock
from sluice.core.links import evidence_url
from sluice.core.partitions import Partition
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.ingest.unexpected import LandingScan
from sluice.lake.tables import published
from sluice.ledger import Entry, mails
from sluice.ledger.records import EndsWith
from sluice.models import scorer
from sluice.notify import by_status, delivery, faults, reader_impact, resolution, watcher_events
from sluice.notify.events import Event, Item, Section
from sluice.notify.resolution import Ending
from sluice.notify.send import Smtp
from sluice.status import Status

# Partitions, and ways in which they ended, that a mail names one by one.
_NAMED = 20


def close_published(spec: Pipeline, table: str, partition: str, smtp: Smtp) -> list[Entry]:
    """Close the faults of a table's partition, after it was published.

    A fault that other partitions still have stays open; its RESOLVED comes with the last of them. A mail that cannot
    be delivered is recorded and retried later: what called this has done its work already.

    Args:
        partition: its label.

    Returns: the entries of kind `mail` that were made.
    """
    inside = set(Partition.parse(partition))
    if table == PREDICTIONS:
        # Readers see nothing of a day that nobody scored: it ends nothing.
        inside -= {
            day
            for day, shown in published(spec.pipeline, table, min(inside), max(inside)).items()
            if scorer.has_abstained(spec, shown.batch_id)
        }

    def has_ended(entry: Entry) -> bool:
        tables = resolution.tables_of(spec, entry)
        if not inside.intersection(tables.get(table, ())):
            return False
        # A batch that is published again leaves no entry.
        all_of_it = set(tables) == {table} and inside.issuperset(tables[table])
        return all_of_it or resolution.end_of(spec, entry) is not None

    return _close(spec, smtp, has_ended)


def close_matching(spec: Pipeline, table: str, day: str, smtp: Smtp) -> list[Entry]:
    """Close the faults of a day whose content was not what was published, after it is again; as `close_published` does."""

    def has_ended(entry: Entry) -> bool:
        return entry.record.ends_with == EndsWith.of("matches", table) and entry.partition == day

    return _close(spec, smtp, has_ended, reason=lambda _: "Its content matches its recorded hash again.")


def close_removed(spec: Pipeline, found: LandingScan, smtp: Smtp) -> list[Entry]:
    """Close the faults of what lay in the landing zone and was no delivery, after all that a mail told is gone.

    None while a look does not see everything that may be there.
    """
    still = {watcher_events.name_digest(entry) for entry in found.entries}

    def has_ended(entry: Entry) -> bool:
        end = entry.record.ends_with
        return end.how == "removed" and found.complete and still.isdisjoint(end.names)

    return _close(
        spec,
        smtp,
        has_ended,
        reason=lambda _: "It is no longer in the landing zone, or is a delivery of a source now.",
    )


def close_completed(spec: Pipeline, run_days: Sequence[str], smtp: Smtp) -> list[Entry]:
    """Close the faults of what the sources of some days wait for, after all that were due are published."""
    inside = set(run_days)

    def has_ended(entry: Entry) -> bool:
        if entry.record.ends_with.how != "completed" or entry.partition is None:
            return False
        return (
            inside.issuperset(resolution.occurrence_days(entry)) or resolution.end_of(spec, entry) is not None
        )

    return _close(spec, smtp, has_ended)


def close_succeeded(spec: Pipeline, task: str, partition: str | None, smtp: Smtp) -> list[Entry]:
    """Close the faults of a task that belongs to no table, after it succeeded for the same day or a later one."""

    def has_ended(entry: Entry) -> bool:
        same = entry.record.ends_with == EndsWith.of("succeeded", task)
        return same and (not entry.partition or not partition or entry.partition <= partition)

    return _close(spec, smtp, has_ended, reason=lambda _: f"The task {task} succeeded.")


def close_scored(spec: Pipeline, version: int | None, smtp: Smtp) -> list[Entry]:
    """Close the faults of a champion that could not score, after one did, or after there is none by decision."""
    by = "The baseline" if version is None else f"Version {version}"

    def has_ended(entry: Entry) -> bool:
        return entry.record.ends_with == EndsWith.of("champion", spec.model.name)

    return _close(spec, smtp, has_ended, reason=lambda _: f"{by} is what is meant to score, and does.")


def done(spec: Pipeline, found: Status, smtp: Smtp) -> list[Entry]:
    """Close the faults of what failed or was started in vain, where the pipeline's status says that it is done or given up."""
    return _close(
        spec,
        smtp,
        lambda entry: by_status.has_ended(spec, found, entry),
        reason=lambda entry: (
            "" if resolution.end_of(spec, entry) else by_status.sentences(spec, found, entry)
        ),
    )


def close_ended(spec: Pipeline, smtp: Smtp) -> list[Entry]:
    """Close faults that have ended by the ledger's record, where whoever recorded it did not say so."""
    return _close(spec, smtp, lambda entry: resolution.end_of(spec, entry) is not None)


def _close(
    spec: Pipeline,
    smtp: Smtp,
    has_ended: Callable[[Entry], bool],
    *,
    reason: Callable[[Entry], str] | None = None,
) -> list[Entry]:
    """Close what is over of the open faults; `reason` says why where the ledger has no record of it, and "" where it has."""

    def ended(incident: faults.Incident) -> dict[str, Entry]:
        return {
            seen: entry
            for seen, entry in incident.open_occurrences.items()
            if has_ended(entry) and not by_status.is_still_rolled_back(spec, entry)
        }

    made = []
    for found in faults.incidents(spec.pipeline):
        if not ended(found):
            continue
        with delivery.alone(found.opened.record.fault):
            # Read again: another process may have closed it, or seen more of it.
            past = faults.incidents(spec.pipeline, found.opened.record.fault)
            incident = next(each for each in past if each.key == found.key)
            closing = ended(incident)
            if closing:
                now = clock.utc_now()
                how = {
                    seen: resolution.stated(why, now)
                    if (why := reason(entry) if reason else "")
                    else resolution.find(spec, entry)
                    for seen, entry in closing.items()
                }
                made.append(_record(spec, smtp, incident, closing, how))
    return made


def _record(
    spec: Pipeline, smtp: Smtp, incident: faults.Incident, closing: dict[str, Entry], how: dict[str, Ending]
) -> Entry:
    """One entry: the RESOLVED mail, or, while other partitions of the fault stand, a note that these are over."""
    recorded = {seen: ending.model_dump(mode="json") for seen, ending in how.items()}
    left = len(incident.open_occurrences) - len(closing)
    if left:
        labels = ", ".join(sorted({entry.partition or "" for entry in closing.values()}))
        return faults.note(
            incident, "cleared", f"{labels} is over, {left} more of the same fault to go", {"ended": recorded}
        )
    event = _event(spec, incident, {**incident.endings, **how})
    about = {"fault": incident.opened.record.fault, "ended": recorded}
    return delivery.post_or_record(
        spec, event, smtp, incident=incident.key, answers=incident.key, status="resolved", **about
    )


def _event(spec: Pipeline, incident: faults.Incident, how: dict[str, Ending]) -> Event:
    opened, now = incident.opened, clock.utc_now()
    seen = {entry.record.occurrence_key: entry for entry in incident.sightings}
    labels = sorted({entry.partition for entry in seen.values() if entry.partition})
    published = resolution.tables_of(spec, opened)
    table = next(iter(published), mails.table_of(spec, opened))
    is_table = len(published) < 2 and table in spec.tables
    released = [ending for ending in how.values() if ending.on_waiver]
    last = max((ending.at for ending in how.values() if ending.at), default=now)
    seen_first, lasted = opened.at, _duration((last - opened.at).total_seconds())
    kinds = {ending.kind for ending in how.values()}
    headlines = {ending.headline() for ending in how.values()}
    first_subject = opened.record.mail_subject
    return Event(
        kind="resolved",
        pipeline=spec.pipeline,
        subject=opened.subject,
        partition=opened.partition if len(labels) < 2 else None,
        cause=incident.key,
        owner=spec.owner_of(table) if is_table else spec.owner,
        for_stakeholders=opened.record.event == "rolled_back",
        effect=_effect(spec, seen.values(), since=last),
        summary=_counted(ending.sentence() for ending in how.values()),
        table=table if is_table else "",
        ended_by=kinds.pop() if len(kinds) == 1 else "",
        subject_line=headlines.pop() if len(headlines) == 1 else "",
        facts={
            "First mail": first_subject.removeprefix("[sluice]"),
            "Partitions": f"{len(labels)}" if len(labels) > 1 else "",
            "Lasted": f"{lasted}, from {seen_first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC",
            "Seen": "once" if len(incident.sightings) == 1 else f"{len(incident.sightings)} times",
            "Released": f"{len(released)} of {len(how)}" if released and len(how) > 1 else "",
        },
        sections=_partitions(labels, seen, how),
        next_steps=(
            _release_step(spec, table) if released and is_table else "Nothing: this fault is closed.",
        ),
        links=_links(spec, table, labels, is_table=is_table),
        occurred_at=now,
    )


def _effect(spec: Pipeline, seen: Collection[Entry], *, since: datetime) -> str:
    """What readers see of the tables that an incident was about, and since when."""
    days: dict[str, set[str]] = {}
    first = min(entry.seq for entry in seen)
    for entry in seen:
        about = mails.table_of(spec, entry)
        own = {about: resolution.occurrence_days(entry)} if about else {}
        for table, found in (resolution.tables_of(spec, entry) or own).items():
            days.setdefault(table, set()).update(found)
    said = []
    for table, wanted in days.items():
        weeks = {day: resolution.week_of(spec, table, day) for day in wanted}
        seen_now = sorted(
            day
            for day, week in weeks.items()
            if reader_impact.shown(spec, table, week.first, week.last, after=first)
        )
        if seen_now:
            said.append(reader_impact.visible(spec, table, seen_now, since=since))
        else:
            said.append(f"Readers see of {table} what they saw before: nothing was published for it.")
    return " ".join(said)


def _links(spec: Pipeline, table: str, labels: Sequence[str], *, is_table: bool) -> dict[str, str]:
    links = {}
    if is_table and len(labels) == 1:
        for entry in ledger.entries(pipeline=spec.pipeline, subject=table, partition=labels[0]):
            if entry.kind in ("verdict", "held"):
                links["Evidence"] = evidence_url(entry.record.report)
                break
    return {**links, "All evidence": evidence_url()}


def _partitions(labels: Sequence[str], seen: dict[str, Entry], how: dict[str, Ending]) -> tuple[Section, ...]:
    """What ended which partitions, those that ended alike in one line."""
    if len(labels) < 2:
        return ()
    alike: dict[str, list[str]] = {}
    for key, entry in seen.items():
        sentence = how[key].sentence() if key in how else "It is over."
        alike.setdefault(sentence, []).append(entry.partition or "")
    items = []
    for sentence, found in list(alike.items())[:_NAMED]:
        days = sorted(set(found))
        more = f" and {len(days) - _NAMED} more, to {days[-1]}" if len(days) > _NAMED else ""
        lead = days[0] if len(days) == 1 else f"{len(days)} partitions"
        note = "" if len(days) == 1 else ", ".join(days[:_NAMED]) + more
        items.append(Item(lead=lead, text=sentence, note=note))
    if len(alike) > _NAMED:
        items.append(
            Item(lead=f"and {len(alike) - _NAMED} more", text="each in its own way: see the ledger.")
        )
    return (Section(title=f"The {len(labels)} partitions", items=tuple(items)),)


def _counted(sentences: Iterable[str]) -> str:
    """What ended it; where it ended in several ways, how often each."""
    counts = Counter(sentences)
    if len(counts) == 1:
        return next(iter(counts))
    return "\n".join(f"{count} times: {sentence}" for sentence, count in counts.most_common(5))


def _release_step(spec: Pipeline, table: str) -> str:
    return (
        f"Ask {spec.owner_of(table)} for a corrected delivery before the release ends: "
        "after that day it counts as held again."
    )


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [(days, "day"), (hours, "hour"), (minutes, "minute")]
    said = [f"{count} {name}{'s' if count != 1 else ''}" for count, name in parts if count]
    return " ".join(said[:2]) or "less than a minute"
