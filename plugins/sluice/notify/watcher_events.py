"""Events of the watcher and the maintenance: a source that did not deliver, a release that has ended, a changed record."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sluice import waivers
from sluice.core import clock
from sluice.core.dag_ids import DECLARATION_TASK
from sluice.core.errors import LedgerTamperedError, SpecInvalidError
from sluice.core.links import evidence_url, page_url
from sluice.core.partitions import Partition
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.ingest.unexpected import NAMED, LandingScan, Unexpected
from sluice.ledger import Entry
from sluice.ledger.records import EndsWith
from sluice.notify import privacy, reader_impact, steps
from sluice.notify.events import Event, FailingRow, Item, Section
from sluice.waivers import inherited

# Characters of a content hash that a mail shows, and of the digest of a name that the ledger keeps.
_HASH = 12
# Entries of a landing zone that a mail names one by one; `sluice held` names the others.
_ENTRIES = 20


def of_missed_deadline(
    spec: Pipeline,
    source: str,
    day: str,
    *,
    run_day: str,
    task_url: str,
    deadline: datetime | None = None,
    why: str = "",
) -> Event:
    """A source that has not delivered: noticed by its deadline, by a stage task that found nothing, or by both.

    Either way it is one fault: whoever comes second only counts it.

    Args:
        day: the data day, or `first..last`.
        deadline: when it should have been in.
        why: what the task that looked for it found.
    """
    days = list(Partition.parse(day))
    owner = spec.owner_of(source)
    late = (
        f"It was due by {deadline:%Y-%m-%d %H:%M %Z}."
        if deadline
        else "A run that needs it has looked for it."
    )
    return Event(
        kind="missing_delivery",
        pipeline=spec.pipeline,
        subject=source,
        partition=day,
        run_day=run_day if run_day and run_day != day else None,
        cause="delivery_missing",
        ends_with=EndsWith.of("published", source),
        owner=owner,
        effect=reader_impact.waiting(spec, source, days),
        summary=f"{late} {why}",
        facts={"Due": f"{deadline:%Y-%m-%d %H:%M %Z}"} if deadline else {},
        not_published=steps.not_published(spec, source),
        next_steps=(
            f"Ask {owner} for the delivery of {day}.",
            "When it comes, nothing else is needed: the day goes on by itself."
            if spec.clock == "wall"
            else f"When it is there, trigger {steps.rerun(spec, source, tuple(days))}.",
            "If you have the file yourself, land it by hand.",
        ),
        commands={
            f"sluice land {spec.pipeline} {source} {days[0]} FILE": "put a file into the landing zone",
            f"sluice status {spec.pipeline}": "all that is missing, held or not done",
        },
        links={"Task": task_url},
        occurred_at=clock.utc_now(),
    )


def of_unexpected_files(
    spec: Pipeline, found: LandingScan, *, reported: Collection[str], task_url: str
) -> Event | None:
    """What lies in the landing zone and is no delivery, as one fault, which ends when all of it is gone.

    Args:
        reported: digests of the entries (`name_digest`) that a mail has told and that have not gone since; they are left out.

    Returns: None where nothing is new.
    """
    new = [entry for entry in found.entries if name_digest(entry) not in reported]
    if not new:
        return None
    digests = sorted(name_digest(entry) for entry in new)
    more = len(new) - _ENTRIES
    items = [Item(lead=entry.name, text=f"{entry.why[0].upper()}{entry.why[1:]}") for entry in new[:_ENTRIES]]
    if more > 0:
        items.append(Item(lead=f"and {more} more", text=f"`sluice held {spec.pipeline}` names them."))
    if not found.complete and len(found.entries) == NAMED:
        items.append(Item(lead="and perhaps more", text=f"only {NAMED} are named until some are gone."))
    counted = "1 entry" if len(new) == 1 else f"{len(new)} entries"
    return Event(
        kind="unexpected_file",
        pipeline=spec.pipeline,
        subject="landing",
        partition=None,
        cause=",".join(digests),
        ends_with=EndsWith.of("removed", *digests),
        owner=spec.owner,
        effect="Nothing reads what lies there: readers see nothing of it, and no run waits for it.",
        summary=f"{counted} of the landing zone {spec.landing_url} belong to no source, or are named as no delivery.",
        sections=(Section(title="What lies there", items=tuple(items)),),
        facts={"First": new[0].name},
        next_steps=(
            "Ask who put it there. If it is a delivery, deliver it under its right name: `sluice land` does.",
            f"If it is a new source, declare it in dags/pipelines/{spec.pipeline}.yml.",
            "If it is neither, remove it from the landing zone: RESOLVED follows when all of it is gone.",
        ),
        commands={
            f"sluice held {spec.pipeline}": "what lies in the landing zone and is no delivery, among what is held",
            f"sluice land {spec.pipeline} SOURCE DAY FILE": "put a file into the landing zone, under its right name",
        },
        links={"Task": task_url},
        occurred_at=clock.utc_now(),
    )


def name_digest(entry: Unexpected) -> str:
    """Identity of an entry of a landing zone, in the ledger: a name may have anything in it, and any length."""
    return hashlib.sha256(entry.name.encode()).hexdigest()[:_HASH]


def of_rewritten(
    spec: Pipeline,
    table: str,
    day: str,
    *,
    recorded: str,
    found: str,
    diff: Mapping[str, int],
    task_url: str,
    recorded_rows: int | None = None,
    found_rows: int | None = None,
    sample: Sequence[Mapping[str, Any]] = (),
    page: str = "",
) -> Event:
    """A published partition whose content is not what was published: it was changed past the crossing.

    Args:
        recorded, found: hash of the content, as it was published and as it is now.
        recorded_rows, found_rows: how many rows it had, and has; None where there is nothing.
        diff: what kind of change to how many rows, such as {"changed": 200}; empty where the rows as they were are gone.
        sample: rows that differ; columns with personal data are left out here.
        page: evidence page, its name under the evidence.
    """
    hidden = privacy.hidden_columns(spec, table)
    rows = sample if privacy.shows_rows(spec, table) else ()
    counted = ", ".join(f"{count:,} rows {kind}" for kind, count in diff.items() if count)
    counted = counted or ("no row differs" if diff else "the rows as they were are gone")
    links = {"Evidence": evidence_url(page)} if page else {}
    return Event(
        kind="history_rewritten",
        pipeline=spec.pipeline,
        subject=table,
        partition=day,
        cause="content does not match its record",
        occurrence=found,
        ends_with=EndsWith.of("matches", table),
        owner=spec.owner_of(table),
        effect=(
            f"Readers see {table} of {day} with content that no gate has judged."
            + (
                " No model is trained on it until it is cleared up; predictions made before are not changed."
                if spec.has_model
                else ""
            )
        ),
        summary=f"The content of {spec.pipeline}.{table} {day} no longer matches what was published: {counted}.",
        rows=sum(diff.values()),
        sections=(
            Section(
                title="Recorded and found",
                items=(
                    Item(
                        lead="Recorded",
                        text=_content(recorded, recorded_rows),
                        note="hash of the content when it was published",
                    ),
                    Item(
                        lead="Found",
                        text=_content(found, found_rows),
                        note="hash of the content that readers see now",
                    ),
                    *(
                        Item(lead=kind.capitalize(), text=f"{count:,} rows")
                        for kind, count in diff.items()
                        if count
                    ),
                ),
            ),
        ),
        sample=tuple(FailingRow(rules=(), row=privacy.strike(row, hidden)) for row in rows),
        next_steps=(
            "Find out who wrote to the table without the pipeline: its snapshots say when.",
            "To restore what was published, trigger the run of this partition again.",
            "If the new content is right, let it be delivered as a correction: then it is judged and has a record.",
        ),
        commands={
            f"sluice trace {spec.pipeline} {table} {day}": "what was published, when and from what",
            f"sluice ledger --pipeline {spec.pipeline} --partition {day}": "every decision about that day",
        },
        links={**links, "Task": task_url},
        occurred_at=clock.utc_now(),
    )


def of_broken_ledger(spec: Pipeline, error: LedgerTamperedError, *, task: str, task_url: str) -> Event:
    """A ledger whose chain does not hold; the error names the first entry that was changed."""
    return Event(
        kind="ledger_broken",
        pipeline=spec.pipeline,
        subject="ledger",
        partition=None,
        task=task,
        cause="chain broken",
        # Another entry is another change.
        occurrence=error.what,
        ends_with=EndsWith.of("succeeded", task),
        owner=spec.owner,
        effect="Readers see what they saw before; but who decided on it, and what, can no longer be told for certain.",
        summary=error.what,
        facts={"Where": error.where},
        next_steps=(
            f"{error.todo[0].upper()}{error.todo[1:]}.",
            "Compare with the hash that the last good run of check_ledger logged: nothing before it was changed "
            "if the backup's chain ends there or goes through it.",
            f"Then trigger {spec.pipeline}_maintain again.",
        ),
        commands={"sluice ledger --verify": "check the chain by hand"},
        links={"Task": task_url},
        occurred_at=clock.utc_now(),
    )


def of_broken_declaration(pipeline: str, error: SpecInvalidError, *, owner: str, task_url: str) -> Event:
    """What a pipeline declares cannot be used: its YAML, a suite, a dbt model or the model's parameters.

    It needs no declared pipeline. All that is wrong at one time is one fault, whichever task meets it.
    """
    return Event(
        kind="broken_declaration",
        pipeline=pipeline,
        subject="declaration",
        partition=None,
        cause="cannot be used",
        ends_with=EndsWith.of("succeeded", DECLARATION_TASK),
        owner=owner,
        effect=(
            f"Readers see of {pipeline} what was published before. What needs the part that is wrong publishes nothing "
            "until it is corrected; other pipelines go on."
        ),
        summary=error.what,
        facts={"Where": error.where},
        next_steps=(
            f"{error.todo[0].upper()}{error.todo[1:]}."
            if error.todo
            else "Correct it and run `sluice check`.",
            f"Then nothing else is needed; or trigger {pipeline}_watch, which says that it is over.",
        ),
        commands={"sluice check": "names every problem of every pipeline"},
        links={"Task": task_url},
        occurred_at=clock.utc_now(),
    )


def of_damaged_model(
    spec: Pipeline,
    *,
    champion: int | None,
    version: int | None,
    problems: Sequence[str],
    task_url: str,
    abstained: bool = False,
) -> Event:
    """A champion that cannot score. It is one fault until a champion scores again, however many days it lasts.

    Args:
        champion: None where the declared baseline is meant to score.
        version: what scores in its place; None for the declared baseline, or for nobody (`abstained`).
        problems: why the champion cannot, and perhaps what should have stood in for it: a sentence each.
    """
    rule = "the declared baseline" if version is None else f"version {version}"
    stands_in, name = "nobody" if abstained else rule, spec.pipeline
    meant = "the declared baseline" if champion is None else f"version {champion}"
    where, ways = steps.way_back(
        spec, "baseline" if version is None else str(version), f"make {rule} the champion"
    )
    let = f"Or let {rule} be the champion: {where}."
    restore = (
        f"Restore the file from a backup, or trigger {name}_train for the day that the champion was trained on "
        "(`sluice model show` names it): the same rows give the same files, which are put back."
    )
    effect = f"Predictions are made by {stands_in} instead of {meant}."
    if abstained:
        effect = "No predictions are made: readers see each day without rows (`model.fallback` ends with abstain), and no score."
        # The rule is not declared as a step, or has been tried: it is nothing to roll back to.
        where, ways = steps.way_back(spec, "VERSION", "make an earlier version the champion")
        let = f"Or let an earlier version whose files are whole be the champion: {where}."
    if champion is None:
        restore = "Give the column back to the feature table, or declare another `model.baseline`."
    return Event(
        kind="damaged_model",
        pipeline=name,
        subject=spec.model.name,
        partition=None,
        cause=f"champion {'baseline' if champion is None else champion}",
        occurrence=stands_in,
        ends_with=EndsWith.of("champion", spec.model.name),
        owner=spec.owner,
        effect=effect,
        summary=" ".join(problems),
        facts={"Champion": meant, "Scores": stands_in},
        next_steps=(
            restore,
            let,
            f"Or train a new model with {name}_train: it is compared with the scores that the champion had published, or, where these are too few, with the baseline alone.",
        ),
        commands={
            f"sluice model show {name}": "every version with its role, and whether its files are whole",
            **ways,
        },
        links={"Model": page_url("model", spec.pipeline), "Task": task_url},
        occurred_at=clock.utc_now(),
    )


def _content(sha256: str, rows: int | None) -> str:
    counted = "" if rows is None else f", {rows:,} rows"
    return f"{sha256[:_HASH]}{counted}" if sha256 else "nothing"


def _made_from(spec: Pipeline, waiver: Entry) -> tuple[Section, ...]:
    """What readers see that was made from what a waiver released, and what to do about it."""
    days: dict[str, list[str]] = {}
    for table, day in inherited.derived_from(spec).get(waiver.seq, ()):
        days.setdefault(table, []).append(day)
    todo = f"run {spec.pipeline}_transform again with its partition keys, once the input is right"
    items = tuple(
        Item(
            lead=table,
            text=found[0] if len(found) == 1 else f"{len(found)} days, {min(found)} to {max(found)}",
            note="made once, and marked: has_waived_input" if table == PREDICTIONS else todo,
        )
        for table, found in sorted(days.items())
    )
    return (Section(title="Made from it, and to be rebuilt", items=items),) if items else ()


def of_waiver_expired(spec: Pipeline, waiver: Entry, *, task_url: str) -> Event:
    """A release whose last day is over, while readers still see what it let pass."""
    table, label, record = waiver.subject, waiver.partition or "", waiver.record
    days, released = list(waiver.days), waivers.read(waiver)
    return Event(
        kind="waiver_expired",
        pipeline=spec.pipeline,
        subject=table,
        partition=label,
        cause="release has ended",
        occurrence=waiver.hash,
        ends_with=EndsWith.of("published", table),
        batch_id=record.batch_id,
        owner=spec.owner_of(table),
        effect=(
            f"Readers still see {table} of {label}, which did not pass its rules; the waiver that let it pass "
            "has expired. It counts as held again"
            + (", and training leaves it out." if spec.has_model else ".")
        ),
        summary=f"{released.signed} released it until {released.until}: {released.why}",
        facts={"Released by": released.signed, "Until": released.until, "Rules": ", ".join(record.rules)},
        sections=_made_from(spec, waiver),
        next_steps=(
            f"If the data is wrong: land a corrected file. {steps.taken_up(spec, table, tuple(days))}"
            if table in spec.sources
            else "If its input was corrected: replay it.",
            "If it must stay visible: release it again, with a reason and a new last day.",
        ),
        commands=steps.commands(spec, table, label, release=True),
        links={"Task": task_url, **steps.operate_links(spec, table, label, release=True)},
        occurred_at=clock.utc_now(),
    )
