"""The digest: at most one mail a pipeline day about what was published all the same, and none on a clean day.

A warning asks nobody to get up at night. It is collected from the ledger, from where the last digest ended, and grouped
by table and rule, so that a rule that warns on every day of a backfill is one line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sluice import ledger
from sluice.core import clock
from sluice.core.errors import BatchUnknownError, DeliveryMissingError
from sluice.core.links import evidence_url
from sluice.core.partitions import day_of
from sluice.declare import pipeline_clock
from sluice.declare.spec import Pipeline
from sluice.lake import batches, notes
from sluice.lake.notes import Note, UndeclaredColumns, UndeclaredNull
from sluice.lake.waived import WaivedInput
from sluice.ledger import Entry, model_records, records
from sluice.notify import delivery, faults, privacy
from sluice.notify.events import Event, Item, Section
from sluice.notify.send import Smtp
from sluice.waivers import inherited
from sluice.waivers.inherited import Rebuild

# Lines of one section, and days that a line names.
_LINES, _DAYS = 25, 3
_COLUMNS, _NULLS = "Columns that no contract declares", "Texts that look like a null"
_DECLARE_NULLS = "declare what it means in the `nulls` of the column"


def digest(spec: Pipeline, smtp: Smtp) -> Entry | None:
    """Send what has gathered since the last digest, if there is anything and today had none yet.

    Returns: the ledger's entry, of status `digest`, or `failed` if it could not be delivered yet; None if there is
    nothing to say.
    """
    try:
        today = day_of(pipeline_clock.today(spec))
    except DeliveryMissingError:
        return None
    with delivery.alone(f"digest-{spec.pipeline}"):
        earlier = [
            entry
            for entry in ledger.entries(records.Mail, pipeline=spec.pipeline, subject="digest")
            if entry.record.upto is not None
        ]
        if any(entry.partition == today for entry in earlier):
            return None
        newest = ledger.entries(limit=1)
        after = max((entry.record.upto or 0 for entry in earlier), default=0)
        sections = _sections(spec, after)
        if not sections or not newest:
            return None
        event = _event(spec, today, sections)
        upto = newest[0].seq
        return delivery.post_or_record(spec, event, smtp, incident=event.key, status="digest", upto=upto)


def _event(spec: Pipeline, today: str, sections: tuple[Section, ...]) -> Event:
    count = sum(len(section.items) for section in sections)
    return Event(
        kind="digest",
        pipeline=spec.pipeline,
        subject="digest",
        partition=today,
        cause=f"digest {today}",
        owner=spec.owner,
        effect="Readers have their data: nothing below has kept a table from being published.",
        summary=f"{count} {'thing is' if count == 1 else 'things are'} worth a look.",
        sections=sections,
        next_steps=(
            "Look at what is new here; the owner is named in each line.",
            "A warning that is always there is a rule to correct: it will be overlooked on the day it is right.",
        ),
        commands={
            f"sluice ledger --pipeline {spec.pipeline}": "the decisions behind these lines",
            f"sluice held {spec.pipeline}": "rows that were set aside",
        },
        links={"All evidence": evidence_url()},
        occurred_at=clock.utc_now(),
    )


def _sections(spec: Pipeline, after: int) -> tuple[Section, ...]:
    verdicts = _newest_verdicts(spec, after)
    found = {
        "Rules that warn": _warnings(spec, verdicts),
        "Rows set aside": _set_aside(spec, verdicts),
        "Made from released data": _made_from_released(spec, after),
        "To be rebuilt": _rebuilds(spec, after),
        **_notes(spec, after),
        "Monitoring": _monitoring(spec, after),
        "Faults that are open and were seen again": _seen_again(spec, after),
    }
    return tuple(
        Section(title=title, items=_cut(items, "sluice ledger")) for title, items in found.items() if items
    )


def _cut(items: list[Item], command: str) -> tuple[Item, ...]:
    if len(items) <= _LINES:
        return tuple(items)
    return (
        *items[:_LINES],
        Item(lead=f"and {len(items) - _LINES} more", text=f"`{command}` has them all."),
    )


def _newest_verdicts(spec: Pipeline, after: int) -> list[Entry]:
    """The newest publishing verdict of each partition of a table, oldest first."""
    newest: dict[tuple[str, str | None], Entry] = {}
    for entry in ledger.entries(records.Verdict, pipeline=spec.pipeline, after=after):
        newest.setdefault((entry.subject, entry.partition), entry)
    return sorted(newest.values(), key=lambda entry: entry.seq)


def _warnings(spec: Pipeline, verdicts: Iterable[Entry]) -> list[Item]:
    grouped: dict[tuple[str, str], list[tuple[Entry, dict[str, Any]]]] = {}
    for entry in verdicts:
        for rule in entry.record.rules:
            if not rule["passed"] and rule["severity"] == "warn":
                grouped.setdefault((entry.subject, rule["rule"]), []).append((entry, rule))
    items = []
    for (table, name), found in grouped.items():
        newest = found[-1][1]
        hidden = privacy.hidden_columns(spec, table)
        said = privacy.observed(newest["observed"], tuple(newest["columns"]), newest["failing_rows"], hidden)
        again = f" On {_days([entry.partition for entry, _ in found])}."
        items.append(Item(lead=f"{table}, {name}", text=f"{said}.{again}", note=_owned(newest)))
    return items


def _set_aside(spec: Pipeline, verdicts: Iterable[Entry]) -> list[Item]:
    grouped: dict[tuple[str, str], list[tuple[Entry, int]]] = {}
    for entry in verdicts:
        for rule, rows in entry.record.quarantined.items():
            grouped.setdefault((entry.subject, rule), []).append((entry, rows))
    items = []
    for (table, name), found in grouped.items():
        rows = sum(count for _, count in found)
        rule = next((each for each in found[-1][0].record.rules if each["rule"] == name), None)
        text = f"{rows:,} {'row is' if rows == 1 else 'rows are'} in quarantine, not visible to readers."
        again = f" On {_days([entry.partition for entry, _ in found])}."
        items.append(Item(lead=f"{table}, {name}", text=text + again, note=_owned(rule) if rule else ""))
    return items


def _made_from_released(spec: Pipeline, after: int) -> list[Item]:
    """What was published that rests on a waiver through its inputs, a line a waiver."""
    grouped: dict[int, tuple[WaivedInput, dict[str, set[str]]]] = {}
    for entry in ledger.entries(records.Published, pipeline=spec.pipeline, after=after):
        for one in inherited.recorded_in(entry):
            days = grouped.setdefault(one.waiver, (one, {}))[1]
            days.setdefault(entry.subject, set()).update(one.days)
    return [
        Item(
            lead=one.released,
            text="; ".join(f"{table} on {_days(days)}" for table, days in sorted(found.items())) + ".",
            note="it did not pass its rules; rows made from it have has_waived_input",
        )
        for one, found in (grouped[seq] for seq in sorted(grouped))
    ]


def _rebuilds(spec: Pipeline, after: int) -> list[Item]:
    """What was made from released data that was replaced since the last digest; of a waiver that is over a mail tells."""
    grouped: dict[int, list[Rebuild]] = {}
    for rebuild in inherited.rebuilds(spec):
        waived = rebuild.waived
        new = ledger.entries(
            records.Published,
            pipeline=spec.pipeline,
            subject=waived.table,
            partition=waived.partition,
            after=after,
            limit=1,
        )
        if new and rebuild.standing == "replaced":
            grouped.setdefault(rebuild.waived.waiver, []).append(rebuild)
    return [
        Item(
            lead=f"{found[0].waived.table} {found[0].waived.partition} was replaced",
            text="made from it before: "
            + ", ".join(f"{one.subject} {one.partition}" for one in found[:_LINES]),
            note=found[0].todo,
        )
        for found in grouped.values()
    ]


def _notes(spec: Pipeline, after: int) -> dict[str, list[Item]]:
    """What deliveries have that their contracts do not declare: a section a kind, a line a column."""
    grouped: dict[tuple[str, str, str, str], list[tuple[str, int]]] = {}
    for entry in reversed(ledger.entries(records.Staged, pipeline=spec.pipeline, after=after)):
        for note in _notes_of(spec, entry):
            match note:
                case UndeclaredColumns():
                    found = [(_COLUMNS, column, "", 0) for column in note.columns]
                case UndeclaredNull():
                    found = [(_NULLS, note.column, note.what, note.rows)]
                case _:
                    continue  # of no delivery
            for title, column, what, rows in found:
                grouped.setdefault((title, entry.subject, column, what), []).append((note.day, rows))
    sections: dict[str, list[Item]] = {_COLUMNS: [], _NULLS: []}
    for (title, table, column, what), seen in grouped.items():
        # A day may have been staged more than once.
        days = dict(seen)
        kept = f"{what}, in {sum(days.values()):,} rows, was kept as it is" if what else ""
        item = Item(
            lead=f"{table}, {column}",
            text=f"{kept or 'delivered but left out'}. On {_days(days)}.",
            note=f"owner {spec.owner_of(table)}" + (f"; {_DECLARE_NULLS}" if what else ""),
        )
        sections[title].append(item)
    return sections


def _notes_of(spec: Pipeline, staged: Entry) -> list[Note]:
    if staged.subject not in spec.sources:
        return []
    try:
        manifest = batches.load(spec.pipeline, staged.subject, staged.record.batch_id)
    except BatchUnknownError:
        return []  # cleared away since
    return [note for each in manifest.inputs for note in notes.of_input(each)]


def _monitoring(spec: Pipeline, after: int) -> list[Item]:
    newest: dict[str | None, Entry] = {}
    for entry in ledger.entries(model_records.Decided, pipeline=spec.pipeline, after=after):
        newest.setdefault(entry.partition, entry)
    return [
        Item(
            lead=f"{entry.subject}, {entry.record.action}",
            text=f"{' '.join(entry.record.reasons)} On {day}.",
        )
        for day, entry in sorted(newest.items(), key=lambda pair: pair[1].seq)
        if entry.record.action != "nothing"
    ]


def _seen_again(spec: Pipeline, after: int) -> list[Item]:
    items = []
    for incident in faults.incidents(spec.pipeline):
        seen = incident.sightings
        if (
            incident.is_resolved
            or not seen
            or not seen[0].record.ends_with.how
            or seen[-1].seq <= after
            or len(seen) < 2
        ):
            continue
        labels = sorted({entry.partition for entry in incident.open_occurrences.values() if entry.partition})
        items.append(
            Item(
                lead=f"{incident.opened.subject}, {incident.opened.record.event.replace('_', ' ')}",
                text=f"seen {len(seen)} times since {incident.opened.at:%Y-%m-%d %H:%M} UTC. On {_days(labels)}.",
                note=incident.opened.record.mail_subject,
            )
        )
    return items


def _owned(rule: dict[str, Any]) -> str:
    return f"owner {rule['owner']}. {rule['why']}"


def _days(labels: Iterable[str | None]) -> str:
    found = sorted({label for label in labels if label})
    if len(found) <= _DAYS:
        return ", ".join(found) or "no day"
    return f"{len(found)} partitions, {found[0]} to {found[-1]}"
