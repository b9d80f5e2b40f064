"""The trace of a partition and what was decided as lines of text, for a terminal or a task's log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sluice import waivers
from sluice.holds.tracing import Trace, Traced
from sluice.lake import diff, inputs
from sluice.ledger import Entry, model_records, records

_STANDING = {
    "active": "valid today",
    "expired": "which is over",
    "passed": "which has passed its gate since",
    "replaced": "which was replaced since",
}
# Of a reason, in a list.
_REASON_CHARS = 160


def traced(trace: Trace) -> Iterator[str]:
    """The story of a partition, batch by batch, then everything that was decided, in order."""
    yield f"{trace.pipeline}.{trace.table} {trace.day}, written by the run of {trace.run_day}"
    yield f"  readers see   {trace.shown or 'nothing'}"
    for name, value in trace.snapshot.items():
        yield f"    {name} = {value}"
    if trace.waiver:
        yield f"  waiver        {waivers.read(trace.waiver).sentence()}"
    for waived, standing in trace.rests_on:
        through = f"through {', '.join(waived.through)}"
        yield f"  rests on      {waived.released}, {_STANDING[standing]} ({through})"
    for missing, arrived in trace.made_without:
        since = f" (published since: {', '.join(arrived)})" if arrived else ""
        yield f"  made without  {missing.named}{since}"
    for batch in trace.batches:
        yield from _batch(batch, trace.shown)
    yield "  decisions"
    for entry in trace.entries:
        yield f"    {entry.seq:6d}  {entry.at:%Y-%m-%d %H:%M:%S}  {entry.kind:10s} {summary(entry)}".rstrip()


def _batch(batch: Traced, shown: str | None) -> Iterator[str]:
    manifest = batch.manifest
    ids = {manifest.batch_id, *([batch.split.batch_id] if batch.split else [])}
    state = "published, readers see it" if shown in ids else "published, replaced" if batch.published else ""
    yield f"  batch         {manifest.batch_id}  {state or 'not published'}"
    for made_from in manifest.inputs:
        yield f"    from        {input_line(made_from)}"
    received, kept, dropped, quarantined = batch.conservation
    parts = [f"{kept} kept", *_counted(dropped, "dropped"), *_counted(quarantined, "quarantined")]
    sign = "=" if batch.conserved else "IS NOT"
    yield f"    rows        {received} received {sign} {' + '.join(parts)}"
    if manifest.unmatched:
        lonely = (f"{rows} without a partner in {join}" for join, rows in manifest.unmatched.items())
        yield f"    joins       {', '.join(lonely)}"
    if batch.split:
        yield f"    split into  {batch.split.batch_id}"
    for judged in batch.judgements:
        yield f"    verdict     {_judged(judged, ' '.join(judged.record.reasons))}"
        yield f"    evidence    {judged.record.report}"


def input_line(made_from: Mapping[str, Any]) -> str:
    """What a batch was made from, in a line."""
    if made_from.get("kind") == "delivery":
        return f"{made_from['uri']}  sha256 {made_from['sha256'][:16]}  {made_from['rows']} rows"
    for model in inputs.read([made_from], inputs.Model):
        return _scored(model, made_from)
    for clock in inputs.read([made_from], inputs.Clock):
        return _made(clock)
    if made_from.get("kind") == "code":
        return f"made by the code of fingerprint {made_from['fingerprint']}"
    return "  ".join(f"{name} {value}" for name, value in inputs.facts(made_from).items())


def _scored(model: inputs.Model, recorded: Mapping[str, Any]) -> str:
    """Who scored, and which rows it knows little of."""
    said = f"scored by {model.named}, of {model.name}"
    if instead := recorded.get("stands_in_for"):
        said += f", in place of version {instead}"
    if model.promoted:
        said += f"; entry {model.promoted} of the ledger decided who is champion"
    for name, what in (
        ("unsupported_rows", "of segments that training had seen too few of"),
        ("unseen_rows", "with values that training had never seen"),
    ):
        if rows := recorded.get(name):
            said += f"; {rows} {'row' if rows == 1 else 'rows'} {what}"
    return said


def _made(clock: inputs.Clock) -> str:
    """When predictions were made, and whether that was in time."""
    said = f"made on {clock.today} by the pipeline's clock"
    if clock.deadline is None:
        return said
    until = f"{clock.deadline:%Y-%m-%d %H:%M %Z}"
    return (
        f"{said}, after its time, which ended {until}"
        if clock.made_late
        else f"{said}, in time (until {until})"
    )


def _counted(counts: Mapping[str, int], what: str) -> list[str]:
    return [f"{rows} {what} ({reason})" for reason, rows in counts.items() if rows]


def _judged(entry: Entry, reasons: str) -> str:
    """A verdict with its reasons; a PASS has none."""
    return f"{entry.record.outcome}: {reasons}" if reasons else str(entry.record.outcome)


def summary(entry: Entry) -> str:
    """What an entry of the ledger says, in a line."""
    match entry.record:
        case records.Waiver():
            return waivers.read(entry).sentence()
        case records.Replayed() as done:
            asked = f" (by {done.by})" if done.by else ""
            return f"repaired {done.repaired}, still held {done.still_held}, expired {done.expired}{asked}"
        case records.Skipped() as given_up:
            return f"given up by {given_up.by}: {given_up.why}"
        case records.Mail() as mail:
            return f"{mail.mail_subject} ({mail.status})".lstrip()
        case records.Judgement() as judged:
            return _judged(entry, short(" ".join(judged.reasons)))
        case records.Refused() as refused if refused.report:
            return f"{short(refused.what)} Evidence: {refused.report}"
        case records.Refused() | model_records.TrainingRefused() as refused:
            return short(refused.what)
        case records.Published() | records.Rewritten() as shown:
            return short(diff.sentence(shown.diff) if shown.diff else shown.batch_id or "")
        case other:
            return short(other.batch_id or "")


def short(text: str) -> str:
    """A reason as a list has it; `sluice trace` has all of it."""
    return text if len(text) <= _REASON_CHARS else f"{text[:_REASON_CHARS]} […]"
