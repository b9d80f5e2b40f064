"""The list of what is held: read from the ledger and the quarantine, so that it cannot disagree with them.

A hold is open until its days are published: by a corrected delivery, a corrected rule or a waiver. A batch that readers
see, and that its gate holds now, is open too, until it passes or is released.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sluice import ledger, waivers
from sluice.core import clock
from sluice.core.errors import DeliveryMissingError
from sluice.core.partitions import Partition, date_of, read_day
from sluice.declare import pipeline_clock
from sluice.declare.spec import Pipeline
from sluice.gates.verdict import Cause
from sluice.lake import quarantine
from sluice.lake.batches import full_id
from sluice.ledger import Entry, records

Kind = Literal["held", "refused", "quarantined", "waiver_expired"]


@dataclass(frozen=True)
class Hold:
    """Something that readers do not see, or see although its waiver has expired."""

    pipeline: str
    table: str
    # Label of the days of data, and the days of the runs that write them.
    partition: str
    run_days: tuple[str, ...]
    kind: Kind
    # None where no batch was staged, because the delivery was refused.
    batch_id: str | None
    # What holds it: names of rules, and a sentence.
    rules: tuple[str, ...]
    reason: str
    # None where they could not be counted.
    rows: int | None
    since: datetime
    age_days: int
    owner: str
    # The Airflow run that found it, where one did: running it again is the replay.
    dag_id: str | None = None
    run_id: str | None = None
    # PASS, WARN, HOLD or ERROR, where there is a verdict.
    outcome: str = ""
    report: str = ""

    # What is most probably wrong with a source's batch that a rule holds; None where nothing was looked for.
    cause: Cause | None = None
    # The reasons of its verdict, one by one; none where there is no verdict.
    reasons: tuple[str, ...] = ()
    # Of a delivery that was refused: the files that were there.
    files: tuple[str, ...] = ()
    # Too old to be of use. What readers see is never given up.
    overdue: bool = False

    @property
    def days(self) -> Partition:
        return Partition.parse(self.partition)

    @property
    def run_day(self) -> str:
        return self.run_days[-1]

    @property
    def is_releasable(self) -> bool:
        """Whether its gate has judged it, so that it is known what a waiver would allow."""
        return self.kind in ("held", "waiver_expired") and self.outcome == "HOLD"


def open_holds(spec: Pipeline, table: str | None = None) -> list[Hold]:
    """Everything that is held, refused, quarantined, or seen under an expired waiver; the longest held first."""
    found = [*_batches(spec, table), *_quarantined(spec, table), *_expired_waivers(spec, table)]
    return sorted(found, key=lambda hold: (hold.since, hold.table, hold.partition))


def open_batches(spec: Pipeline) -> list[Hold]:
    """What a gate held and what was refused, without single rows and expired waivers."""
    return list(_batches(spec, None))


def find(spec: Pipeline, table: str, day: str) -> Hold | None:
    """The open hold that a day (YYYY-MM-DD) of a table's data belongs to; the newest, and a batch before single rows.

    Raises:
        SourceUnknownError: the pipeline has no such table.
        DayInvalidError: there is no such day.
    """
    spec.require_table(table)
    read_day(day, where=f"the day of {spec.pipeline}.{table}")
    found = [hold for hold in open_holds(spec, table) if day in hold.days]
    return max(found, key=lambda hold: (hold.kind != "quarantined", hold.since), default=None)


def active_waivers(spec: Pipeline) -> dict[tuple[str, str], Entry]:
    """(table, day) -> the waiver that what readers see of it rests on today."""
    days: dict[str, set[str]] = {}
    for entry in ledger.entries(records.Waiver, pipeline=spec.pipeline):
        days.setdefault(entry.subject, set()).update(entry.days)
    return {
        (table, day): waiver
        for table, found in sorted(days.items())
        for day, waiver in waivers.of_partitions(spec, table, sorted(found)).items()
        if not waivers.expired(spec, waiver)
    }


def downstream_steps(spec: Pipeline, table: str, day: str) -> str:
    """What is left to do for the days of a table that were published outside of Airflow."""
    run_day = spec.run_day(table, day)
    return (
        f"For the rest of the day to follow, trigger {spec.pipeline}_{spec.stage_of(table)} "
        f"with partition key {run_day}."
    )


def run_days_of(spec: Pipeline, table: str, partition: Partition) -> tuple[str, ...]:
    """The runs that write the days of a partition."""
    return tuple(spec.run_day(table, day) for day in partition)


def _batches(spec: Pipeline, table: str | None) -> Iterator[Hold]:
    """Batches that a gate held, and deliveries that could not be staged."""
    for entry, closing in _still_open(spec, table):
        if not _is_validly_published(spec, entry, closing):
            yield _hold_of(spec, entry)


def open_from(spec: Pipeline) -> int | None:
    """Number of the first entry about a batch or delivery that still waits for its answer; None if none does.

    Of what was closed nothing is open again: a new verdict about it is a new entry.
    """
    return min((entry.seq for entry, _ in _still_open(spec, None)), default=None)


def _still_open(spec: Pipeline, table: str | None) -> Iterator[tuple[Entry, list[Entry]]]:
    """The newest entry of each partition that is not closed, with what has been published or given up of its days."""
    newest: dict[str, dict[Partition, Entry]] = {}
    for entry in _entries(spec, table, "held", "refused", after=ledger.closed_up_to(spec.pipeline, "holds")):
        # A candidate that was refused holds no rows.
        if getattr(entry.record, "version", None) is None:
            newest.setdefault(entry.subject, {}).setdefault(entry.days, entry)
    for name, found in newest.items():
        span = Partition(min(one.first for one in found), max(one.last for one in found))
        closings = _entries(spec, name, "published", "expired", days=span)
        # Single rows that were given up close no batch.
        closings = [one for one in closings if one.kind == "published" or one.record.kind != "quarantined"]
        staged = _entries(spec, name, "staged", days=span)
        for entry in found.values():
            if not _closed(spec, entry, closings, staged):
                yield entry, closings


def _closed(spec: Pipeline, entry: Entry, closings: Sequence[Entry], staged: Sequence[Entry]) -> bool:
    """Whether all its days were published, or given up, by something that came after it."""
    later = [one for one in closings if _closes(one, entry, staged)]
    closed = (any(one.covers(day) for one in later) for day in entry.days)
    # Of a weekly source only some of the days of a range were ever delivered.
    weekly = entry.subject in spec.sources and spec.sources[entry.subject].cadence == "weekly"
    return any(closed) if weekly else all(closed)


def _closes(closing: Entry, held: Entry, staged: Sequence[Entry]) -> bool:
    """Whether a publication, or giving it up, closes what was held or refused: not every later one does.

    A batch that was on its way before, and was published only after a newer one had been held, says nothing about the
    newer one. And what was held late, when readers saw a newer batch already, needs no closing.
    """
    if closing.kind == "expired":
        return closing.seq > held.seq
    published, judged = full_id(closing.record.batch_id), held.record.batch_id
    if judged and published > judged:
        return True
    if closing.seq < held.seq:
        return False
    return published == judged or any(
        held.seq < one.seq < closing.seq
        and (full_id(one.record.batch_id), one.partition) == (published, closing.partition)
        for one in staged
    )


def _is_validly_published(spec: Pipeline, entry: Entry, closings: Sequence[Entry]) -> bool:
    """Whether it is the batch that readers see, and it has passed its gate since, or a waiver is active for it.

    Publishing it again changed nothing, and so left no entry that is newer than the hold.
    """
    batch_id = entry.record.batch_id
    same = (one for one in closings if one.kind == "published" and one.partition == entry.partition)
    shown = next(same, None)
    if shown is None or full_id(shown.record.batch_id) != batch_id:
        return False
    judged = waivers.judgement(spec, entry.subject, entry.days, batch_id)
    if judged is not None and judged.kind == "verdict":
        return True
    day = entry.days.first
    # One that has expired is listed as that.
    return day in waivers.of_partitions(spec, entry.subject, [day])


def _hold_of(spec: Pipeline, entry: Entry) -> Hold:
    record = entry.record
    about: dict[str, Any]
    if isinstance(record, records.Refused):
        about = {"kind": "refused", "rules": (), "reason": record.what, "rows": None, "files": record.files}
        about["dag_id"] = record.dag_id or _dag_of(spec, entry)
    else:
        rules = (rule for rule in record.rules if not rule["passed"] and rule["severity"] != "warn")
        about = {
            "kind": "held",
            "rules": tuple(rule["rule"] for rule in rules),
            "reason": " ".join(record.reasons),
            "rows": record.rows,
            "outcome": record.outcome,
            "dag_id": _dag_of(spec, entry),
            "cause": Cause.model_validate(record.cause) if record.cause else None,
        }
    run_days = run_days_of(spec, entry.subject, entry.days)
    age = _age(spec, entry.at, run_days[-1])
    return Hold(
        pipeline=spec.pipeline,
        table=entry.subject,
        partition=str(entry.days),
        run_days=run_days,
        batch_id=record.batch_id,
        since=entry.at,
        age_days=age,
        overdue=age > spec.hold_days,
        owner=spec.owner_of(entry.subject),
        run_id=entry.run,
        reasons=record.reasons,
        report=record.report,
        **about,
    )


def _expired_waivers(spec: Pipeline, table: str | None) -> Iterator[Hold]:
    released = {(entry.subject, entry.days) for entry in _entries(spec, table, "waiver")}
    for name, days in released:
        day = days.first
        waiver = waivers.of_partitions(spec, name, [day]).get(day)
        if waiver is None or not waivers.expired(spec, waiver):
            continue
        judged = waivers.judgement(spec, name, days, waiver.record.batch_id)
        if judged is None:
            continue
        hold = _hold_of(spec, judged)
        said = f"{waiver.record.by} released it until {waiver.record.until}: {waiver.record.why}"
        over = (pipeline_clock.today(spec) - date_of(waiver.record.until)).days
        yield replace(hold, kind="waiver_expired", since=waiver.at, reason=said, age_days=over, overdue=False)


def _quarantined(spec: Pipeline, table: str | None) -> Iterator[Hold]:
    """Rows that were set aside from published batches, one hold a day."""
    for name, by_day in quarantine.open_counts(spec).items():
        if table not in (None, name):
            continue
        for day, by_rule in by_day.items():
            published = ledger.entries(
                records.Published, pipeline=spec.pipeline, subject=name, days=Partition(day, day), limit=1
            )
            entry = published[0] if published else None
            run_day = spec.run_day(name, day)
            rows = quarantine.rows(spec.pipeline, name, day, day).to_pylist()
            since = min(row["first_seen"] for row in rows if row["status"] == "open")
            age = _age(spec, since, run_day)
            failed = ", ".join(f"{count} rows fail {rule}" for rule, count in by_rule.items())
            yield Hold(
                pipeline=spec.pipeline,
                table=name,
                partition=day,
                run_days=(run_day,),
                kind="quarantined",
                batch_id=full_id(entry.record.batch_id) if entry else None,
                rules=tuple(by_rule),
                reason=f"{failed}; the others are published.",
                rows=sum(by_rule.values()),
                since=since,
                age_days=age,
                overdue=age > spec.hold_days,
                owner=spec.owner_of(name),
                dag_id=_dag_of(spec, entry) if entry else None,
                run_id=entry.run if entry else None,
            )


def _age(spec: Pipeline, since: datetime, run_day: str) -> int:
    """Days that it has been held, by the pipeline's clock: on a replay a day passes with each delivered day."""
    waited = max(0, (clock.utc_now() - since).days)
    if spec.clock == "wall":
        return waited
    try:
        return max(0, (pipeline_clock.today(spec) - date_of(run_day)).days)
    except DeliveryMissingError:  # its files came without a feed
        return waited


def _dag_of(spec: Pipeline, entry: Entry) -> str | None:
    """The DAG of the run that an entry is from: it was noted when the batch was staged."""
    staged = ledger.entries(
        records.Staged, pipeline=spec.pipeline, subject=entry.subject, partition=entry.partition
    )
    return next((one.record.dag_id for one in staged if entry.run and one.run == entry.run), None)


def _entries(spec: Pipeline, table: str | None, *kinds: str, **further: Any) -> list[Entry]:
    """Entries of some kinds, newest first; `further` is for `ledger.entries`."""
    found = [
        entry
        for kind in kinds
        for entry in ledger.entries(kind=kind, pipeline=spec.pipeline, subject=table, **further)
    ]
    return sorted(found, key=lambda entry: entry.seq, reverse=True)
