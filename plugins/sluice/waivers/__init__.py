"""Waivers: which held batch may be published all the same, by whose decision, why and until when.

The rule kept here: a waiver is for one content. It names the sha256 of the batch that was judged, so that a later
delivery of the same day, good or bad, is judged by the gate again. It ends: after its last day it publishes nothing any
more, what it published counts as held again, and training refuses it. A gate that broke (ERROR) judged nothing, so
there is nothing that a waiver could be about: it cannot be waived.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from sluice import ledger
from sluice.core.errors import DayInvalidError, ReleaseRefusedError
from sluice.core.partitions import Partition, date_of, day_of, read_day
from sluice.declare import pipeline_clock
from sluice.declare.spec import Pipeline
from sluice.lake.batches import full_id
from sluice.ledger import Entry, records
from sluice.waivers.signature import Waiver, account, read, require_second_person

__all__ = [
    "Waiver",
    "account",
    "active",
    "awaited",
    "check_terms",
    "expired",
    "grant",
    "judgement",
    "newest",
    "newest_of_same",
    "of_batch",
    "of_partitions",
    "read",
    "require_second_person",
]


def grant(
    spec: Pipeline,
    table: str,
    partition: Partition,
    *,
    content_hash: str,
    batch_id: str,
    verdict_id: str,
    rules: Sequence[str],
    by: str,
    why: str,
    until: str,
    requested_by: str = "",
    account: str = "",
) -> Entry:
    """Record that a held batch may be published; the newest waiver of a content counts.

    Args:
        content_hash, batch_id: of the full batch that was audited.
        verdict_id: the HOLD that is waived.
        rules: names of the rules that hold it.
        by: the person who answers for it.
        until: last day (YYYY-MM-DD) that it is valid, by the pipeline's clock.
        requested_by: of the UI, who asked for it; "" where that is not known.
        account: of a command, user of the operating system and host.

    Raises:
        ReleaseRefusedError: no reason, nobody, a day that is over or is none, nothing there that can be waived, or one
            person alone where the pipeline wants two.
    """
    where = f"{spec.pipeline}.{table} {partition}"
    if not by.strip():
        raise _refused("It is released by nobody.", where, "the name of a person", "say who answers for it")
    last = check_terms(spec, where, why=why, until=until)
    require_second_person(spec, where, by=by.strip(), requested_by=requested_by, account=account)
    judged = judgement(spec, table, partition, batch_id)
    if judged is None or judged.kind != "held" or judged.record.verdict_id != verdict_id:
        raise ReleaseRefusedError(
            f"Batch {batch_id} is not held by verdict {verdict_id}.",
            where=where,
            allowed="the batch's newest verdict, if it is HOLD",
            todo=f"look at what is held with `sluice held {spec.pipeline}`",
        )
    if judged.record.outcome != "HOLD":
        raise ReleaseRefusedError(
            f"The verdict is {judged.record.outcome}: the gate broke and has not judged the rows.",
            where=where,
            allowed="a HOLD",
            todo="repair the gate (`sluice check`), then `sluice replay` the batch",
        )
    return ledger.append(
        records.Waiver(
            by=by.strip(),
            requested_by=requested_by,
            account=account,
            self_approved=bool(account) or requested_by == by.strip(),
            why=why.strip(),
            until=day_of(last),
            content_hash=content_hash,
            batch_id=batch_id,
            verdict_id=verdict_id,
            rules=list(rules),
        ),
        pipeline=spec.pipeline,
        subject=table,
        partition=partition,
    )


def check_terms(spec: Pipeline, where: str, *, why: str, until: str) -> date:
    """Refuse a waiver that lacks a reason or an end that is still ahead; return its last day.

    Raises:
        ReleaseRefusedError: names what is missing.
    """
    if not why.strip():
        raise _refused("It is released without a reason.", where, "a sentence that says why", "say why")
    today = pipeline_clock.today(spec)
    allowed = f"a day, YYYY-MM-DD, from {today} on"
    try:
        last = read_day(until)
    except DayInvalidError:
        raise _refused(f"{until!r} is not a day.", where, allowed, "say until when it is valid") from None
    if last < today:
        raise _refused(f"{until} is over: today is {today}.", where, allowed, "choose a day to come")
    return last


def active(spec: Pipeline, table: str, partition: Partition, content_hash: str) -> Entry | None:
    """The waiver that lets this content be published today, or None."""
    found = newest(spec, table, partition, content_hash)
    return found if found and not expired(spec, found) else None


def awaited(spec: Pipeline, table: str, partition: Partition) -> str | None:
    """Id of a released batch that has not been published yet, or None: what was released is what crosses next."""
    found = ledger.entries(
        records.Waiver, pipeline=spec.pipeline, subject=table, partition=partition, limit=1
    )
    if not found or expired(spec, found[0]):
        return None
    batch_id = found[0].record.batch_id
    published = ledger.entries(records.Published, pipeline=spec.pipeline, subject=table, partition=partition)
    seen = any(entry.seq > found[0].seq or full_id(entry.record.batch_id) == batch_id for entry in published)
    return None if seen else batch_id


def expired(spec: Pipeline, waiver: Entry) -> bool:
    """Whether the last day of a waiver is over, by the pipeline's clock."""
    return date_of(waiver.record.until) < pipeline_clock.today(spec)


def of_partitions(spec: Pipeline, table: str, days: Iterable[str]) -> dict[str, Entry]:
    """Day -> the waiver that what readers see of it rests on, active or expired; days that rest on none are left out.

    A day rests on none any more when a corrected delivery replaced it, or its batch has passed a corrected gate.
    """
    if not ledger.entries(records.Waiver, pipeline=spec.pipeline, subject=table, limit=1):
        return {}
    wanted = sorted(days)
    if not wanted:
        return {}
    shown = ledger.entries(
        records.Published, pipeline=spec.pipeline, subject=table, days=Partition.of(wanted)
    )
    found: dict[str, Entry] = {}
    for day in wanted:
        entry = next((one for one in shown if one.covers(day)), None)
        waiver = of_batch(spec, table, entry.record.batch_id) if entry else None
        if waiver:
            found[day] = waiver
    return found


def judgement(spec: Pipeline, table: str, partition: Partition, batch_id: str) -> Entry | None:
    """The newest verdict about a batch, of kind `verdict` or `held`; None if it was never audited.

    The newest is the one whose audit began last: an audit that was asleep for a while, and records only now what the
    rules of yesterday said, does not outdo one that began after it.
    """
    found = [
        entry
        for entry in ledger.entries(pipeline=spec.pipeline, subject=table, partition=partition)
        if entry.kind in ("verdict", "held") and entry.record.batch_id == batch_id
    ]
    return max(found, key=_begun, default=None)


def _begun(verdict: Entry) -> tuple[int, str, int]:
    """When an audit began: after which entry of the ledger, and by the clock where two of them began after the same."""
    begun_after = verdict.record.begun_after
    return verdict.seq if begun_after is None else begun_after, verdict.record.evaluated_at, verdict.seq


def of_batch(spec: Pipeline, table: str, batch_id: str) -> Entry | None:
    """The newest waiver that a batch rests on, active or expired; None if it has passed its gate since, or needs none."""
    full = full_id(batch_id)
    for entry in ledger.entries(records.Waiver, pipeline=spec.pipeline, subject=table):
        if entry.record.batch_id == full:
            judged = judgement(spec, table, entry.days, full)
            held = judged is not None and judged.kind == "held"
            return newest(spec, table, entry.days, entry.record.content_hash) if held else None
    return None


def newest_of_same(spec: Pipeline, waiver: Entry) -> Entry:
    """The newest waiver of the content that a waiver is for: itself, unless it was given again."""
    found = newest(spec, waiver.subject, waiver.days, waiver.record.content_hash)
    assert found is not None, "the waiver itself is one"
    return found


def newest(spec: Pipeline, table: str, partition: Partition, content_hash: str) -> Entry | None:
    """The newest waiver of a content, active or expired."""
    found = ledger.entries(records.Waiver, pipeline=spec.pipeline, subject=table, partition=partition)
    return next((entry for entry in found if entry.record.content_hash == content_hash), None)


def _refused(what: str, where: str, allowed: str, todo: str) -> ReleaseRefusedError:
    return ReleaseRefusedError(what, where=where, allowed=allowed, todo=todo)
