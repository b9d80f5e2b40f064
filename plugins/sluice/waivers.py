"""Waivers: a person's word that a held batch may be seen, with who, why and until when.

The rule kept here: a waiver is for one content. It names the sha256 of the batch that was judged, so that a later
delivery of the same day, good or bad, is judged by the gate again. It ends: after its last day it publishes nothing any
more, what it published counts as held again, and training refuses it. A gate that broke (ERROR) judged nothing, so
there is nothing to put one's word against: it cannot be waived.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from sluice import clock, ledger
from sluice.errors import DayInvalidError, ReleaseRefusedError
from sluice.lake.batches import full_id
from sluice.ledger import Entry
from sluice.partitions import covers, read_day
from sluice.spec import Pipeline


def grant(
    spec: Pipeline,
    table: str,
    partition: str,
    *,
    content_hash: str,
    batch_id: str,
    verdict_id: str,
    rules: Sequence[str],
    by: str,
    why: str,
    until: str,
) -> Entry:
    """Record that a held batch may be published; the newest waiver of a content counts.

    Args:
        partition: as `partition_label` writes it.
        content_hash, batch_id: of the full batch that was audited.
        verdict_id: the HOLD that is waived.
        rules: names of the rules that hold it.
        by: the person who answers for it.
        until: last day (YYYY-MM-DD) that it is valid, by the pipeline's clock.

    Raises:
        ReleaseRefusedError: no reason, nobody, a day that is over or is none, or nothing there that can be waived.
    """
    where = f"{spec.pipeline}.{table} {partition}"
    if not by.strip():
        raise _refused("It is released by nobody.", where, "the name of a person", "say who answers for it")
    last = check_word(spec, where, why=why, until=until)
    judged = judgement(spec, table, partition, batch_id)
    if judged is None or judged.kind != "held" or judged.data["verdict_id"] != verdict_id:
        raise ReleaseRefusedError(
            f"Batch {batch_id} is not held by verdict {verdict_id}.",
            where=where,
            allowed="the batch's newest verdict, if it is HOLD",
            todo=f"look at what is held with `sluice held {spec.pipeline}`",
        )
    if judged.data["outcome"] != "HOLD":
        raise ReleaseRefusedError(
            f"The verdict is {judged.data['outcome']}: the gate broke and has not judged the rows.",
            where=where,
            allowed="a HOLD",
            todo="repair the gate (`sluice check`), then `sluice replay` the batch",
        )
    return ledger.append(
        "waiver",
        pipeline=spec.pipeline,
        subject=table,
        partition=partition,
        data={
            "by": by.strip(),
            "why": why.strip(),
            "until": last.isoformat(),
            "content_hash": content_hash,
            "batch_id": batch_id,
            "verdict_id": verdict_id,
            "rules": list(rules),
        },
    )


def check_word(spec: Pipeline, where: str, *, why: str, until: str) -> date:
    """Refuse a waiver that lacks a reason or an end that is still ahead; return its last day.

    Raises:
        ReleaseRefusedError: names what is missing.
    """
    if not why.strip():
        raise _refused("It is released without a reason.", where, "a sentence that says why", "say why")
    today = clock.today(spec)
    allowed = f"a day, YYYY-MM-DD, from {today} on"
    try:
        last = read_day(until)
    except DayInvalidError:
        raise _refused(f"{until!r} is not a day.", where, allowed, "say until when it is valid") from None
    if last < today:
        raise _refused(f"{until} is over: today is {today}.", where, allowed, "choose a day to come")
    return last


def active(spec: Pipeline, table: str, partition: str, content_hash: str) -> Entry | None:
    """The waiver that lets this content be published today, or None."""
    newest = _newest(spec, table, partition, content_hash)
    return newest if newest and not expired(spec, newest) else None


def awaited(spec: Pipeline, table: str, partition: str) -> str | None:
    """Id of a released batch that has not been published yet, or None: what was released is what crosses next."""
    found = ledger.entries(kind="waiver", pipeline=spec.pipeline, subject=table, partition=partition, limit=1)
    if not found or expired(spec, found[0]):
        return None
    batch_id = found[0].data["batch_id"]
    published = ledger.entries(kind="published", pipeline=spec.pipeline, subject=table, partition=partition)
    seen = any(entry.seq > found[0].seq or full_id(entry.data["batch_id"]) == batch_id for entry in published)
    return None if seen else batch_id


def expired(spec: Pipeline, waiver: Entry) -> bool:
    """Whether the last day of a waiver is over, by the pipeline's clock."""
    return date.fromisoformat(waiver.data["until"]) < clock.today(spec)


def of_partitions(spec: Pipeline, table: str, days: Iterable[str]) -> dict[str, Entry]:
    """Day -> the waiver that what readers see of it rests on, active or expired; days that rest on none are left out.

    A day rests on none any more when a corrected delivery replaced it, or its batch has passed a corrected gate.
    """
    if not ledger.entries(kind="waiver", pipeline=spec.pipeline, subject=table, limit=1):
        return {}
    wanted = sorted(days)
    if not wanted:
        return {}
    shown = ledger.entries(
        kind="published", pipeline=spec.pipeline, subject=table, days=(wanted[0], wanted[-1])
    )
    found: dict[str, Entry] = {}
    for day in wanted:
        entry = next((one for one in shown if covers(one.partition or "", day)), None)
        waiver = entry and _behind(spec, table, entry)
        if waiver:
            found[day] = waiver
    return found


def judgement(spec: Pipeline, table: str, partition: str, batch_id: str) -> Entry | None:
    """The newest verdict about a batch, of kind `verdict` or `held`; None if it was never audited.

    The newest is the one whose audit began last: an audit that was asleep for a while, and records only now what the
    rules of yesterday said, does not outdo one that began after it.
    """
    found = [
        entry
        for entry in ledger.entries(pipeline=spec.pipeline, subject=table, partition=partition)
        if entry.kind in ("verdict", "held") and entry.data["batch_id"] == batch_id
    ]
    return max(found, key=_begun, default=None)


def _begun(verdict: Entry) -> tuple[int, str, int]:
    """When an audit began: after which entry of the ledger, and by the clock where two of them began after the same."""
    data = verdict.data
    return data.get("begun_after", verdict.seq), data.get("evaluated_at", ""), verdict.seq


def _behind(spec: Pipeline, table: str, published: Entry) -> Entry | None:
    """The newest waiver for the batch of a publication, unless the batch has passed its gate since."""
    partition = published.partition or ""
    batch_id = full_id(published.data["batch_id"])
    judged = judgement(spec, table, partition, batch_id)
    if judged is None or judged.kind != "held":
        return None
    for entry in ledger.entries(kind="waiver", pipeline=spec.pipeline, subject=table, partition=partition):
        if entry.data["batch_id"] == batch_id:
            return _newest(spec, table, partition, entry.data["content_hash"])
    return None


def _newest(spec: Pipeline, table: str, partition: str, content_hash: str) -> Entry | None:
    found = ledger.entries(kind="waiver", pipeline=spec.pipeline, subject=table, partition=partition)
    return next((entry for entry in found if entry.data["content_hash"] == content_hash), None)


def _refused(what: str, where: str, allowed: str, todo: str) -> ReleaseRefusedError:
    return ReleaseRefusedError(what, where=where, allowed=allowed, todo=todo)
