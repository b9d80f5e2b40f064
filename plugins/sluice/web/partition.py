"""The page of a partition: how its rows crossed, what its rules said before, what it was made from, and who decided what.

The rule kept here: it is read from the ledger and the manifests, as `sluice trace` reads them, each time that it is asked
for: it is never out of date, and a report that maintenance has cleared away takes nothing from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import Response

from sluice import holds, ledger
from sluice.core.errors import BatchUnknownError, DayInvalidError, SourceUnknownError, TableMissingError
from sluice.core.links import COMPUTED
from sluice.core.partitions import Partition, days_later
from sluice.declare import spec
from sluice.gates.verdict import RuleResult
from sluice.holds import show
from sluice.lake import batches, inputs, tables
from sluice.ledger import Entry, records
from sluice.notify import reader_impact
from sluice.watch import held
from sluice.web.rendering import MayRead, own, read_or_explain

# Days back that a rule's history is shown of: a month.
HISTORY_DAYS = 31
# Of a chart, and of one of its bars with the gap beside it, in pixels.
HEIGHT, STEP = 26, 6


@dataclass(frozen=True)
class Mark:
    """What a rule said of one partition: a bar of its chart."""

    partition: str
    result: RuleResult
    height: float

    @property
    def outcome(self) -> str:
        if self.result.passed:
            return "PASS"
        return "HOLD" if self.result.holds else "WARN"


@dataclass(frozen=True)
class RuleHistory:
    """A rule of a judgement, with what it said of the partitions before, oldest first, and of its own last."""

    result: RuleResult
    marks: tuple[Mark, ...]
    # Height of the share of a day's rows above which the batch is held; None of a rule that has no such limit.
    limit: float | None


def add_routes(app: FastAPI, readable: Any) -> None:
    """Add the page; `readable` is a dependency that gives a `MayRead`."""

    @app.get(f"/{COMPUTED}/partition/{{pipeline}}/{{table}}/{{day}}")
    def partition(
        request: Request, pipeline: str, table: str, day: str, may_read: MayRead = readable
    ) -> Response:
        if pipeline not in spec.pipeline_names() or not may_read(pipeline):
            raise HTTPException(404)
        found, problem = read_or_explain(lambda: _read(pipeline, table, day))
        if problem:
            return own(
                request, "unreadable.html.j2", status=503, name=f"{pipeline}.{table} {day}", problem=problem
            )
        if not found:
            raise HTTPException(404)
        return own(request, "partition.html.j2", **found[0])


def _read(pipeline: str, table: str, day: str) -> tuple[dict[str, Any], ...]:
    """What the page shows; nothing, where there is no such table or day, or nothing is recorded of it."""
    declared = spec.load(pipeline)
    try:
        trace = holds.trace(declared, table, day)
    except (SourceUnknownError, DayInvalidError, TableMissingError):
        return ()
    newest = trace.batches[-1] if trace.batches else None
    # Of batches that are cleared away the ledger knows what was said.
    judgements = (
        newest.judgements if newest else [one for one in trace.entries if one.kind in ("verdict", "held")]
    )
    judged = judgements[-1] if judgements else None
    hold = holds.find(declared, table, day)
    rules = list(histories(declared, judged)) if judged else []
    shown = {
        "trace": trace,
        "owner": declared.owner_of(table),
        "newest": newest,
        "judged": judged,
        "hold": hold,
        "effect": held.effect(declared, hold) if hold else "",
        "failed": [one for one in rules if not one.result.passed],
        "passed": [one for one in rules if one.result.passed],
        "height": HEIGHT,
        "step": STEP,
        "made_from": list(_made_from(newest.manifest.inputs)) if newest else [],
        "made": list(_made(declared, table, day)),
        "summary": show.summary,
    }
    return (shown,)


def histories(declared: spec.Pipeline, judged: Entry) -> Iterator[RuleHistory]:
    """The rules of a judgement, each with what it said of the partitions before those days, and of them last."""
    first = judged.days.first
    newest: dict[str, Entry] = {}
    for kind in (records.Verdict, records.Held):
        for entry in ledger.entries(
            kind,
            pipeline=declared.pipeline,
            subject=judged.subject,
            days=Partition(days_later(first, -HISTORY_DAYS), days_later(first, -1)),
        ):
            label = str(entry.days)
            # One that reaches into these days is about other rows of them.
            if entry.days.last < first and (label not in newest or entry.seq > newest[label].seq):
                newest[label] = entry
    before = sorted(newest.values(), key=lambda entry: (entry.days.last, entry.seq))
    said = [
        (str(entry.days), {rule["rule"]: RuleResult.model_validate(rule) for rule in entry.record.rules})
        for entry in (*before, judged)
    ]
    for name, result in said[-1][1].items():
        results = [(label, rules[name]) for label, rules in said if name in rules]
        shares = [share for _, one in results if (share := _share(one)) is not None]
        top = max([*shares, result.limit or 0.0]) or 1.0
        # Of a rule about whole days each bar is as high as the others.
        without = 0.0 if shares else top / 2
        yield RuleHistory(
            result,
            tuple(
                Mark(label, one, max(2.0, HEIGHT * (_share(one) or without) / top)) for label, one in results
            ),
            HEIGHT * result.limit / top if result.limit is not None else None,
        )


def _share(result: RuleResult) -> float | None:
    """The share of rows that failed, on the worst day where that is what is limited; None of a rule about whole days."""
    return result.failing_share if result.worst_share is None else result.worst_share


def _made_from(recorded: tuple[dict[str, Any], ...]) -> Iterator[tuple[str, str, str, bool]]:
    """Each input in a line; of another table with its name and the newest day that was read of it, which has a page, and whether it is the
    model, which has one, too.
    """
    for one in recorded:
        table, day = "", ""
        for read in inputs.read([one], inputs.Snapshot):
            table, day = read.table, max(read.batches or (), default="")
        yield show.input_line(one), table, day, bool(inputs.read([one], inputs.Model))


def _made(declared: spec.Pipeline, table: str, day: str) -> Iterator[tuple[str, str, str]]:
    """What the run of the same day has made from a partition and readers see: table, day and batch."""
    run_day = declared.run_day(table, day)
    for name in reader_impact.waits_for(declared, table):
        own_day = declared.data_day(name, run_day)
        shown = tables.published(declared.pipeline, name, own_day, own_day).get(own_day)
        if shown is None:
            continue
        try:
            manifest = batches.load(declared.pipeline, name, batches.full_id(shown.batch_id))
        except BatchUnknownError:  # cleared away: what it was made from is not known
            continue
        read = inputs.of(manifest, inputs.Snapshot)
        if any(one.table == table and (one.first or day) <= day <= (one.last or day) for one in read):
            yield name, own_day, shown.batch_id
